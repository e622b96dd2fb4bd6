"""Losses: what a route destroys or cannot bring back, in rows, each with its remedy. Pure: others count for it.

`effects` and `lineage` follow what migrations do to names, `structure` compares the recorded with the live catalog and
asks questions, `types` knows what a type can carry, `behaviour` reads what reverse code does to rows (`words` has SQL
in words, `statements` what they say, `functions` what is known of PostgreSQL's), `attribution` knows what no migration
made, `writes` prices a restore. A question with its count is a loss; what is not understood counts as one.
"""
