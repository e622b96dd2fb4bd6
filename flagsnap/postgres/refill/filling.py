"""The set-based SQL of a refill: whole rows, from temporary tables into live ones, and the sequences of those."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from flagsnap.errors import FlagsnapError
from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection, lift_time_limits
from flagsnap.postgres.refill.row_sql import (
    Loaded,
    Written,
    alias,
    assignments,
    conjunction,
    differ,
    fitting,
    has_parent,
    listed,
    of,
    same,
)
from flagsnap.postgres.refill.targets import Target, UniqueIndex


def analyze(connection: Connection, loaded: Loaded, columns: Sequence[str]) -> None:
    """Let the planner know the temporary table; autovacuum cannot see it."""
    some = sql.SQL("({})").format(listed(columns)) if columns else sql.SQL("")
    connection.execute(sql.SQL("ANALYZE {}{}").format(loaded.source, some))


def keep_only(connection: Connection, loaded: Loaded, condition: str) -> Loaded:
    """Keep the recorded rows that a condition names, which is SQL about the table itself. Unfit if it fails."""
    if not condition:
        return loaded
    with fitting(connection):
        statement = sql.SQL("DELETE FROM {} AS {} WHERE ({}) IS NOT TRUE")
        gone = connection.execute(statement.format(loaded.source, alias(loaded.target), sql.SQL(condition)))
    return replace(loaded, rows=loaded.rows - gone.rowcount)


def drop_orphans(connection: Connection, loaded: Loaded, others: Sequence[Loaded]) -> int:
    """Leave out recorded rows whose parent is neither live nor among the rows that come back; gives their number."""
    dropped = 0
    for key in loaded.target.foreign_keys:
        if not set(key.columns) <= set(loaded.columns):
            continue
        parents = [sql.Identifier(*key.parent)]
        parents += [other.source for other in others if key.parent in other.target.roots]
        missing = [sql.SQL("NOT {}").format(has_parent(parent, key, {})) for parent in parents]
        filled = [sql.SQL("{} IS NOT NULL").format(of("s", column)) for column in key.columns]
        statement = sql.SQL("DELETE FROM {} AS s WHERE {}").format(loaded.source, conjunction([*filled, *missing]))
        dropped += connection.execute(statement).rowcount
    return dropped


def count_rows(connection: Connection, loaded: Loaded) -> int:
    """How many recorded rows are left."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(loaded.source)).fetchone()
    return int(row[0]) if row else 0


def is_empty(connection: Connection, target: Target) -> bool:
    """Whether a table has no rows of its own."""
    statement = sql.SQL("SELECT FROM {} LIMIT 1").format(target.rows)
    return connection.execute(statement).fetchone() is None


def insert(connection: Connection, loaded: Loaded, key: Sequence[str] = ()) -> int:
    """Insert the recorded rows, with a key those that are not there; gives their number."""
    columns = loaded.writable()
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS s").format(
        sql.Identifier(*loaded.target.key), listed(columns), listed(columns, "s"), loaded.source
    )
    if key:
        statement += sql.SQL(" WHERE NOT EXISTS (SELECT FROM {} AS t WHERE {})").format(
            loaded.target.rows, same(key, "t", "s")
        )
    return connection.execute(statement).rowcount


def replace_all(connection: Connection, loaded: Loaded) -> Written:
    """Put the recorded rows in the place of all that are there. FlagsnapError if something refers to those."""
    _refuse_referred(connection, loaded.target, sql.SQL("SELECT * FROM {}").format(loaded.target.rows))
    gone = connection.execute(sql.SQL("DELETE FROM {}").format(loaded.target.rows)).rowcount
    return Written(insert(connection, loaded), gone)


def merge(connection: Connection, loaded: Loaded, key: Sequence[str]) -> Written:
    """Write the recorded rows over those of the same key, and the others beside; they win against whatever clashes."""
    gone = sum(_give_way(connection, loaded, key, index) for index in loaded.target.unique)
    columns = [name for name in loaded.writable() if name not in key]
    updated = 0
    if columns:
        statement = sql.SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE {} AND {}").format(
            loaded.target.rows,
            assignments({name: of("s", name) for name in columns}),
            loaded.source,
            same(key, "t", "s"),
            differ([of("t", name) for name in columns], [of("s", name) for name in columns]),
        )
        updated = connection.execute(statement).rowcount
    return Written(updated + insert(connection, loaded, key), updated + gone)


