"""Cohere's API, version 2, and what of version 1 is still used."""
