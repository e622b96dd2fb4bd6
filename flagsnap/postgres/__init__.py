"""PostgreSQL: the only users of psycopg, and of PostgreSQL's client programs."""
