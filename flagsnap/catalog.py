"""The catalog: what a database's schema is made of, as a flat list of objects with attributes.

Two catalogs are compared object by object and attribute by attribute; the fingerprint is a digest of the same
list, so equal fingerprints and "no differences" are one fact. An object is known by kind, schema, table and
name. What has no name that anybody chose (a primary key that PostgreSQL named, the sequence behind an
identity column) is known by what it is: its name is its definition in parentheses. An attribute that is not
there has its usual value.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

Value = str | int | bool | None

_PRIMARY_KEY = re.compile(r'PRIMARY KEY \(((?:"(?:[^"]|"")+"|[^")])+)\)')
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s,"]+)')
_LONGEST_SHOWN = 160
_CONTEXT_SHOWN = 30


class Identity(NamedTuple):
    """How an object is found again in another catalog."""

    kind: str
    schema: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"

    @property
    def path(self) -> str:
        """Where it is, without the kind."""
        if self.name.startswith("("):
            return f"{_path(self.schema, self.table)} {self.name}"
        return _path(self.schema, self.table, self.name)


def _path(*parts: str) -> str:
    return ".".join(part for part in parts if part)


class TableName(NamedTuple):
    """A table of the database; a partitioned one holds no rows itself, its partitions do."""

    schema: str
    name: str
    partitioned: bool = False

    def __str__(self) -> str:
        return _path(self.schema, self.name)


@dataclass(frozen=True)
class CatalogObject:
    """One object: a table, a column, a constraint, and so on."""

    identity: Identity
    attributes: Mapping[str, Value]


class Difference(NamedTuple):
    """One way in which two catalogs differ: an attribute, or the whole object if `attribute` is empty."""

    identity: Identity
    attribute: str
    recorded: Value
    live: Value

    def __str__(self) -> str:
        if self.attribute:
            recorded, live = _show(self.recorded, self.live), _show(self.live, self.recorded)
            return f"{self.identity}: {self.attribute} was recorded as {recorded}, is {live}"
        return f"{self.identity} " + ("is not there" if self.recorded else "was not recorded")


def _show(value: Value, other: Value) -> str:
    if value is None:
        return "no" if isinstance(other, bool) else "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_SHOWN else _excerpt(text, " ".join(str(other).split()))


def _excerpt(text: str, other: str) -> str:
    """The part of a long text in which it begins to differ from the other: two cut heads would look alike."""
    same = next((at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), len(other))
    start = max(0, same - _CONTEXT_SHOWN)
    end = start + _LONGEST_SHOWN
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")


@dataclass(frozen=True)
class Catalog:
    """All objects of a database's schema, sorted, each identity once.

    Objects of one identity (two equal indexes that nobody named) are numbered, so that none is lost.
    """

    objects: tuple[CatalogObject, ...]

    def __post_init__(self) -> None:
        ordered = sorted(self.objects, key=_identity)
        object.__setattr__(self, "objects", tuple(sorted(_numbered(ordered), key=_identity)))

    def get(self, identity: Identity) -> CatalogObject | None:
        """The object of that identity, None if there is none."""
        return self._by_identity.get(identity)

    def tables(self) -> tuple[TableName, ...]:
        """The tables that hold rows of this database: all but foreign ones, which hold another's."""
        return tuple(
            TableName(item.identity.schema, item.identity.name, item.attributes.get("kind") == "partitioned")
            for item in self.objects
            if item.identity.kind == "table" and item.attributes.get("kind") != "foreign"
        )

    def columns(self, schema: str, table: str) -> Mapping[str, CatalogObject]:
        """The columns of one table by name; empty if there is no such table."""
        return self._columns.get((schema, table), {})

    def primary_key(self, schema: str, table: str) -> tuple[str, ...]:
        """The columns of a table's primary key in their order; empty if it has none."""
        for item in self._constraints.get((schema, table), ()):
            definition = str(item.attributes.get("definition") or item.identity.name.removeprefix("("))
            if match := _PRIMARY_KEY.match(definition):
                return tuple(
                    quoted.replace('""', '"') if quoted else plain for quoted, plain in _NAME.findall(match[1])
                )
        return ()

    def restorable(self) -> "Catalog":
        """What a restored dump can be held to: without what pg_dump does not carry.

        It leaves out indexes that are not valid (`getIndexes` in pg_dump.c), and it writes CREATE EXTENSION
        without a version, so that a restore installs the server's default one.
        """
        return Catalog(tuple(_restorable(item) for item in self.objects if not item.attributes.get("invalid")))

    def without(self, left_out: Collection[Identity]) -> "Catalog":
        """The same without some objects and all that belongs to them."""
        wholes = {(each.schema, each.name) for each in left_out if not each.table}
        return Catalog(
            tuple(
                item
                for item in self.objects
                if item.identity not in left_out and (item.identity.schema, item.identity.table) not in wholes
            )
        )

    def to_json(self) -> list[list[object]]:
        """Plain JSON: one `[kind, schema, table, name, attributes]` for each object."""
        return [[*item.identity, dict(item.attributes)] for item in self.objects]

    @classmethod
    def from_json(cls, data: object) -> "Catalog":
        """What `to_json` gave; ValueError if it is anything else."""
        if not isinstance(data, list):
            raise ValueError("a catalog is a list")  # noqa: TRY004 - one error for all rubbish
        return cls(tuple(_object_from_json(entry) for entry in data))

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the catalog's canonical form, as `sha256:<hex>`."""
        return "sha256:" + hashlib.sha256(_canonical(self.to_json()).encode()).hexdigest()

    @cached_property
    def _by_identity(self) -> Mapping[Identity, CatalogObject]:
        return {item.identity: item for item in self.objects}

    @cached_property
    def _columns(self) -> Mapping[tuple[str, str], Mapping[str, CatalogObject]]:
        found: defaultdict[tuple[str, str], dict[str, CatalogObject]] = defaultdict(dict)
        for item in self.objects:
            if item.identity.kind == "column":
                found[item.identity.schema, item.identity.table][item.identity.name] = item
        return found

    @cached_property
    def _constraints(self) -> Mapping[tuple[str, str], list[CatalogObject]]:
        found: defaultdict[tuple[str, str], list[CatalogObject]] = defaultdict(list)
        for item in self.objects:
            if item.identity.kind == "constraint":
                found[item.identity.schema, item.identity.table].append(item)
        return found

    @cached_property
    def _wholes(self) -> Mapping[tuple[str, str], str]:
        """The kinds of the objects that may have parts, by schema and name."""
        return {(i.schema, i.name): i.kind for i in self._by_identity if not i.table}


