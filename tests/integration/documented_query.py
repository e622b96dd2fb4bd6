"""Flagsmith's documented way back for versions before v2.151.0: a query that prints `migrate` lines, written anew.

It takes each app's first row (by id) since a time, and has the number before that one's: `zero` before 1, else the
number in four digits.
"""

from datetime import datetime

import psycopg
from psycopg import sql

_QUERY = """
    WITH firsts AS (
        SELECT app, substring(name for 4)::integer AS number FROM django_migrations
        WHERE id IN (SELECT min(id) FROM django_migrations WHERE applied >= {since} GROUP BY app)
    )
    SELECT 'python manage.py migrate ' || app || ' '
        || CASE number WHEN 1 THEN 'zero' ELSE lpad((number - 1)::text, 4, '0') END
    FROM firsts ORDER BY app
"""


def documented_lines(connection: psycopg.Connection, since: datetime) -> list[str]:
    """The lines, by app. psycopg.DataError where a name does not begin with a number."""
    query = sql.SQL(_QUERY).format(since=sql.Literal(since.isoformat()))
    return [line for (line,) in connection.execute(query).fetchall()]
