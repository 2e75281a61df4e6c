"""Anthropic's API, also as other servers speak it."""
