"""Reads the catalog of a database: asks the questions, fixes the form of answers, names the nameless.

The catalog must not depend on what may differ between a database and its own restored dump, nor on names that
PostgreSQL or Django's schema editor makes up: a reverse migration after a rename makes other ones.
"""

import re
from collections.abc import Iterator
from typing import Any

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.introspect import routines_and_types, tables
from flagsnap.postgres.introspect.fixed_form import fixed_form
from flagsnap.postgres.introspect.scope import SETTINGS

QUESTIONS = (*tables.QUESTIONS, *routines_and_types.QUESTIONS)

# The attributes in which PostgreSQL prints what it has parsed; others (comments, options) are verbatim.
_PRINTED = {
    "definition",
    "default",
    "generated",
    "partition key",
    "using",
    "with check",
    "arguments",
    "body",
    "expressions",
}
_MAY_BE_MADE_UP = {"constraint", "domain constraint", "index"}
# PostgreSQL's own names end in these labels and perhaps a number (ChooseIndexName, ChooseConstraintName).
_NAMED_BY_POSTGRES = re.compile(r"_(pkey|key|check|fkey|excl|not_null)\d*$")
# Django's schema editor puts eight hexadecimal digits before the suffix (django.db.backends.base.schema,
# `_create_index_name`), and finds these again by their columns, never by name (`_constraint_names`). Six
# digits are the names of Meta.indexes (`Index.set_name_with_model`): those are written in the migration, so
# they were chosen.
_NAMED_BY_DJANGO = re.compile(r"_[0-9a-f]{8}(_uniq|_pk|_fk|_fk_.*|_check|_like|_idx)?$")


def read_catalog(connection: Connection) -> Catalog:
    """Read the catalog in the transaction that is open, or else in one of its own.

    It is that of one moment if the transaction is REPEATABLE READ. The session's settings are as before
    afterwards.
    """
    # Rolled back because that undoes the settings, also inside a transaction of the caller's; nothing is
    # written.
    with connection.transaction(force_rollback=True):
        connection.execute(SETTINGS)
        return Catalog(tuple(_objects(connection)))


def _objects(connection: Connection) -> Iterator[CatalogObject]:
    for question in QUESTIONS:
        cursor = connection.execute(question)
        words = [column.name for column in cursor.description or ()]
        for row in cursor:
            yield _object(Identity(*row[:4]), dict(zip(words[4:], row[4:], strict=True)))


def _object(identity: Identity, answers: dict[str, Any]) -> CatalogObject:
    """One row; false means the usual value, and is left out. What is `implied` was named by PostgreSQL."""
    implied = answers.pop("implied", False)
    for attribute in _PRINTED & answers.keys():
        answers[attribute] = answers[attribute] and fixed_form(answers[attribute])
    if identity.kind in _MAY_BE_MADE_UP and (implied or is_made_up(identity.name)):
        identity = identity._replace(name=f"({answers.pop('definition')})")
    return CatalogObject(identity, {k: v for k, v in answers.items() if v is not None and v is not False})


def is_made_up(name: str) -> bool:
    """Whether nobody chose this name of a constraint or an index."""
    return bool(_NAMED_BY_POSTGRES.search(name) or _NAMED_BY_DJANGO.search(name))
