"""Casts between types of which some have a definition of their own: enums and domains."""

import re

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.loss.types import Cast, cast

_PART = r'"(?:[^"]|"")+"|[^."]+'
_QUALIFIED = re.compile(rf"({_PART})\.({_PART})")


def cast_between(value: str, source: Catalog, from_type: str, target: Catalog, to_type: str) -> Cast:
    """As `types.cast`, from a type as one catalog defines it to a type as another does."""
    labels = _labels(target, to_type)
    if labels is not None:
        same = labels == _labels(source, from_type)
        return Cast() if same else Cast(fails=f"{value}::text NOT IN ({labels})")
    if from_type == to_type:
        return Cast()
    checked = _is_checked(target, to_type)
    return cast(value, _base(source, from_type), to_type if checked else _base(target, to_type))


def _labels(catalog: Catalog, type_name: str) -> str | None:
    """An enum's labels as a list of SQL literals, None if it is none."""
    found = _named(catalog, "enum type", type_name)
    return str(found.attributes["labels"]) if found and found.attributes.get("labels") else None


def _base(catalog: Catalog, type_name: str) -> str:
    """A domain's type; any other type itself."""
    found = _named(catalog, "domain", type_name)
    return str(found.attributes["type"]) if found else type_name


def _is_checked(catalog: Catalog, type_name: str) -> bool:
    """Whether it is a domain that does not take all values of its type."""
    found = _named(catalog, "domain", type_name)
    if found is None:
        return False
    key = (found.identity.schema, found.identity.name)
    constraints = (item.identity for item in catalog.objects if item.identity.kind == "domain constraint")
    return bool(found.attributes.get("not null")) or key in {(each.schema, each.table) for each in constraints}


def _named(catalog: Catalog, kind: str, type_name: str) -> CatalogObject | None:
    """The definition of a type that format_type has printed with its schema."""
    match = _QUALIFIED.fullmatch(type_name)
    if match is None:
        return None
    schema, name = (part[1:-1].replace('""', '"') if part.startswith('"') else part for part in match.groups())
    return catalog.get(Identity(kind, schema, "", name))