def _give_way(connection: Connection, loaded: Loaded, key: Sequence[str], index: UniqueIndex) -> int:
    """Delete the rows that a unique index would hold against recorded ones; gives their number."""
    target = loaded.target
    numbered = [sql.Identifier(f"flagsnap {number}") for number in range(len(index.expressions))]
    selected = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(sql.SQL(expression), name)
        for expression, name in zip(index.expressions, numbered, strict=True)
    )
    equal = sql.SQL("IS NOT DISTINCT FROM" if index.nulls_are_equal else "=")

    def side(rows: sql.Composable) -> sql.Composed:
        return sql.SQL("(SELECT {}, {} FROM {} AS {} WHERE {})").format(
            listed(key), selected, rows, alias(target), sql.SQL(index.predicate)
        )

    doomed = sql.SQL("SELECT t.* FROM {} AS t JOIN {} AS l ON {} JOIN {} AS s ON {} WHERE NOT ({})").format(
        target.rows,
        side(target.rows),
        same(key, "t", "l"),
        side(loaded.source),
        conjunction([sql.SQL("l.{0} {1} s.{0}").format(name, equal) for name in numbered]),
        same(key, "l", "s"),
    )
    _refuse_referred(connection, target, doomed)
    statement = sql.SQL("DELETE FROM {} AS t USING ({}) AS d WHERE {}").format(target.rows, doomed, same(key, "t", "d"))
    return connection.execute(statement).rowcount


def _refuse_referred(connection: Connection, target: Target, doomed: sql.Composable) -> None:
    """FlagsnapError if deleting rows would change those of other tables."""
    for key in target.referrers:
        if not key.deletes:
            continue
        same = [
            sql.SQL("c.{} = d.{}").format(sql.Identifier(column), sql.Identifier(parent))
            for column, parent in zip(key.columns, key.keys, strict=True)
        ]
        statement = sql.SQL("SELECT FROM {} AS c JOIN ({}) AS d ON {} LIMIT 1").format(
            sql.Identifier(*key.child), doomed, conjunction(same)
        )
        if connection.execute(statement).fetchone() is not None:
            raise FlagsnapError(
                f"rows of {target.object} are in the way, and {'.'.join(key.child)} refers to them",
                "delete those rows, and run the refill again",
            )


def analyze_tables(connection: Connection, targets: Sequence[Target]) -> None:
    """Give the planner fresh statistics of live tables."""
    for target in targets:
        with connection.transaction():
            lift_time_limits(connection)
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*target.key)))


def set_sequences(connection: Connection, target: Target, recorded: Mapping[TableKey, int]) -> None:
    """Let the sequences of a table go on behind what they have given, were recorded at, and what the columns hold.

    `setval` is not undone with the transaction, so it comes last.
    """
    for name, column in target.columns.items():
        if column.sequence is not None:
            row = connection.execute(
                "SELECT n.nspname, c.relname, s.seqincrement > 0 FROM pg_sequence s"
                " JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE s.seqrelid = %s::regclass",
                (column.sequence,),
            ).fetchone()
            if row is not None:
                schema, sequence, rises = row
                _set(connection, target, name, (schema, sequence), recorded.get((schema, sequence)), rises=rises)


def _set(
    connection: Connection, target: Target, column: str, sequence: TableKey, recorded: int | None, *, rises: bool
) -> None:
    connection.execute(
        sql.SQL(
            """
            SELECT setval(seqrelid, goal) FROM (
                SELECT s.*, now, {furthest}(now, {recorded}, (SELECT {last}({column})::bigint FROM {table})) AS goal
                FROM pg_sequence s, {sequence} q,
                    LATERAL (SELECT q.last_value - CASE WHEN q.is_called THEN 0 ELSE s.seqincrement END) AS n (now)
                WHERE s.seqrelid = {name}::regclass
            ) AS g
            WHERE goal <> now AND goal BETWEEN seqmin AND seqmax
            """
        ).format(
            furthest=sql.SQL("GREATEST" if rises else "LEAST"),
            last=sql.SQL("max" if rises else "min"),
            recorded=sql.Literal(recorded),
            column=sql.Identifier(column),
            table=sql.Identifier(*target.key),
            sequence=sql.Identifier(*sequence),
            name=sql.Literal(sql.Identifier(*sequence).as_string()),
        )
    )
