"""Which rows a deploy's migrations made, and Django after them: proofs, from what PostgreSQL keeps beside each row.

Django records an atomic migration in the migration's own transaction, if no SQL was deferred to its end
(MigrationExecutor.apply_migration), so `xmin` of its row in `django_migrations` is that of the rows that it wrote.
PostgreSQL keeps `xmin` when it freezes a row, and when VACUUM FULL or CLUSTER move it; an UPDATE and an ALTER TABLE
that rewrites the table give rows the `xmin` of their own transaction. So a row has the migration's `xmin` because the
migration inserted it, or because it updated or rewrote what somebody else had inserted. It was inserted

- if nothing but INSERT was done to the table since the capture, by the counters of pg_stat_all_tables (which count from
  zero again after a crash or a reset: `Counters` knows by those of `django_migrations`),
- and if the table was not rewritten: it still has the file that it was created with (a parallel pg_restore truncates
  what it fills, so it has not), or rows that are older, or its row in pg_class is older, which names the file
  (RelationSetNewRelfilenumber in relcache.c writes a new one).

Rows written in a savepoint (`get_or_create`, `atomic()`) have a transaction id of their own, which comes after the
migration's and before whatever is known to come next. Everybody else's ids lie there too. Where the server keeps commit
timestamps, theirs is the migration's. Elsewhere such a row is the migration's if a unique column has the very text that
the migration's code creates a row with: nobody else can insert it once the migration has. Somebody may have been faster
while the migration was at other things; but then it has a later place in its transaction (`cmin`, which savepoints
share) than a row has that was written by itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from flagsnap.loss.values import TableKey
from flagsnap.migrations import Migration
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.facts import read_statistics
from flagsnap.snapshot import RecordedDatabase, TableRows

MOST_ROWS = 10_000
"""Of so many rows of one table the keys are remembered, of more none."""
MIGRATIONS = "django_migrations"
DJANGOS = ("auth_permission", "django_content_type")
"""The tables that Django fills by itself after `migrate`; those that refer to others first."""

_XIDS = 2**32


@dataclass(frozen=True)
class Author:
    """The transaction that a migration ran in.

    Attributes:
        reach: how many ids from its own on may be those of its savepoints.
        values: columns and texts with which its code creates rows.
    """

    xid: int
    reach: int
    values: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Rows:
    """Rows of one table, by the texts of their primary key.

    Attributes:
        table: its recorded name.
        live: what it was called before anything was unapplied.
        doubt: why it cannot be told whether they are the deploy's; there are no keys then.
    """

    oid: int
    table: TableKey
    live: TableKey
    keys: tuple[tuple[str, ...], ...] = ()
    doubt: str = ""


@dataclass(frozen=True)
class Counters:
    """What was written to tables since the capture, if PostgreSQL's counters have counted on since."""

    recorded: dict[TableKey, TableRows]
    working: bool

    @classmethod
    def read(cls, connection: Connection, recorded: RecordedDatabase) -> "Counters":
        """They work if `django_migrations` was given its new rows since, and nobody changed one."""
        tables = {(table.schema_name, table.table): table for table in recorded.tables}
        then = next((each for key, each in tables.items() if key[1] == MIGRATIONS), None)
        row = connection.execute("SELECT count(*), %s::regclass::oid FROM django_migrations", (MIGRATIONS,)).fetchone()
        if then is None or row is None:
            return cls(tables, working=False)
        inserted, updated, _ = _counters(connection, row[1])
        new = row[0] - then.rows
        counted_on = read_statistics(connection).continues(recorded.statistics)
        return cls(tables, working=counted_on and inserted >= then.inserted + new and updated == then.updated)

    def only_inserts(self, connection: Connection, oid: int, table: TableKey) -> bool:
        """Whether a recorded table, which has this oid now, was only inserted into since the capture."""
        then = self.recorded[table]
        inserted, updated, deleted = _counters(connection, oid)
        return self.working and inserted >= then.inserted and (updated, deleted) == (then.updated, then.deleted)


