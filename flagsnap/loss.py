"""Losses: what a route destroys or cannot bring back, in rows, each with its remedy.

Two steps, so that this module stays free of I/O: `structural` compares the recorded with the live catalog and asks
questions; somebody with a connection counts; a question with its count is a loss. What is not understood counts as a
loss.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flagsnap.catalog import Catalog, CatalogObject
from flagsnap.migrations import Node

Route = Literal["unapply", "restore"]
Remedy = Literal["archived", "refilled", "kept", "lost"]
Kind = Literal[
    "table_dropped",
    "table_emptied",
    "column_dropped",
    "column_emptied",
    "type_narrowed",
    "reverse_does_nothing",
    "written_since",
]
TableKey = tuple[str, str]


@dataclass(frozen=True)
class CreatedTable:
    """A migration created a table."""

    table: str


@dataclass(frozen=True)
class DroppedTable:
    """A migration dropped a table."""

    table: str


@dataclass(frozen=True)
class RanSql:
    """A migration ran SQL of the project's own."""

    sql: str


@dataclass(frozen=True)
class RenamedTable:
    """A migration renamed a table."""

    table: str
    to: str


@dataclass(frozen=True)
class RenamedColumn:
    """A migration renamed a column of `table`, as the table was called then."""

    table: str
    column: str
    to: str


@dataclass(frozen=True)
class AddedColumn:
    """A migration added a column; its rows were given `default`, an SQL literal, None if that is not known."""

    table: str
    column: str
    default: str | None


@dataclass(frozen=True)
class DroppedColumn:
    """A migration dropped a column."""

    table: str
    column: str


Effect = CreatedTable | DroppedTable | RanSql | RenamedTable | RenamedColumn | AddedColumn | DroppedColumn


@dataclass(frozen=True)
class Loss:
    """One loss; `rows` is None where it cannot be told."""

    route: Route
    kind: Kind
    object: str
    rows: int | None
    remedy: Remedy

    @property
    def needs_consent(self) -> bool:
        """Whether somebody must agree: neither an archive nor the snapshot brings it back by itself."""
        return self.remedy in {"kept", "lost"} and self.rows != 0


@dataclass(frozen=True)
class Question:
    """A possible loss whose rows have to be counted on the live database, or are `recorded` already.

    Attributes:
        column: None for all rows of the table.
        default: SQL of the value that is no loss, None for NULL.
        type: the column's type in the live database.
        fits: the recorded type, if the question is which values it cannot carry.
    """

    kind: Kind
    schema: str
    table: str
    column: str | None = None
    default: str | None = None
    type: str | None = None
    fits: str | None = None
    recorded: int | None = None

    @property
    def object(self) -> str:
        """The table or column in words."""
        return ".".join(part for part in (self.schema, self.table, self.column) if part)

    def answered(self, rows: int) -> Loss:
        """The loss of unapplying."""
        return Loss("unapply", self.kind, self.object, rows, "lost")


def structural(
    recorded: Catalog, live: Catalog, effects: Iterable[Effect], recorded_rows: Mapping[TableKey, int]
) -> Iterator[Question]:
    """What unapplying does to rows: of tables and columns that go, that come back empty, and that change their type."""
    effects = tuple(effects)
    names = _Names.following(recorded, effects)
    recorded_tables = _tables(recorded)
    live_tables = _tables(live)
    stay = set(made_by_no_migration(recorded, live, effects))
    for schema, table in sorted(live_tables - set(names.tables.values()) - stay):
        yield Question("table_dropped", schema, table)
    for key in sorted(recorded_tables):
        now = names.tables[key]
        if now in live_tables:
            yield from _columns(recorded, live, key, now, names, recorded_rows)
        else:
            yield Question("table_emptied", *key, recorded=recorded_rows.get(key, 0))


