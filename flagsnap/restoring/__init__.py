"""From a snapshot to a database: beside the live one and swapped with it, in place, or as a copy; and the way back."""
