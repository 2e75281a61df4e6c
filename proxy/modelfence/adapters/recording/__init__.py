"""Recordings as files: written while calls are served, read to be replayed."""
