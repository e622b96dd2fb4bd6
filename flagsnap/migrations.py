"""Migrations as sets of (app, name): what differs from the recorded state, and what the project's graph makes of it.

Never dates and never numbers: Django records a squashed migration when it first sees all that it replaces applied, so
its row carries today's date (`MigrationExecutor.check_replacements`), and names may share a number or have none.

A *bookkeeping row* stands for no schema change: the row of a squashed migration whose replaced rows are all recorded,
or a row that `migrate --prune` has removed. It is deleted or put back; the schema is not touched.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import chain, groupby
from typing import NamedTuple


class Migration(NamedTuple):
    """A migration's key, as Django's graph and `django_migrations` know it."""

    app: str
    name: str

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


class AppliedMigration(NamedTuple):
    """A row of `django_migrations`."""

    app: str
    name: str
    applied: datetime

    @property
    def migration(self) -> Migration:
        """The key without the date."""
        return Migration(self.app, self.name)


@dataclass(frozen=True)
class Operation:
    """One operation of a migration, as far as going back is concerned.

    Attributes:
        reverse_does_nothing: whether the way forward runs code of the project's own, and the way back runs none.
        reverse_sql: the SQL of the way back, where the project wrote it.
        runs_code: whether the way back runs Python of the project's own.
    """

    kind: str
    reversible: bool
    reverse_does_nothing: bool
    reverse_sql: str = ""
    runs_code: bool = False


@dataclass(frozen=True)
class Node:
    """A migration in the project's graph."""

    migration: Migration
    parents: tuple[Migration, ...] = ()
    replaces: tuple[Migration, ...] = ()
    atomic: bool = True
    operations: tuple[Operation, ...] = ()

    @property
    def irreversible(self) -> tuple[str, ...]:
        """The kinds of the operations that cannot be reversed."""
        return tuple(operation.kind for operation in self.operations if not operation.reversible)


@dataclass(frozen=True)
class Graph:
    """The project's migration graph, resolved for the recorded state.

    `nodes` are in the order in which `migrate` would apply them to an empty database. Where a squashed migration and
    the ones it replaces are both on disk, the graph holds one or the other, as Django decides for the recorded state.
    `replaced` holds what every squashed migration on disk replaces, whether it is in the graph or not.
    """

    nodes: tuple[Node, ...]
    replaced: Mapping[Migration, tuple[Migration, ...]] = field(default_factory=dict)

    @cached_property
    def _by_key(self) -> Mapping[Migration, Node]:
        return {node.migration: node for node in self.nodes}

    @cached_property
    def _all_replaced(self) -> frozenset[Migration]:
        return frozenset(chain.from_iterable(self.replaced.values()))

    def get(self, migration: Migration) -> Node | None:
        """The node of that key, if the graph has one."""
        return self._by_key.get(migration)

    def knows(self, migration: Migration) -> bool:
        """Whether the key is on disk: as a node, as a squashed migration, or as one that a squashed one replaces."""
        return migration in self._by_key or migration in self.replaced or migration in self._all_replaced


@dataclass(frozen=True)
class Segment:
    """Neighbouring atomic migrations that are unapplied in one transaction, or one that is not atomic."""

    atomic: bool
    migrations: tuple[Migration, ...]


@dataclass(frozen=True)
class SetDifference:
    """The applied migrations against the recorded ones, both in the recorded or applied order."""

    extra: tuple[Migration, ...]
    missing: tuple[Migration, ...]

    @property
    def none(self) -> bool:
        """Whether the sets are equal."""
        return not (self.extra or self.missing)

    def sentences(self) -> Iterator[str]:
        """The differences in words."""
        for migration in self.extra:
            yield f"migration {migration} is applied, was not recorded"
        for migration in self.missing:
            yield f"migration {migration} was recorded, is not applied"


@dataclass(frozen=True)
class Resolution:
    """What a graph makes of a difference: the way back, or why there is none.

    Attributes:
        segments: what to unapply, newest first.
        covered: rows that go together with the squashed migration that replaces them.
        rows_to_remove: bookkeeping rows that were not recorded.
        rows_to_add: bookkeeping rows that were recorded and pruned since.
        unknown: applied migrations that the project's code does not have.
        unapplied: recorded migrations that the code has and that are not applied.
        irreversible: migrations to unapply whose operations cannot be reversed.
        depended_on: (recorded migration, migration to unapply that it depends on).
        ambiguous: migrations to unapply that may be the squashed form of recorded ones, so that unapplying them could
            destroy what was recorded.
    """

    segments: tuple[Segment, ...] = ()
    covered: tuple[Migration, ...] = ()
    rows_to_remove: tuple[Migration, ...] = ()
    rows_to_add: tuple[Migration, ...] = ()
    unknown: tuple[Migration, ...] = ()
    unapplied: tuple[Migration, ...] = ()
    irreversible: tuple[Migration, ...] = ()
    depended_on: tuple[tuple[Migration, Migration], ...] = ()
    ambiguous: tuple[Migration, ...] = ()

    @property
    def bookkeeping(self) -> tuple[Migration, ...]:
        """All rows that are set right without touching the schema."""
        return self.rows_to_remove + self.rows_to_add

    @property
    def to_unapply(self) -> tuple[Migration, ...]:
        """The migrations to unapply, newest first."""
        return tuple(migration for segment in self.segments for migration in segment.migrations)


