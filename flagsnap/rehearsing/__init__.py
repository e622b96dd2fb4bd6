"""Rehearse: a deploy and its rollback proven on a copy of the data, with the reverse SQL recorded."""
