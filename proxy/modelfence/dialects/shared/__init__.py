"""What several APIs have in common: typed fields, credentials, streams and their counting."""
