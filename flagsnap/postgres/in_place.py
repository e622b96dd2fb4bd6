"""Restoring within a database, for roles that may not create one: old objects move to schemas of their own.

`ALTER … SET SCHEMA` takes a table's indexes, constraints, triggers and owned sequences along, and whatever refers to
it by OID goes on doing so. What belongs to an extension stays where it is, so that restored objects find it there.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from psycopg import sql

from flagsnap.postgres.connection import Connection
from flagsnap.snapshot import TableRows

PREFIX = "flagsnap_retired_"
_STAMP = "%Y%m%d%H%M%S%f"
_STAMP_LENGTH = 20
_NAME_BYTES = 63

# (kind, what ALTER calls each object, its schema and identity as SQL); nothing of an extension's, nothing that moves by
# itself. Routines first: they are known by the names of their argument types, which move afterwards.
_MOVABLE: tuple[tuple[str, str], ...] = (
    (
        "routines",
        """
        SELECT n.nspname, 'ROUTINE', p.oid::regprocedure::text
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = ANY(%(schemas)s)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'e')
        """,
    ),
    (
        "relations",
        """
        SELECT n.nspname,
               CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                              WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
               format('%%I.%%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND n.nspname = ANY(%(schemas)s)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
        """,
    ),
    (
        "types",
        """
        SELECT n.nspname, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, format('%%I.%%I', n.nspname, t.typname)
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typtype IN ('e', 'd') AND n.nspname = ANY(%(schemas)s)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
                          AND d.deptype = 'e')
        """,
    ),
    (
        "collations",
        """
        SELECT n.nspname, 'COLLATION', format('%%I.%%I', n.nspname, c.collname)
        FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE n.nspname = ANY(%(schemas)s)
        """,
    ),
    (
        "statistics",
        """
        SELECT n.nspname, 'STATISTICS', format('%%I.%%I', n.nspname, s.stxname)
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE n.nspname = ANY(%(schemas)s)
        """,
    ),
)


def user_schemas(connection: Connection) -> list[str]:
    """The schemas whose objects a restore replaces; not the system's, not those of retired objects."""
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        " AND NOT starts_with(nspname, %s) ORDER BY 1",
        (PREFIX,),
    ).fetchall()
    return [name for (name,) in rows]


def retired_names(schemas: Sequence[str], moment: datetime) -> dict[str, str]:
    """The name of each schema's retired counterpart; `public`'s is the shortest."""
    stamp = PREFIX + moment.astimezone(UTC).strftime(_STAMP)
    return {schema: _retired_name(stamp, schema) for schema in schemas}


def _retired_name(stamp: str, schema: str) -> str:
    if schema == "public":
        return stamp
    room = _NAME_BYTES - len(stamp) - 1
    if len(schema.encode()) > room:
        schema = hashlib.sha256(schema.encode()).hexdigest()[:room]
    return f"{stamp}_{schema}"


def retired_stamps(connection: Connection) -> list[str]:
    """The times of the in-place restores whose old objects are still here, newest first."""
    rows = connection.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (PREFIX,)).fetchall()
    start = len(PREFIX)
    return sorted({name[start : start + _STAMP_LENGTH] for (name,) in rows}, reverse=True)


def retired_schemas(connection: Connection, stamp: str) -> dict[str, str]:
    """Where the objects of one in-place restore came from: original schema by retired one.

    The original's name is kept in the retired schema's comment, since it may have been too long for the name.
    """
    rows = connection.execute(
        "SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE starts_with(nspname, %s)",
        (PREFIX + stamp,),
    ).fetchall()
    return dict(rows)


def move_statements(connection: Connection, targets: Mapping[str, str], gone: Collection[str]) -> Iterator[str]:
    """SQL that moves everything from each schema to its target; a schema of `gone` becomes its target itself."""
    for schema, target in targets.items():
        if schema in gone:
            yield rename_statement(schema, target)
        else:
            yield _text(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(target)))
        yield _text(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(target), sql.Literal(schema)))
    yield from move_objects(connection, {schema: targets[schema] for schema in targets if schema not in gone})


def return_statements(connection: Connection, back: Mapping[str, str], present: Collection[str]) -> Iterator[str]:
    """SQL that moves everything from retired schemas to where it came from, which is `present` or comes back whole."""
    yield from move_objects(connection, {name: original for name, original in back.items() if original in present})
    for name, original in back.items():
        if original in present:
            yield _text(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(name)))
        else:
            yield rename_statement(name, original)
            yield _text(sql.SQL("COMMENT ON SCHEMA {} IS NULL").format(sql.Identifier(original)))


def rename_statement(schema: str, name: str) -> str:
    """SQL that gives a schema another name, with all that is in it."""
    return _text(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(sql.Identifier(schema), sql.Identifier(name)))


def move_objects(connection: Connection, targets: Mapping[str, str]) -> Iterator[str]:
    """SQL that moves everything from each schema to its target, which must exist."""
    for _, statement in _MOVABLE:
        with connection.transaction():
            # With an empty search_path regprocedure prints names with their schema.
            connection.execute("SELECT set_config('search_path', '', true)")
            rows = connection.execute(statement, {"schemas": list(targets)}).fetchall()
        for schema, kind, name in rows:
            yield f"ALTER {kind} {name} SET SCHEMA {_text(sql.Identifier(targets[schema]))}"


def unmovable(connection: Connection) -> str:
    """What cannot be moved aside, in words; empty if everything can.

    Large objects belong to no schema; the constructors of a range type belong to the superuser, whoever made it.
    """
    if connection.execute("SELECT FROM pg_largeobject_metadata LIMIT 1").fetchone() is not None:
        return "large objects"
    row = connection.execute(
        """
        SELECT format('the range type %%I.%%I', n.nspname, t.typname) FROM pg_range r
        JOIN pg_type t ON t.oid = r.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE n.nspname = ANY(%s)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
                          AND d.deptype = 'e')
        """,
        (user_schemas(connection),),
    ).fetchone()
    return str(row[0]) if row else ""


def read_extensions(connection: Connection) -> set[str]:
    """The names of the extensions that are installed."""
    return {name for (name,) in connection.execute("SELECT extname FROM pg_extension").fetchall()}


def row_checks(recorded: Sequence[TableRows]) -> Iterator[str]:
    """SQL that fails the transaction unless every table has its recorded number of rows."""
    for table in recorded:
        name = sql.Identifier(table.schema_name, table.table)
        message = sql.Literal(f"table {table.schema_name}.{table.table} does not have its {table.rows} recorded rows")
        check = sql.SQL(
            "DO $flagsnap$ BEGIN IF (SELECT count(*) FROM ONLY {}) <> {} THEN RAISE EXCEPTION USING MESSAGE = {}; "
            "END IF; END $flagsnap$"
        ).format(name, sql.Literal(table.rows), message)
        yield _text(check)


def _text(composed: sql.Composable) -> str:
    return composed.as_string()
