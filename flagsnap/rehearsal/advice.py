"""What to change in the migrations of a deploy, so that it can be taken back without a rest."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flagsnap.migrations import Migration, Node
from flagsnap.rehearsal.values import ForwardMigration, Residue

_DJANGOS = frozenset({"django_content_type", "auth_permission"})
_DECLARE = "or declare the table under [acceptable_residue]"


def authors(table: str, forward: Iterable[ForwardMigration]) -> tuple[Migration, ...]:
    """The migrations that wrote rows of a table, or its whole file."""
    return tuple(each.migration for each in forward if table in each.rows or table in each.rewritten)


def advice_on(residue: Sequence[Residue], forward: Sequence[ForwardMigration], nodes: Iterable[Node]) -> Iterator[str]:
    """For each migration that left something what it did, and for each table that none of them wrote."""
    by_key = {node.migration: node for node in nodes}
    written = {each.migration: each.rows for each in forward}
    for each in residue:
        for migration in each.by:
            yield _of_migration(migration, by_key.get(migration), written[migration], each)
        if not each.by:
            yield _of_nobody(each)


def _of_migration(migration: Migration, node: Node | None, written: Mapping[str, int], residue: Residue) -> str:
    rows = written.get(residue.table, 0)
    did = f"wrote {rows:,} row{'' if rows == 1 else 's'} of {residue.table}" if rows else f"rewrote {residue.table}"
    if node and any(operation.reverse_does_nothing for operation in node.operations):
        return (
            f"{migration} has a reverse that does nothing and {did}: write one (reverse_code, reverse_sql), {_DECLARE}"
        )
    return f"{migration} {did}, and its reverse does not take all of that back: complete it, {_DECLARE}"


def _of_nobody(residue: Residue) -> str:
    if residue.table.rpartition(".")[2] in _DJANGOS:
        return f"{residue.table}: Django made these rows after the migrations; --tidy removes them, {_DECLARE}"
    return f"{residue.table}: no migration wrote these rows, so code that runs after `migrate` did; {_DECLARE[3:]}"


def advice_on_irreversible(nodes: Iterable[Node]) -> Iterator[str]:
    """For each migration that has no way back, which operations are in its way."""
    for node in nodes:
        if kinds := node.irreversible:
            named = ", ".join(dict.fromkeys(kinds))
            yield f"{node.migration} cannot be reversed: give {named} a reverse, or count on --strategy restore"
