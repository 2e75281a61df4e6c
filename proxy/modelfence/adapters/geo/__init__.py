"""Geo databases: read, looked up, fetched."""