def difference(recorded: Sequence[Migration], applied: Sequence[Migration]) -> SetDifference:
    """Compare the sets; the order of each sequence is kept in the result."""
    return SetDifference(
        extra=_in_order(set(applied) - set(recorded), applied),
        missing=_in_order(set(recorded) - set(applied), recorded),
    )


def resolve(in_order: Sequence[Migration], differences: SetDifference, graph: Graph) -> Resolution:
    """Explain a difference by the graph, which was resolved for the same recorded migrations; these in their order."""
    recorded = set(in_order)
    kept = recorded - set(differences.missing)
    extra = set(differences.extra)
    stale = {migration for migration in extra if _is_bookkeeping(migration, recorded, graph)}
    covered = {
        replaced
        for migration in extra - stale
        if (node := graph.get(migration))
        for replaced in node.replaces
        if replaced in extra and graph.get(replaced) is None
    }
    # Applied through what it replaces, and its own row not written yet: Django's graph has it in their place.
    unrecorded = [
        node
        for node in graph.nodes
        if node.replaces and node.migration not in extra | recorded and set(node.replaces) <= extra
    ]
    covered |= {replaced for node in unrecorded for replaced in node.replaces if graph.get(replaced) is None}
    wanted = (extra - stale - covered) | {node.migration for node in unrecorded}
    unapply = [node for node in reversed(graph.nodes) if node.migration in wanted]
    found = {node.migration for node in unapply}
    pruned = tuple(migration for migration in differences.missing if _was_pruned(migration, kept, graph))
    return Resolution(
        segments=_segments(unapply),
        covered=_in_order(covered, differences.extra),
        rows_to_remove=_in_order(stale, differences.extra),
        rows_to_add=pruned,
        unknown=_in_order(wanted - found, differences.extra),
        unapplied=tuple(migration for migration in differences.missing if migration not in pruned),
        irreversible=tuple(node.migration for node in unapply if node.irreversible),
        depended_on=tuple(_dependents(kept, found, graph)),
        ambiguous=tuple(_ambiguous(unapply, in_order, graph)),
    )


def squashed_by_name(resolution: Resolution, graph: Graph) -> Resolution:
    """The same, with squashed migrations that no longer say what they replace among the ambiguous ones.

    For where nothing recorded what was there before: the row of such a one may have been written long after what it
    replaces, whose rows are pruned since. `squashmigrations` calls it `<first>_squashed_<last>`.
    """
    nodes = (graph.get(migration) for migration in resolution.to_unapply if "_squashed_" in migration.name)
    named = tuple(node.migration for node in nodes if node and not node.replaces)
    return replace(resolution, ambiguous=tuple(dict.fromkeys((*resolution.ambiguous, *named))))


def _is_bookkeeping(migration: Migration, recorded: set[Migration], graph: Graph) -> bool:
    replaced = graph.replaced.get(migration, ())
    if not replaced:
        return False
    # Not in the graph: what it replaces lies on both sides of the recorded state, and is unapplied one by one.
    return graph.get(migration) is None or set(replaced) <= recorded


def _was_pruned(migration: Migration, kept: set[Migration], graph: Graph) -> bool:
    """Whether a missing row stands for nothing that can be missing from the schema.

    `migrate --prune` removes rows of migrations that are no longer on disk, and nothing else
    (django/core/management/commands/migrate.py). A squashed migration's own row says no more than the rows it replaces.
    """
    if not graph.knows(migration):
        return True
    replaced = graph.replaced.get(migration, ())
    return bool(replaced) and set(replaced) <= kept


def _dependents(kept: set[Migration], unapplied: set[Migration], graph: Graph) -> Iterator[tuple[Migration, Migration]]:
    for node in graph.nodes:
        if node.migration in kept and node.migration not in unapplied:
            yield from ((node.migration, parent) for parent in node.parents if parent in unapplied)


def _ambiguous(unapply: Sequence[Node], in_order: Sequence[Migration], graph: Graph) -> Iterator[Migration]:
    """Migrations of an app with recorded ones that are no longer on disk, that stand on nothing recorded after those.

    Such a one may be their squashed form, with its `replaces` already taken out of the file. Had it been there at the
    capture, its row would have been recorded after theirs, and what is new now would stand on it.
    """
    recorded_since: dict[str, set[Migration]] = {}
    for migration in in_order:
        if not graph.knows(migration):
            recorded_since[migration.app] = set()
        elif migration.app in recorded_since:
            recorded_since[migration.app].add(migration)
    for node in unapply:
        app = node.migration.app
        if app in recorded_since and not _stands_on(node, recorded_since[app], graph):
            yield node.migration


def _stands_on(node: Node, recorded: set[Migration], graph: Graph) -> bool:
    seen: set[Migration] = set()
    waiting = list(node.parents)
    while waiting:
        parent = waiting.pop()
        if parent in seen or parent.app != node.migration.app:
            continue
        seen.add(parent)
        if parent in recorded:
            return True
        waiting.extend(found.parents if (found := graph.get(parent)) else ())
    return False


def _segments(unapply: Sequence[Node]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for atomic, group in groupby(unapply, key=lambda node: node.atomic):
        migrations = tuple(node.migration for node in group)
        if atomic:
            segments.append(Segment(atomic=True, migrations=migrations))
        else:
            segments.extend(Segment(atomic=False, migrations=(migration,)) for migration in migrations)
    return tuple(segments)


def _in_order(chosen: Collection[Migration], order: Sequence[Migration]) -> tuple[Migration, ...]:
    return tuple(migration for migration in order if migration in chosen)
