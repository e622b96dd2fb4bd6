"""The catalog: what a database's schema is made of, as a flat list of objects with attributes.

Two catalogs are compared object by object and attribute by attribute; the fingerprint is a digest of the same list, so
equal fingerprints and "no differences" are one fact. An object is known by kind, schema, table and name. What has no name
that anybody chose (a primary key that PostgreSQL named, the sequence behind an identity column) is known by what it is.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

Value = str | int | bool | None


class Identity(NamedTuple):
    """How an object is found again in another catalog."""

    kind: str
    schema: str
    table: str
    name: str

    def __str__(self) -> str:
        where = ".".join(part for part in (self.schema, self.table, self.name) if part)
        return f"{self.kind} {where}"


@dataclass(frozen=True)
class CatalogObject:
    """One object: a table, a column, a constraint, and so on."""

    identity: Identity
    attributes: Mapping[str, Value]


class Difference(NamedTuple):
    """One way in which two catalogs differ."""

    identity: Identity
    attribute: str
    recorded: Value
    live: Value

    def __str__(self) -> str:
        if self.attribute:
            return f"{self.identity}: {self.attribute} was recorded as {_show(self.recorded)}, is {_show(self.live)}"
        return f"{self.identity} " + ("is not there" if self.recorded else "was not recorded")
