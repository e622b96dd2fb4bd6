"""What the reverse code of migrations does to rows, as far as it can be read; what cannot be read counts as a loss."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flagsnap.catalog import Catalog
from flagsnap.loss.effects import DroppedColumn, DroppedTable, Effect, RenamedColumn, RenamedTable
from flagsnap.loss.statements import Statement, classify, effects_of, is_repeatable
from flagsnap.loss.values import Loss, Question, RefillItem, TableKey
from flagsnap.loss.words import words_of
from flagsnap.migrations import Node

_SHOWN = 60
_BOOKKEEPING = "django_migrations"
# How far a statement reaches: to its own table, to what foreign keys have rules for, to all that points there.
_Reach = Literal["table", "rules", "all"]
_FOREIGN_KEY = re.compile(r"FOREIGN KEY \((.+?)\) REFERENCES (.+?)\((.+?)\)(.*)")


def behavioural(
    nodes: Sequence[Node], live: Catalog, gone: Collection[tuple[str, ...]], effects: Iterable[Effect] = ()
) -> Iterator[Loss | Question]:
    """What going back through these migrations does to rows that stay, and what of it nobody can know.

    `nodes` are in the order in which they were applied. `gone` are the (schema, table) and (schema, table, column) of
    the live database that unapplying drops anyway; `effects` what the migrations did on their way, by which the names
    in old SQL are followed.
    """
    rows = _Rows(live, gone, tuple(effects))
    for node in reversed(nodes):
        name = str(node.migration)
        if any(operation.reverse_does_nothing for operation in node.operations):
            yield Loss("unapply", "reverse_does_nothing", name, None, "kept")
        if any(operation.runs_code for operation in node.operations):
            yield Loss("unapply", "reverse_runs_code", name, None, "lost")
        for operation in reversed(node.operations):
            for statement in classify(operation.reverse_sql):
                if statement.verb == "unknown":
                    yield Loss("unapply", "statement_unknown", f"{name}: {_excerpt(statement.text)}", None, "lost")
                yield from rows.asked_by(statement)


@dataclass(frozen=True)
class _Rows:
    """The rows of the live database that stay, seen from statements; `changed` are the columns they have set so far."""

    live: Catalog
    gone: Collection[tuple[str, ...]]
    effects: tuple[Effect, ...]
    changed: set[tuple[str, ...]] = field(default_factory=set)

    def asked_by(self, statement: Statement) -> Iterator[Question]:
        """How many rows a statement takes, or takes values from."""
        if statement.verb in {"delete", "truncate", "update"} and statement.table:
            yield from self._taken(statement.table, statement.columns, statement.condition, _reach(statement))
        elif statement.verb == "schema":
            # What one migration drops and makes anew is there before and after it: the catalogs do not tell.
            for effect in effects_of(statement.text):
                if isinstance(effect, DroppedTable):
                    yield from self._taken(("", effect.table), (), "")
                elif isinstance(effect, DroppedColumn):
                    yield from self._taken(("", effect.table), (effect.column,), "")

    def _taken(
        self, named: TableKey, columns: tuple[str, ...], condition: str | None, reach: _Reach = "table"
    ) -> Iterator[Question]:
        table = self._live_table(named)
        if table is None or table in self.gone or table[1] == _BOOKKEEPING:
            return
        renamed = self._renamed(named[1], columns)[1]
        stay = tuple(
            now
            for old, new in zip(columns, renamed, strict=True)
            for now in [old if old in self.live.columns(*table) else new]
            if now in self.live.columns(*table) and (*table, now) not in self.gone
        )
        if columns and not stay:
            return
        if table[1] != named[1] or self._is_stale(condition, table, named[1]):
            condition = None
        self.changed.update((*table, column) for column in stay)
        yield self._question(table, stay, condition)
        if reach != "table":
            yield from self._dragged(table, condition, reach)

    def _question(self, table: TableKey, columns: tuple[str, ...], condition: str | None) -> Question:
        key = self.live.primary_key(*table)
        item = None
        if key and condition is not None and is_repeatable(condition):
            item = RefillItem(*table, columns=columns, key=key, condition=condition)
        return Question("rows_updated" if columns else "rows_deleted", *table, condition=condition, item=item)

    def _dragged(self, first: TableKey, condition: str | None, reach: _Reach) -> Iterator[Question]:
        """What becomes of rows that point to rows which go, and of those that point to them in turn."""
        seen, waiting = {first}, [(first, condition)]
        while waiting:
            target, going = waiting.pop()
            for table, key in _references(self.live, target):
                if table in self.gone or table in seen or not (reach == "all" or key.acts):
                    continue
                columns, rows = ((), "") if reach == "all" else (key.emptied, key.rows(target, going))
                yield self._question(table, columns, rows)
                if not columns:
                    seen.add(table)
                    waiting.append((table, rows))

    def _live_table(self, named: TableKey) -> TableKey | None:
        """The table that a name in reverse SQL means, None if there is none yet."""
        schema, name = named
        for candidate in (name, self._renamed(name, ())[0]):
            found = [(each.schema, each.name) for each in self.live.tables() if each.name == candidate]
            for key in sorted(found, key=_public_first):
                if schema in {"", key[0]}:
                    return key
        return None

    def _renamed(self, table: str, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        for effect in self.effects:
            if isinstance(effect, RenamedTable) and effect.table == table:
                table = effect.to
            elif isinstance(effect, RenamedColumn) and effect.table == table:
                columns = tuple(effect.to if each == effect.column else each for each in columns)
        return table, columns

    def _is_stale(self, condition: str | None, table: TableKey, named: str) -> bool:
        """Whether a condition may mean other rows by then: it names a column that is renamed, made or set before."""
        stale = {column for *owner, column in self.changed if tuple(owner) == table}
        for effect in self.effects:
            if isinstance(effect, RenamedColumn | DroppedColumn) and effect.table in {table[1], named}:
                stale.add(effect.column)
        return not stale.isdisjoint(re.findall(r"\w+", condition or ""))


class _Reference(NamedTuple):
    """A foreign key as PostgreSQL prints it: its columns, the table and columns that it points to, and its rules."""

    columns: str
    target: str
    target_columns: str
    rules: str

    @property
    def acts(self) -> bool:
        """Whether deleting what it points to changes the rows that point there."""
        return "ON DELETE CASCADE" in self.rules or bool(self.emptied)

    @property
    def emptied(self) -> tuple[str, ...]:
        """The columns that lose their value instead of the whole row."""
        (columns,) = words_of(self.columns)
        names = (part.identifier(0) for part in columns.split(",")) if "ON DELETE SET" in self.rules else ()
        return tuple(name for name in names if name is not None)

    def rows(self, target: TableKey, condition: str | None) -> str | None:
        """The rows that point to some rows of the target, as a condition."""
        if not condition:
            return None if condition is None else f"({self.columns}) IS NOT NULL"
        alias = '"' + target[1].replace('"', '""') + '"'
        # All names are as PostgreSQL prints them, and the condition was SQL before.
        goal = f"SELECT {self.target_columns} FROM {self.target} AS {alias} WHERE {condition}"  # noqa: S608
        return f"({self.columns}) IN ({goal})"


def _references(catalog: Catalog, target: TableKey) -> Iterator[tuple[TableKey, _Reference]]:
    for item in catalog.objects:
        if item.identity.kind == "constraint":
            match = _FOREIGN_KEY.search(str(item.attributes.get("definition") or item.identity.name))
            if match and next(words_of(match[2])).table(0)[0] == target:
                yield (item.identity.schema, item.identity.table), _Reference(*match.groups())


def _reach(statement: Statement) -> _Reach:
    if statement.verb == "truncate":
        return "all" if statement.text.upper().endswith("CASCADE") else "table"
    return "rules" if statement.verb == "delete" else "table"


def _public_first(key: TableKey) -> tuple[bool, TableKey]:
    return (key[0] != "public", key)


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
