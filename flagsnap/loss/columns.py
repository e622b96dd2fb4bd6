"""Structural losses of columns: those that go, that come back empty, and that change their type."""

from collections.abc import Iterator
from dataclasses import dataclass

from flagsnap.catalog import Catalog, CatalogObject
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.named_types import cast_between
from flagsnap.loss.types import Cast
from flagsnap.loss.values import Question, RefillItem, TableKey

# Types whose values are equal exactly if their texts are. All others are compared as text: json has no equality, and
# box has one of its own. But the planner's statistics do not know texts.
_EQUAL_AS_TEXT = frozenset({"boolean", "smallint", "integer", "bigint", "date", "uuid"})


def dropped_columns(recorded: Catalog, live: Catalog, names: Lineage, key: TableKey, now: TableKey) -> list[str]:
    """The columns of the live table `now` that the recorded table `key` did not have under any name."""
    recorded_names = {names.columns.get((*key, column), column) for column in recorded.columns(*key)}
    return [column for column in live.columns(*now) if column not in recorded_names]


@dataclass(frozen=True)
class Columns:
    """The columns of two catalogs; `sql` is all SQL of the project's own that the migrations between them ran."""

    recorded: Catalog
    live: Catalog
    names: Lineage
    sql: str

    def questions(self, key: TableKey, now: TableKey, rows: int) -> Iterator[Question]:
        """What becomes of the columns of the recorded table `key`, which is called `now` and had so many rows.

        A generated column holds nothing of its own.
        """
        after = self.live.columns(*now)
        for column in dropped_columns(self.recorded, self.live, self.names, key, now):
            if not _is_generated(after[column]):
                yield self._dropped(now, after[column])
        for column, was in self.recorded.columns(*key).items():
            is_now = after.get(self.names.columns.get((*key, column), column))
            if _is_generated(was):
                continue
            if is_now is None:
                item = _item(self.recorded, key, column, overwrite=self.names.dropped_column(key, column))
                nullable = not was.attributes.get("not null")
                yield Question("column_emptied", *key, column, recorded=rows, item=item, at_most=nullable)
            elif not _is_generated(is_now):
                yield from self._back(key, now, was, is_now)
                yield from self._there(key, now, was, is_now, rows)

    def _dropped(self, now: TableKey, column: CatalogObject) -> Question:
        name, type_name = column.identity.name, _type(column)
        condition = f"{_quoted(name)} IS NOT NULL"
        if default := self.names.defaults.get((now[1], name)) or _default(column):
            # As a value of the column's type, so that 'f' is false and 1.5 is 1.500. It is SQL from the catalog or
            # from the project's own schema editor.
            text = "" if type_name in _EQUAL_AS_TEXT else "::text"
            condition = f"{_quoted(name)}{text} IS DISTINCT FROM ({default})::{type_name}{text}"
        return Question("column_dropped", *now, name, condition=condition, item=_item(self.live, now, name))

    def _back(self, key: TableKey, now: TableKey, was: CatalogObject, is_now: CatalogObject) -> Iterator[Question]:
        """What the reverse of a change of the type does to the live values."""
        name, value = is_now.identity.name, _quoted(is_now.identity.name)
        back = cast_between(value, self.live, _type(is_now), self.recorded, _type(was))
        if back != Cast() and self._is_in_sql(key, now):
            # Nobody knows how the project's own SQL casts.
            back = Cast(f"CASE WHEN {back.fails or 'false'} THEN true ELSE {back.cut or 'false'} END")
        if back.cut:
            item = _item(self.live, now, name, through=_type(was))
            yield Question("type_narrowed", *now, name, condition=back.cut, item=item)
        if back.fails:
            fails = f"the reverse of the type change of {'.'.join(now)}.{name} fails: no {_type(was)} in {{}}"
            yield Question("type_narrowed", *now, name, condition=back.fails, fails=fails)
        if was.attributes.get("not null") and not is_now.attributes.get("not null"):
            nothing = f"{value} IS NULL"
            item = _item(self.live, now, name, condition=nothing)
            yield Question("type_narrowed", *now, name, condition=nothing, item=item)

    def _there(
        self, key: TableKey, now: TableKey, was: CatalogObject, is_now: CatalogObject, rows: int
    ) -> Iterator[Question]:
        """What a change of the type has done to the recorded values."""
        column, types = was.identity.name, (_type(was), _type(is_now))
        there = cast_between(_quoted(column), self.recorded, types[0], self.live, types[1])
        # From one varchar to another Django's assignment cuts nothing but blanks, if it does not fail.
        assigned = all(each.startswith("character varying") for each in types) and not self._is_in_sql(key, now)
        if there.cut and not assigned:
            item = _item(self.recorded, key, column, through=types[1])
            yield Question("type_cast", *key, column, recorded=rows, item=item, at_most=True)
        if (now[1], is_now.identity.name) in self.names.nulls and not was.attributes.get("not null"):
            yield self._nulls_filled(key, now, column, is_now)

    def _nulls_filled(self, key: TableKey, now: TableKey, column: str, is_now: CatalogObject) -> Question:
        """NULLs that have become a value: at most as many as have it now."""
        name, type_name = is_now.identity.name, _type(is_now)
        value = self.names.nulls[now[1], name]
        if value is None:
            return Question("type_cast", *now, name, condition=None)
        item = _item(self.recorded, key, column, condition=f"{_quoted(column)} IS NULL", nulls=value)
        condition = f"{_quoted(name)}::text = ({value})::{type_name}::text"
        return Question("type_cast", *now, name, condition=condition, item=item, at_most=True)

    def _is_in_sql(self, key: TableKey, now: TableKey) -> bool:
        """Whether the project's own SQL may have done something to a table."""
        return any(table in self.sql for _, table in (key, now))


def _item(
    catalog: Catalog,
    key: TableKey,
    column: str,
    through: str = "",
    condition: str = "",
    *,
    overwrite: bool = True,
    nulls: str = "",
) -> RefillItem | None:
    """The values of a column; None if their rows cannot be found again, for want of a key beside the column."""
    primary_key = catalog.primary_key(*key)
    if not primary_key or column in primary_key:
        return None
    return RefillItem(*key, (column,), primary_key, condition, through, overwrite, nulls)


def _default(column: CatalogObject) -> str | None:
    default = column.attributes.get("default")
    # To ask a sequence for its next value would change it.
    return None if default is None or "nextval(" in str(default) else str(default)


def _is_generated(column: CatalogObject) -> bool:
    return bool(column.attributes.get("generated"))


def _type(column: CatalogObject) -> str:
    return str(column.attributes["type"])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
