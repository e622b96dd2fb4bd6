"""Refilling: recorded rows into live tables, set by set; what the tables are, and how they are kept quiet meanwhile."""
