"""Diagnosis: what `flagsnap doctor` makes of what it was told, line by line."""