def made_by_no_migration(recorded: Catalog, live: Catalog, effects: Iterable[Effect]) -> tuple[TableKey, ...]:
    """Tables that are there now, were not recorded, and that none of the extra migrations made.

    Unapplying does not touch them. Flagsmith's `migrate` makes some (`createcachetable`), administrators make others.
    """
    effects = tuple(effects)
    names = _Names.following(recorded, effects)
    made: set[str] = set()
    for effect in effects:
        if isinstance(effect, CreatedTable):
            made.add(effect.table)
        elif isinstance(effect, RenamedTable) and effect.table in made:
            made.add(effect.to)
    sql = " ".join(effect.sql for effect in effects if isinstance(effect, RanSql))
    extra = sorted(_tables(live) - set(names.tables.values()))
    return tuple((schema, table) for schema, table in extra if table not in made and table not in sql)


def made_before(recorded: Catalog, live: Catalog, effects: Iterable[Effect]) -> tuple[str, ...]:
    """Tables that the extra migrations create by their code, though they were recorded and nothing new was made.

    The migration is then another form of what had made them (squashed, or moved to another app), or was applied with
    `--fake`. To unapply it would drop what was recorded.
    """
    there = {name for _, name in _tables(recorded)}
    added = {name for _, name in _tables(live) - _tables(recorded)}
    found: list[str] = []
    for effect in effects:
        if isinstance(effect, CreatedTable):
            if effect.table in there and effect.table not in added:
                found.append(effect.table)
            there.add(effect.table)
        elif isinstance(effect, DroppedTable):
            there.discard(effect.table)
        elif isinstance(effect, RenamedTable):
            there.discard(effect.table)
            there.add(effect.to)
    return tuple(found)


def _tables(catalog: Catalog) -> set[TableKey]:
    return {(table.schema, table.name) for table in catalog.tables()}


def _columns(
    recorded: Catalog,
    live: Catalog,
    key: TableKey,
    now: TableKey,
    names: "_Names",
    recorded_rows: Mapping[TableKey, int],
) -> Iterator[Question]:
    before, after = recorded.columns(*key), live.columns(*now)
    renamed = {column: names.columns.get((*key, column), column) for column in before}
    for column in after:
        if column not in renamed.values() and not after[column].attributes.get("generated"):
            default = names.defaults.get((now[1], column)) or _default(after[column])
            now_type = str(after[column].attributes["type"])
            yield Question("column_dropped", *now, column, default=default, type=now_type)
    for column, live_name in renamed.items():
        if live_name not in after:
            yield Question("column_emptied", *key, column, recorded=recorded_rows.get(key, 0))
            continue
        was, is_now = (str(side.attributes["type"]) for side in (before[column], after[live_name]))
        if not carries(is_now, was):
            yield Question("type_narrowed", *now, live_name, type=is_now, fits=was)


def _default(column: CatalogObject) -> str | None:
    default = column.attributes.get("default")
    # To ask a sequence for its next value would change it.
    return None if default is None or "nextval(" in str(default) else str(default)


_GONE = ""  # the name of nothing


