"""What a refill has to know of the live tables that it fills: columns, keys, and what refers to what."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Connection


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        empty: SQL of the values beside NULL that nobody has written: the default, and the one that ADD COLUMN gave to
            the rows that were there (Django drops that default at once; `pg_attribute.attmissingval` keeps it).
        sequence: the sequence that belongs to it, as SQL.
    """

    type: str
    empty: tuple[str, ...]
    generated: bool
    always_identity: bool
    sequence: str | None


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key.

    Attributes:
        deletes: whether deleting the parent's row changes the child's.
        deferrable: whether it is enough that it holds in the end.
    """

    child: TableKey
    columns: tuple[str, ...]
    parent: TableKey
    keys: tuple[str, ...]
    deletes: bool
    deferrable: bool


@dataclass(frozen=True)
class UniqueIndex:
    """A unique index, of columns or expressions, on the rows that fulfil its predicate."""

    expressions: tuple[str, ...]
    predicate: str
    nulls_are_equal: bool


@dataclass(frozen=True)
class Target:
    """A live table.

    Attributes:
        tree: itself and its partitions, which hold its triggers.
        roots: itself and the tables that it is a partition of, to which foreign keys may refer.
        foreign_keys: those to its parents.
        referrers: those of its children.
    """

    key: TableKey
    partitioned: bool
    columns: Mapping[str, Column]
    tree: tuple[TableKey, ...]
    roots: tuple[TableKey, ...]
    foreign_keys: tuple[ForeignKey, ...]
    referrers: tuple[ForeignKey, ...]
    unique: tuple[UniqueIndex, ...]

    @property
    def object(self) -> str:
        """The table in words."""
        return ".".join(self.key)

    @cached_property
    def rows(self) -> sql.Composable:
        """The table in SQL, without the rows of its heirs, which are others' items."""
        name = sql.Identifier(*self.key)
        return name if self.partitioned else sql.SQL("ONLY {}").format(name)

    def writable(self, columns: Collection[str]) -> list[str]:
        """Those of the columns that it has and that can be written."""
        return [name for name in columns if name in self.columns and not self.columns[name].generated]


def read_target(connection: Connection, key: TableKey) -> Target | None:
    """Read a table, None if there is none of that name."""
    row = connection.execute(
        "SELECT c.oid, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')",
        key,
    ).fetchone()
    if row is None:
        return None
    oid, partitioned = row
    return Target(
        key=key,
        partitioned=bool(partitioned),
        columns=dict(_columns(connection, oid)),
        tree=(key, *_relatives(connection, "pg_partition_tree", oid)),
        roots=(key, *_relatives(connection, "pg_partition_ancestors", oid)),
        foreign_keys=tuple(_foreign_keys(connection, "conrelid", oid)),
        referrers=tuple(_foreign_keys(connection, "confrelid", oid)),
        unique=tuple(_unique_indexes(connection, oid)),
    )


def parents_first(targets: Sequence[Target]) -> list[Target]:
    """Each after those that it refers to by keys that must hold at once; in a circle of such as they come."""
    by_root = {root: target for target in targets for root in target.roots}
    placed: dict[TableKey, Target] = {}
    begun: set[TableKey] = set()

    def place(target: Target) -> None:
        if target.key in begun:
            return
        begun.add(target.key)
        for foreign_key in target.foreign_keys:
            if not foreign_key.deferrable and (parent := by_root.get(foreign_key.parent)):
                place(parent)
        placed[target.key] = target

    for target in targets:
        place(target)
    return list(placed.values())


def _columns(connection: Connection, oid: int) -> Iterator[tuple[str, Column]]:
    # A default that takes a number from a sequence is not to be evaluated.
    rows = connection.execute(
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', a.attidentity = 'a',
            CASE WHEN a.attgenerated = '' THEN pg_get_expr(e.adbin, e.adrelid) END,
            CASE WHEN a.atthasmissing THEN quote_literal((a.attmissingval::text::text[])[1]) END,
            pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)
        FROM pg_attribute a LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
        WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
        """,
        (oid,),
    ).fetchall()
    for name, kind, generated, always, default, missing, sequence in rows:
        values = [value for value in (default, missing) if value and "nextval(" not in value]
        empty = tuple(f"({value})::{kind}" for value in values)
        yield name, Column(kind, empty, bool(generated), bool(always), sequence)


def _relatives(connection: Connection, function: str, oid: int) -> list[TableKey]:
    return connection.execute(
        sql.SQL(
            "SELECT n.nspname, c.relname FROM {}(%s) AS r (relid) JOIN pg_class c ON c.oid = r.relid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid <> %s"
        ).format(sql.Identifier(function)),
        (oid, oid),
    ).fetchall()


def _foreign_keys(connection: Connection, side: str, oid: int) -> Iterator[ForeignKey]:
    """Without the entries that PostgreSQL makes for each partition of the other side."""
    # Since PostgreSQL 18 some are only declared (conenforced), and others are about periods of time (conperiod).
    counts = "k.conenforced AND NOT k.conperiod" if connection.info.server_version >= 180000 else "true"
    statement = sql.SQL(
        """
        SELECT cn.nspname, c.relname, {columns}, pn.nspname, p.relname, {keys}, k.confdeltype IN ('c', 'n', 'd'),
            k.condeferrable
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
        JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE k.contype = 'f' AND k.{side} = %s AND {counts}
            AND NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid AND up.{side} = k.{side})
        """
    ).format(
        columns=_names("conrelid", "conkey"),
        keys=_names("confrelid", "confkey"),
        side=sql.Identifier(side),
        counts=sql.SQL(counts),
    )
    for cs, ct, columns, ps, pt, keys, deletes, deferrable in connection.execute(statement, (oid,)).fetchall():
        yield ForeignKey((cs, ct), tuple(columns), (ps, pt), tuple(keys), bool(deletes), bool(deferrable))


def _names(table: str, numbers: str) -> sql.Composed:
    return sql.SQL(
        "ARRAY(SELECT a.attname::text FROM unnest(k.{}) WITH ORDINALITY AS u (number, place)"
        " JOIN pg_attribute a ON a.attrelid = k.{} AND a.attnum = u.number ORDER BY u.place)"
    ).format(sql.Identifier(numbers), sql.Identifier(table))


def _unique_indexes(connection: Connection, oid: int) -> Iterator[UniqueIndex]:
    rows = connection.execute(
        """
        SELECT ARRAY(SELECT pg_get_indexdef(i.indexrelid, place, false) FROM generate_series(1, i.indnkeyatts) place),
            coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'), i.indnullsnotdistinct
        FROM pg_index i WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid
        """,
        (oid,),
    ).fetchall()
    for expressions, predicate, nulls_are_equal in rows:
        yield UniqueIndex(tuple(expressions), predicate, bool(nulls_are_equal))