def read_authors(connection: Connection, values: Mapping[Migration, frozenset[tuple[str, str]]]) -> tuple[Author, ...]:
    """The transactions of migrations, the oldest first; without those that recorded others too, such as a restore.

    `values` are the columns and texts with which each of them creates rows.
    """
    rows = connection.execute(f"SELECT app, name, xmin::text::bigint FROM {MIGRATIONS} ORDER BY id").fetchall()  # noqa: S608
    times = Counter(xid for _, _, xid in rows)
    events = {*times, *_djangos_own(connection)}
    exact = has_commit_timestamps(connection)
    return tuple(
        Author(xid, _XIDS // 2 if exact else reach(xid, events), values[Migration(app, name)])
        for app, name, xid in rows
        if Migration(app, name) in values and times[xid] == 1
    )


def has_commit_timestamps(connection: Connection) -> bool:
    """Whether the server keeps the time at which each transaction committed (`track_commit_timestamp`)."""
    row = connection.execute("SELECT current_setting('track_commit_timestamp') = 'on'").fetchone()
    return bool(row and row[0])


def reach(xid: int, events: Iterable[int]) -> int:
    """How many transaction ids there are from one up to the next event; 1 if no event is known to come later.

    Ids wrap around at 2^32: of two, the later is the one that is less than half of that ahead (transam/README).
    """
    ahead = ((event - xid) % _XIDS for event in events if event != xid)
    return min((distance for distance in ahead if distance < _XIDS // 2), default=1)


def read_rows(
    connection: Connection,
    live: TableKey,
    recorded: TableKey,
    authors: Sequence[Author],
    counters: Counters,
) -> Rows | None:
    """The rows that the authors made in a table, None if there is none, or no such table."""
    row = connection.execute(
        "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE (n.nspname, c.relname) = (%s, %s) AND c.relkind = 'r'",
        live,
    ).fetchone()
    if row is None or not authors:
        return None
    oid = int(row[0])
    key = primary_key(connection, oid)
    keys = _keys_of(connection, oid, live, key, authors)
    if not keys:
        return None
    doubt = ""
    if not key:
        doubt = "it has no primary key"
    elif len(keys) > MOST_ROWS:
        doubt = f"there are more than {MOST_ROWS:,}"
    elif not counters.only_inserts(connection, oid, recorded):
        doubt = "rows were updated or deleted there since the capture, or nobody counted"
    elif not _is_as_created(connection, oid, live, authors[0]):
        doubt = "the table was rewritten"
    return Rows(oid, recorded, live, () if doubt else keys, doubt)


def primary_key(connection: Connection, oid: int) -> tuple[str, ...]:
    """The columns of a table's primary key in their order; empty if it has none."""
    rows = connection.execute(
        """
        SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, position), pg_attribute a
        WHERE i.indrelid = %s AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY position
        """,
        (oid,),
    ).fetchall()
    return tuple(name for (name,) in rows)


def key_texts(key: Sequence[str], alias: str) -> sql.Composed:
    """SQL of the texts of a key's columns, of the table that goes by `alias`."""
    columns = [sql.SQL("{}::text").format(sql.Identifier(alias, column)) for column in key]
    return sql.SQL(", ").join(columns)


def _keys_of(
    connection: Connection, oid: int, live: TableKey, key: Sequence[str], authors: Sequence[Author]
) -> tuple[tuple[str, ...], ...]:
    # Literals, not parameters: the name of a column may look like a placeholder.
    statement = sql.SQL(
        """
        SELECT ARRAY[{key}]::text[] FROM ONLY {table} AS t
        WHERE EXISTS (
            SELECT FROM unnest({xids}::bigint[], {reaches}::bigint[]) AS a(xid, reach),
                 mod(t.xmin::text::bigint - a.xid + 4294967296, 4294967296) AS distance
            WHERE distance = 0 OR distance < reach AND {known})
        LIMIT {most}
        """
    ).format(
        key=key_texts(key, "t"),
        table=sql.Identifier(*live),
        xids=sql.Literal([author.xid for author in authors]),
        reaches=sql.Literal([author.reach for author in authors]),
        known=_known(connection, oid, authors),
        most=sql.Literal(MOST_ROWS + 1 if key else 1),
    )
    return tuple(tuple(found) for (found,) in connection.execute(statement).fetchall())


def _known(connection: Connection, oid: int, authors: Sequence[Author]) -> sql.Composable:
    """SQL, whether a row `t` whose id lies behind the migration's `a` is the migration's."""
    if has_commit_timestamps(connection):
        return sql.SQL("pg_xact_commit_timestamp(t.xmin) = pg_xact_commit_timestamp(a.xid::text::xid)")
    rows = connection.execute(
        """
        SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL
          AND t.typcategory = 'S'
        """,
        (oid,),
    ).fetchall()
    unique = {column for (column,) in rows}
    values = [
        sql.SQL("a.xid = {} AND {}::text = {}").format(author.xid, sql.Identifier("t", column), text)
        for author in authors
        for column, text in sorted(author.values)
        if column in unique
    ]
    return sql.SQL("(distance = 1 OR t.cmin::text <> '0') AND ({})").format(
        sql.SQL(" OR ").join([sql.SQL("false"), *values])
    )


def _is_as_created(connection: Connection, oid: int, live: TableKey, oldest: Author) -> bool:
    """Whether a table was not rewritten by the oldest author or since."""
    statement = sql.SQL(
        """
        SELECT pg_relation_filenode({oid}) = {oid}
            OR EXISTS (SELECT FROM pg_class AS t WHERE t.oid = {oid} AND {older})
            OR EXISTS (SELECT FROM ONLY {table} AS t WHERE {older})
        """
    ).format(
        oid=oid,
        table=sql.Identifier(*live),
        older=sql.SQL("mod({xid} - t.xmin::text::bigint + 4294967296, 4294967296) BETWEEN 1 AND 2147483647").format(
            xid=oldest.xid
        ),
    )
    row = connection.execute(statement).fetchone()
    return bool(row and row[0])


def _djangos_own(connection: Connection) -> list[int]:
    """The transactions that made content types and permissions."""
    found: list[int] = []
    for table in DJANGOS:
        row = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
        if row and row[0] is not None:
            rows = connection.execute(f"SELECT DISTINCT xmin::text::bigint FROM {table}").fetchall()  # noqa: S608
            found += [xid for (xid,) in rows]
    return found


def _counters(connection: Connection, oid: int) -> tuple[int, int, int]:
    row = connection.execute(
        "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_all_tables WHERE relid = %s", (oid,)
    ).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)
