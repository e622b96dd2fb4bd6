"""Putting recorded rows back into a database that is in use."""
