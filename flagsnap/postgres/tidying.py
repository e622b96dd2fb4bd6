"""Rows that stayed behind: which of them are still there and were not recorded, and the removal of what is free."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from psycopg import sql

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.leftovers import Rows, key_texts, primary_key
from flagsnap.postgres.refill.copying import SCHEMA
from flagsnap.postgres.refill.targets import ForeignKey, read_target

_DEFAULT_PERMISSIONS = ("add", "change", "delete", "view")


def born_since(connection: Connection, rows: Rows, recorded: str) -> Rows | None:
    """Those rows that are still there, None if none is; `recorded` is the temporary table of the recorded ones.

    If one of them was recorded, then a migration has rewritten rows, and each may be anybody's.
    """
    if _oid(connection, rows.table) != rows.oid:
        return None
    key = primary_key(connection, rows.oid)
    if not key or len(key) != len(rows.keys[0]):
        return replace(rows, keys=(), doubt="its primary key was changed")
    if _found(connection, sql.Identifier(SCHEMA, recorded), key, rows):
        return replace(rows, keys=(), doubt="rows that were recorded were written by the same migration")
    found = _found(connection, sql.Identifier(*rows.table), key, rows)
    return replace(rows, keys=tuple(found)) if found else None


def made_by_django(
    connection: Connection, types: TableKey, permissions: TableKey, recorded: tuple[str, str] | None
) -> tuple[Rows, ...]:
    """Permissions and content types that Django made for models that are not there; the permissions come first.

    `recorded` are the temporary tables of the recorded content types and permissions; without them those that were
    recorded are among the rows. Django makes all permissions of an app in one transaction (create_permissions). A
    transaction that made the four default ones of a model, and none that was recorded, is taken for one of Django's:
    applications make permissions too, and content types when they first need them, but not like that.
    """
    old_type, old_permission = _recorded_ones(recorded)
    statement = sql.SQL(
        """
        WITH made AS (
            SELECT c.id, p.xmin::text AS maker
            FROM {types} c JOIN {permissions} p ON p.content_type_id = c.id
            WHERE p.codename = ANY (ARRAY(SELECT a || '_' || c.model FROM unnest(%(actions)s::text[]) AS a))
                AND NOT {old_type} AND NOT {old_permission}
                AND NOT EXISTS (SELECT FROM pg_class t WHERE t.relname = c.app_label || '_' || c.model
                                AND t.relkind IN ('r', 'p'))
                AND p.xmin::text NOT IN (SELECT p.xmin::text FROM {permissions} p WHERE {old_permission})
            GROUP BY 1, 2 HAVING count(*) = %(number)s)
        SELECT ARRAY(SELECT p.id::text FROM {permissions} p
                     WHERE NOT {old_permission} AND p.xmin::text IN (SELECT maker FROM made)),
               ARRAY(SELECT id::text FROM made)
        """
    ).format(
        types=sql.Identifier(*types),
        permissions=sql.Identifier(*permissions),
        old_type=old_type,
        old_permission=old_permission,
    )
    values = {"actions": list(_DEFAULT_PERMISSIONS), "number": len(_DEFAULT_PERMISSIONS)}
    found = connection.execute(statement, values).fetchone() or ((), ())
    return tuple(
        Rows(_oid(connection, table), table, table, tuple((each,) for each in keys))
        for table, keys in zip((permissions, types), found, strict=True)
        if keys
    )


def remove(connection: Connection, found: Sequence[Rows]) -> Counter[TableKey]:
    """Delete those rows that nothing refers to, and then those that nothing refers to any more; by table, how many.

    The rows are locked first, and looked at again in a later statement: a reference that another transaction is just
    making would otherwise be overlooked, and one that cascades would take its row along.
    """
    for rows in found:
        connection.execute(_on(connection, "SELECT FROM ONLY {table} AS t WHERE {keys} FOR UPDATE", rows))
    removed: Counter[TableKey] = Counter()
    while True:
        before = removed.total()
        for rows in found:
            statement = _on(connection, "DELETE FROM ONLY {table} AS t WHERE {keys} AND NOT ({referred})", rows)
            removed[rows.table] += connection.execute(statement).rowcount
        if removed.total() == before:
            return removed


def _on(connection: Connection, statement: str, rows: Rows) -> sql.Composed:
    target = read_target(connection, rows.table)
    return sql.SQL(statement).format(
        table=sql.Identifier(*rows.table),
        keys=_is_one_of(primary_key(connection, rows.oid), rows),
        referred=sql.SQL(" OR ").join([sql.SQL("false"), *map(_refers, target.referrers if target else ())]),
    )


def _refers(foreign_key: ForeignKey) -> sql.Composed:
    pairs = zip(foreign_key.columns, foreign_key.keys, strict=True)
    equal = [sql.SQL("{} = {}").format(sql.Identifier("c", here), sql.Identifier("t", there)) for here, there in pairs]
    child = sql.Identifier(*foreign_key.child)
    return sql.SQL("EXISTS (SELECT FROM {} AS c WHERE {})").format(child, sql.SQL(" AND ").join(equal))


def _found(connection: Connection, table: sql.Identifier, key: Sequence[str], rows: Rows) -> list[tuple[str, ...]]:
    statement = sql.SQL("SELECT {} FROM ONLY {} AS t WHERE {}").format(
        key_texts(key, "t"), table, _is_one_of(key, rows)
    )
    return connection.execute(statement).fetchall()


def _is_one_of(key: Sequence[str], rows: Rows) -> sql.Composed:
    # Literals, not parameters: the name of a column may look like a placeholder.
    arrays = [sql.SQL("{}::text[]").format(list(column)) for column in zip(*rows.keys, strict=True)]
    return sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(key_texts(key, "t"), sql.SQL(", ").join(arrays))


def _recorded_ones(recorded: tuple[str, str] | None) -> tuple[sql.Composable, sql.Composable]:
    """SQL, whether a content type `c` and a permission `p` were recorded."""
    if recorded is None:
        return sql.SQL("false"), sql.SQL("false")
    types, permissions = (sql.Identifier(SCHEMA, name) for name in recorded)
    return (
        sql.SQL("EXISTS (SELECT FROM {} r WHERE r.id = c.id)").format(types),
        sql.SQL("EXISTS (SELECT FROM {} r WHERE r.id = p.id)").format(permissions),
    )


def _oid(connection: Connection, table: TableKey) -> int:
    row = connection.execute("SELECT to_regclass(%s)::oid", (sql.Identifier(*table).as_string(),)).fetchone()
    return int(row[0] or 0) if row else 0
