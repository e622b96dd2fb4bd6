"""Attribution: what no migration made, though it was not there at the capture. Unapplying leaves it alone.

Flagsmith's `migrate` makes some (`createcachetable`), administrators, extensions and other tools make others. In doubt
a migration did it; if that is wrong, the proof after the rollback names the object.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.loss.effects import AddedColumn, CreatedTable, Effect, Named, RanCode, RanSql, RenamedColumn, RenamedTable

_WORD = re.compile(r"\w+")


def made_by_no_migration(recorded: Catalog, live: Catalog, effects: Iterable[Effect]) -> tuple[Identity, ...]:
    """The objects that are there now, were not recorded, and that none of the extra migrations touches.

    The parts of such an object go without saying, and so does what will go along with a table or column.
    """
    touched = _Touched.by(effects, _parents(live))
    there_before = {(item.identity.schema, item.identity.name) for item in recorded.objects if not item.identity.table}
    candidates = [
        item
        for item in live.objects
        if recorded.get(item.identity) is None
        and (not item.identity.table or (item.identity.schema, item.identity.table) in there_before)
        and item.identity.table not in touched.tables
    ]
    columns = {
        (item.identity.schema, item.identity.table, item.identity.name)
        for item in candidates
        if item.identity.kind == "column" and not touched.has(item)
    }
    return tuple(item.identity for item in candidates if _is_part_of(item, columns) or not touched.has(item))


def _is_part_of(item: CatalogObject, columns: set[tuple[str, str, str]]) -> bool:
    """Whether an object that nobody named belongs to one of these columns, such as its sequence or its index."""
    of_table = {(item.identity.schema, item.identity.table, word) for word in _words(item)}
    return _is_nameless(item.identity) and not columns.isdisjoint(of_table)


@dataclass
class _Touched:
    """What migrations made, by the names that it has now, and their SQL and code, in which they may make more.

    `unread` says that there is code whose text is not known: it may have made anything. `parents` tells what is a
    partition of what.
    """

    tables: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    unread: bool = False
    texts: list[str] = field(default_factory=list)
    parents: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def by(cls, effects: Iterable[Effect], parents: Mapping[str, str]) -> "_Touched":
        touched = cls(parents=parents)
        for effect in effects:
            touched._follow(effect)
        return touched

    def _follow(self, effect: Effect) -> None:
        match effect:
            case CreatedTable(table):
                self.tables.add(table)
            case RenamedTable(table, to):
                self.tables.add(to)
                self.columns |= {(to, column) for owner, column in self.columns if owner == table}
            case AddedColumn(table, column) | RenamedColumn(table, _, column):
                self.columns.add((table, column))
            case RanCode(""):
                self.unread = True
            case Named(text) | RanSql(text) | RanCode(text):
                self.texts.append(text)
            case _:
                pass

    def has(self, item: CatalogObject) -> bool:
        """Whether a migration may have made an object, or its reverse takes it along with what it is made of."""
        name = item.identity.name.split(" #")[0].split("(")[0]
        own_name = rf"(?<!\w){re.escape(name)}(?!\w)"
        if self.unread or _is_nameless(item.identity):
            return True
        if any(re.search(own_name, text, re.IGNORECASE) for text in self.texts):
            return True
        if item.identity.kind == "column":
            return any((table, name) in self.columns for table in self._line(item.identity.table))
        words = _words(item)
        return not self.tables.isdisjoint({name, *words}) or any(
            {table, column} <= words | {item.identity.table} for table, column in self.columns
        )

    def _line(self, table: str) -> Iterator[str]:
        """A table, and what it is a partition of: a partition has the columns of its parent."""
        yield table
        while table := self.parents.get(table, ""):
            yield table


def _parents(catalog: Catalog) -> dict[str, str]:
    """What each table is a partition of, by their names alone, as effects know tables."""
    return {
        item.identity.name: _WORD.findall(str(parent))[-1]
        for item in catalog.objects
        if (parent := item.attributes.get("partition of"))
    }


def _is_nameless(identity: Identity) -> bool:
    """Whether PostgreSQL or Django named it: such an object is known by what it is."""
    return identity.name.startswith("(")


def _words(item: CatalogObject) -> set[str]:
    """The words of what an object is made of."""
    text = " ".join(str(value) for value in item.attributes.values())
    return set(_WORD.findall(f"{text} {item.identity.name}" if _is_nameless(item.identity) else text))
