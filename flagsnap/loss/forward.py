"""What SQL of the deploy's own destroyed on its way forward, where no snapshot has the rows.

What it did to tables and columns that the deploy itself had made took nothing away. Python of the project's own is told
by its way back: that runs code as well or does nothing, and needs consent either way (see `behaviour`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flagsnap.loss.effects import (
    AddedColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    RanSql,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.statements import Statement, classify, effects_of
from flagsnap.loss.values import Loss

ALTERS_TYPE = re.compile(r"\bALTER\b[^;]*\bTYPE\b", re.IGNORECASE)
_ALTERS_TABLE = re.compile(r"ALTER\s+(FOREIGN\s+)?TABLE\b", re.IGNORECASE)
_SHOWN = 60


def destroyed(effects: Sequence[Effect]) -> Iterator[Loss]:
    """A loss of unknown size for each statement that may have destroyed rows or values that were there before.

    What the effects tell of tables and columns that went is left out: their names are known, and priced elsewhere.
    """
    made, told = _Made(), frozenset(effects)
    for effect in effects:
        if isinstance(effect, RanSql):
            for statement in classify(effect.sql):
                if made.lacks(statement, told):
                    yield Loss("unapply", "ran_forward", _excerpt(statement.text), None, "lost")
                for part in effects_of(statement.text):
                    made.follow(part)
        else:
            made.follow(effect)


@dataclass
class _Made:
    """The tables and columns that the deploy has made so far, by the names that they have by then."""

    tables: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)

    def follow(self, effect: Effect) -> None:
        """Take note of an effect."""
        match effect:
            case CreatedTable(table):
                self.tables.add(table)
            case AddedColumn(table, column):
                self.columns.add((table, column))
            case DroppedTable(table):
                self.tables.discard(table)
                self.columns = {each for each in self.columns if each[0] != table}
            case DroppedColumn(table, column):
                self.columns.discard((table, column))
            case RenamedTable(table, to):
                self.tables = {to if each == table else each for each in self.tables}
                self.columns = {(to if owner == table else owner, column) for owner, column in self.columns}
            case RenamedColumn(table, column, to) if (table, column) in self.columns:
                self.columns = {*self.columns - {(table, column)}, (table, to)}
            case _:
                pass

    def lacks(self, statement: Statement, told: frozenset[Effect]) -> bool:
        """Whether a statement may have taken something away that the deploy had not made."""
        table = statement.table[1] if statement.table else ""
        match statement.verb:
            case "unknown":
                return True
            case "delete" | "truncate":
                return table not in self.tables
            case "update":
                new = bool(statement.columns) and all((table, each) in self.columns for each in statement.columns)
                return table not in self.tables and not new
            case "schema":
                return any(self._takes(each) for each in effects_of(statement.text) if each not in told) or (
                    self._retypes(statement.text)
                )
            case _:
                return False

    def _takes(self, effect: Effect) -> bool:
        if isinstance(effect, DroppedTable):
            return effect.table not in self.tables
        if isinstance(effect, DroppedColumn):
            return effect.table not in self.tables and (effect.table, effect.column) not in self.columns
        return False

    @staticmethod
    def _retypes(text: str) -> bool:
        """Whether values were cast to another type; whose they are is not read."""
        return bool(_ALTERS_TABLE.match(text.strip()) and ALTERS_TYPE.search(text))


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
