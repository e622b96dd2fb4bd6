"""Lineage: what recorded tables and columns are called in the live database, after all renames."""

from collections.abc import Iterable
from dataclasses import dataclass

from flagsnap.catalog import Catalog
from flagsnap.loss.effects import (
    AddedColumn,
    DroppedColumn,
    DroppedTable,
    Effect,
    FilledNulls,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.values import TableKey

_GONE = ""  # the name of nothing


@dataclass(frozen=True)
class Lineage:
    """What recorded tables and columns are called in the live database, and the defaults of added columns there.

    `nulls` are the values that NULLs were given, by the live names, None where that is not known.

    A table or column that a migration has dropped is called by no name, even if another one made it anew: its rows or
    values do not come back.
    """

    tables: dict[TableKey, TableKey]
    columns: dict[tuple[str, str, str], str]
    defaults: dict[tuple[str, str], str]
    nulls: dict[tuple[str, str], str | None]

    @classmethod
    def following(cls, recorded: Catalog, effects: Iterable[Effect]) -> "Lineage":
        """Follow the effects, the oldest first."""
        names = cls({(table.schema, table.name): (table.schema, table.name) for table in recorded.tables()}, {}, {}, {})
        for effect in effects:
            names._follow(recorded, effect)
        return names

    def dropped_table(self, key: TableKey) -> bool:
        """Whether a migration is known to have dropped a recorded table."""
        return self.tables[key][1] == _GONE

    def dropped_column(self, key: TableKey, column: str) -> bool:
        """Whether a migration is known to have dropped a recorded column."""
        return self.columns.get((*key, column)) == _GONE

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
        elif isinstance(effect, FilledNulls):
            self.nulls[effect.table, effect.column] = effect.default

    def _rename_table(self, old: str, new: str) -> None:
        for key, (schema, table) in self.tables.items():
            if table == old:
                self.tables[key] = (schema, new)
        for table, column in [key for key in self.defaults if key[0] == old]:
            self.defaults[new, column] = self.defaults.pop((table, column))
        for table, column in [key for key in self.nulls if key[0] == old]:
            self.nulls[new, column] = self.nulls.pop((table, column))

    def _rename_column(self, recorded: Catalog, owner: str, old: str, new: str) -> None:
        for key, (_, table) in self.tables.items():
            for column in recorded.columns(*key) if table == owner else ():
                if self.columns.get((*key, column), column) == old:
                    self.columns[*key, column] = new
        if default := self.defaults.pop((owner, old), None):
            self.defaults[owner, new] = default
        if (owner, old) in self.nulls:
            self.nulls[owner, new] = self.nulls.pop((owner, old))
