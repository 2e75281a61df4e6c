"""The audit log as files."""