def differences(recorded: Catalog, live: Catalog) -> tuple[Difference, ...]:
    """How the live catalog differs from the recorded one; empty exactly when their fingerprints are equal.

    The parts of a table that is there on one side only (its columns, its indexes) go without saying.
    """
    found: list[Difference] = []
    for identity in sorted({*recorded._by_identity, *live._by_identity}):  # noqa: SLF001 - this module's own
        before, now = recorded.get(identity), live.get(identity)
        if before and now:
            found.extend(_changes(before, now))
        elif not _goes_without_saying(identity, recorded, live):
            found.append(Difference(identity, "", before is not None, now is not None))
    return tuple(found)


def _changes(recorded: CatalogObject, live: CatalogObject) -> Iterator[Difference]:
    for attribute in sorted({*recorded.attributes, *live.attributes}):
        before, now = recorded.attributes.get(attribute), live.attributes.get(attribute)
        # In Python, 1 equals True; in the fingerprint it does not.
        if (type(before), before) != (type(now), now):
            yield Difference(recorded.identity, attribute, before, now)


def _goes_without_saying(part: Identity, recorded: Catalog, live: Catalog) -> bool:
    whole = (part.schema, part.table)
    return bool(part.table) and recorded._wholes.get(whole) != live._wholes.get(whole)  # noqa: SLF001


def _numbered(ordered: Sequence[CatalogObject]) -> Iterator[CatalogObject]:
    """Number those that have one identity; nearly all have one of their own, and stay the objects that they are."""
    start = 0
    for end, item in enumerate(ordered, 1):
        if end < len(ordered) and ordered[end].identity == item.identity:
            continue
        if end - start == 1:
            yield _spoken(item)
        else:
            alike = sorted((_spoken(each) for each in ordered[start:end]), key=lambda each: _canonical(each.attributes))
            yield alike[0]
            for number, each in enumerate(alike[1:], 2):
                name = f"{each.identity.name} #{number}"
                yield CatalogObject(each.identity._replace(name=name), each.attributes)
        start = end


def _spoken(item: CatalogObject) -> CatalogObject:
    """Without attributes that say nothing."""
    if None not in item.attributes.values():
        return item
    return CatalogObject(item.identity, {k: v for k, v in item.attributes.items() if v is not None})


def _identity(item: CatalogObject) -> Identity:
    return item.identity


def _restorable(item: CatalogObject) -> CatalogObject:
    if item.identity.kind != "extension":
        return item
    return CatalogObject(item.identity, {k: v for k, v in item.attributes.items() if k != "version"})


def _object_from_json(entry: object) -> CatalogObject:
    match entry:
        case [str(kind), str(schema), str(table), str(name), dict(attributes)] if all(
            isinstance(key, str) and isinstance(value, str | int | None) for key, value in attributes.items()
        ):
            return CatalogObject(Identity(kind, schema, table, name), attributes)
    raise ValueError(f"not an object of a catalog: {_canonical(entry)[:_LONGEST_SHOWN]}")


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
