"""What the questions have in common: the settings they run under, and what they leave out.

A question is one statement about one kind of object. Its first four columns are the identity: kind, schema,
table and name. Every further column is an attribute under its own name, NULL or false for the usual value;
`implied` marks an object that PostgreSQL made by itself and named as it liked. Left out everywhere: what
belongs to an extension (it comes with the extension), temporary and system objects, owners and grants, and
all that pg_dump does not carry.
"""

from typing import LiteralString

from psycopg.sql import SQL, Composed, Literal

# The functions that print definitions leave out schemas found in the search path, and print constants as the
# session would (dates in its time zone, say, which a role or a database may have set). pg_dump pins most of
# these for the same reason (setup_connection in pg_dump.c). Compiling the statements would take longer than
# running them.
SETTINGS = """
    SELECT set_config(name, value, true)
    FROM (VALUES ('search_path', 'pg_catalog, pg_temp'), ('TimeZone', 'UTC'), ('DateStyle', 'ISO, MDY'),
                 ('IntervalStyle', 'postgres'), ('extra_float_digits', '3'), ('bytea_output', 'hex'),
                 ('lc_monetary', 'C'), ('quote_all_identifiers', 'off'),
                 ('standard_conforming_strings', 'on'), ('jit', 'off')) AS setting (name, value)
"""


def ours(catalog: str, oid: LiteralString) -> Composed:
    """The condition that a row `oid` of `catalog`, in schema `n`, is of the application's making.

    Users cannot make schemas called pg_something. In-place restores keep what they replaced in flagsnap's
    own.
    """
    return SQL("""
        n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT starts_with(n.nspname, 'flagsnap_retired_') AND {alone}
    """).format(alone=made_alone(catalog, oid))


def made_alone(catalog: str, oid: LiteralString) -> Composed:
    """The condition that a row was not made along with an extension (deptype e) or a range type (i)."""
    return SQL("""
        NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = {catalog}::regclass AND d.objid = {oid}
                AND (d.deptype = 'e' OR d.deptype = 'i' AND d.classid = 'pg_proc'::regclass)
        )
    """).format(catalog=Literal(catalog), oid=SQL(oid))


OWED_TABLE = "flagsnap_owed_refill"
"""flagsnap's own table (`postgres.owed`), which is there only while a refill is owed: no part of any schema."""

OUR_RELATION = SQL("c.relname <> {owed} AND {ours}").format(owed=Literal(OWED_TABLE), ours=ours("pg_class", "c.oid"))
OUR_TYPE = ours("pg_type", "t.oid")
