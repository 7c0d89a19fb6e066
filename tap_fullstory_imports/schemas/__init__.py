"""One JSON schema for each stream."""