@dataclass(frozen=True)
class _Names:
    """What recorded tables and columns are called in the live database, and the defaults of added columns there.

    A table or column that a migration has dropped is called by no name, even if another one made it anew: its rows or
    values do not come back.
    """

    tables: dict[TableKey, TableKey]
    columns: dict[tuple[str, str, str], str]
    defaults: dict[tuple[str, str], str]

    @classmethod
    def following(cls, recorded: Catalog, effects: Iterable[Effect]) -> "_Names":
        names = cls({(table.schema, table.name): (table.schema, table.name) for table in recorded.tables()}, {}, {})
        for effect in effects:
            names._follow(recorded, effect)
        return names

    def _follow(self, recorded: Catalog, effect: Effect) -> None:
        if isinstance(effect, RenamedTable):
            self._rename_table(effect.table, effect.to)
        elif isinstance(effect, DroppedTable):
            self._rename_table(effect.table, _GONE)
        elif isinstance(effect, RenamedColumn):
            self._rename_column(recorded, effect.table, effect.column, effect.to)
        elif isinstance(effect, DroppedColumn):
            self._rename_column(recorded, effect.table, effect.column, _GONE)
        elif isinstance(effect, AddedColumn) and effect.default is not None:
            self.defaults[effect.table, effect.column] = effect.default

    def _rename_table(self, old: str, new: str) -> None:
        for key, (schema, table) in self.tables.items():
            if table == old:
                self.tables[key] = (schema, new)
        for table, column in [key for key in self.defaults if key[0] == old]:
            self.defaults[new, column] = self.defaults.pop((table, column))

    def _rename_column(self, recorded: Catalog, owner: str, old: str, new: str) -> None:
        for key, (_, table) in self.tables.items():
            for column in recorded.columns(*key) if table == owner else ():
                if self.columns.get((*key, column), column) == old:
                    self.columns[*key, column] = new
        if default := self.defaults.pop((owner, old), None):
            self.defaults[owner, new] = default


_INTEGERS = {"smallint": 16, "integer": 32, "bigint": 64}
_VARCHAR = re.compile(r"character varying(?:\((\d+)\))?")


def carries(from_type: str, to_type: str) -> bool:
    """Whether every value of one type is a value of the other, so that a change of the type loses nothing."""
    if from_type == to_type or (to_type == "text" and _is_text(from_type)):
        return True
    if from_type in _INTEGERS and to_type in _INTEGERS:
        return _INTEGERS[from_type] <= _INTEGERS[to_type]
    narrow, wide = _VARCHAR.fullmatch(from_type), _VARCHAR.fullmatch(to_type)
    if wide and wide[1] is None:
        return _is_text(from_type)
    return bool(narrow and wide and narrow[1] and int(narrow[1]) <= int(wide[1]))


def unfit_condition(column: str, from_type: str | None, to_type: str) -> str:
    """An SQL condition for the values of a type that another cannot carry; `column` is quoted already.

    Where no rule is known every value counts.
    """
    if from_type in _INTEGERS and to_type in _INTEGERS:
        bits = _INTEGERS[to_type] - 1
        return f"{column}::numeric NOT BETWEEN -(2::numeric ^ {bits}) AND 2::numeric ^ {bits} - 1"
    if (match := _VARCHAR.fullmatch(to_type)) and match[1]:
        return f"char_length({column}::text) > {match[1]}"
    return f"{column} IS NOT NULL"


def _is_text(type_name: str) -> bool:
    return type_name == "text" or bool(_VARCHAR.fullmatch(type_name))


def behavioural(nodes: Iterable[Node]) -> Iterator[Loss]:
    """Migrations whose reverse does nothing: what their forward code changed stays, in rows that nobody can count."""
    for node in nodes:
        if any(operation.reverse_does_nothing for operation in node.operations):
            yield Loss("unapply", "reverse_does_nothing", str(node.migration), None, "kept")


@dataclass(frozen=True)
class Written:
    """A table's rows and write counters at the capture, and now; None where it was or is not there."""

    table: str
    recorded: tuple[int, int] | None
    live: tuple[int, int] | None
    """(rows, rows inserted, updated and deleted so far)"""


def written_since(tables: Sequence[Written]) -> Iterator[Loss]:
    """What a restore takes away: the rows written since the capture.

    PostgreSQL's counters tell how many; where they were reset, or the table is not the recorded one, only the number of
    rows can be compared, and equal numbers prove nothing.
    """
    for table in tables:
        if table.live is None:
            continue
        rows, writes = table.live
        recorded_rows, recorded_writes = table.recorded or (0, 0)
        changed: int | None = writes - recorded_writes
        if table.recorded is None:
            changed = rows
        elif writes < recorded_writes:
            changed = abs(rows - recorded_rows) or None
        if changed != 0:
            yield Loss("restore", "written_since", table.table, changed, "lost")
