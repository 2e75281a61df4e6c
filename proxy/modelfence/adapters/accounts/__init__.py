"""Accounts: from text to records, from a file or by lines, and kept."""
