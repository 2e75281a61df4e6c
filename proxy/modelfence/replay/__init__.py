"""Replay: a recording through the enforcement loop, on its own clock. Rule: nothing here opens a file or prints."""
