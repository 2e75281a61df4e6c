"""Recordings: calls as lines of JSON, to be replayed. Rule: nothing here opens a file or reads a clock."""
