"""What `flagsnap doctor` asks PostgreSQL: the way to it, what the role may do, and what hangs on the database."""
