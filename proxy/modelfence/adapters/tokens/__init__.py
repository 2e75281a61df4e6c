"""Tokens of an identity provider, and the keys they are verified with."""
