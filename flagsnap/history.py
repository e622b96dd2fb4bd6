"""The deploys as `django_migrations` tells them: its rows in batches, beside the captures.

A batch is what one `migrate` wrote: rows without a longer gap between them, and without a capture. A capture's place
among the rows is certain where the rows before it are the set that it recorded, by `Summary.state`; else it is placed
by its time, which is *about* right: rows may have gone since, and two clocks are two clocks.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Literal

from flagsnap.migrations import AppliedMigration, Graph, Migration
from flagsnap.moments import exact
from flagsnap.snapshot import Summary, newest_first, state_of

GAP = timedelta(minutes=10)
_SQUASHED = "_squashed_"

Source = Literal["project", "names"]


@dataclass(frozen=True)
class Batch:
    """Rows of one deploy, oldest first; with nothing but bookkeeping rows it is none.

    Attributes:
        bookkeeping: rows of it that stand for no schema change.
        deploy_id: the capture before it, None if there is none.
        exact: whether that capture recorded exactly the rows that were there before the batch.
    """

    rows: tuple[AppliedMigration, ...]
    bookkeeping: tuple[Migration, ...] = ()
    deploy_id: str | None = None
    exact: bool = False

    @property
    def first(self) -> datetime:
        """When the first row was written."""
        return self.rows[0].applied

    @property
    def last(self) -> datetime:
        """When the last row was written."""
        return self.rows[-1].applied

    @property
    def migrations(self) -> tuple[Migration, ...]:
        """What was applied, without bookkeeping rows."""
        return tuple(row.migration for row in self.rows if row.migration not in self.bookkeeping)

    @property
    def apps(self) -> tuple[str, ...]:
        """The apps of the migrations, in their order."""
        return tuple(dict.fromkeys(migration.app for migration in self.migrations))


@dataclass(frozen=True)
class Gone:
    """What a snapshot recorded and the database no longer has; without a project nobody knows which of the two."""

    deploy_id: str
    unapplied: tuple[Migration, ...] = ()
    pruned: tuple[Migration, ...] = ()
    either: tuple[Migration, ...] = ()


@dataclass(frozen=True)
class History:
    """The deploys and the captures, each newest first.

    Attributes:
        has_table: whether there is a `django_migrations`.
        unfollowed: captures after which nothing was migrated before the next one.
        source: what bookkeeping rows were recognised by.
        set_back: how many rows have an earlier time than the row written before them.
        notes: what else there is to say, in words.
        limit: how many of the newest are shown, None for all.
    """

    has_table: bool
    batches: tuple[Batch, ...] = ()
    unfollowed: tuple[Summary, ...] = ()
    source: Source = "names"
    gone: Gone | None = None
    set_back: int = 0
    notes: tuple[str, ...] = ()
    limit: int | None = None

    @cached_property
    def entries(self) -> tuple["Batch | Summary", ...]:
        """The batches, and the captures that none followed, newest first."""
        found: list[Batch | Summary] = [*self.unfollowed, *self.batches]
        return tuple(sorted(found, key=_time_of, reverse=True))

    @property
    def shown(self) -> tuple["Batch | Summary", ...]:
        """Those of the entries that are."""
        return self.entries[: self.limit]

    @cached_property
    def deploys(self) -> tuple[Batch, ...]:
        """The batches that applied something."""
        return tuple(batch for batch in self.batches if batch.migrations)

    @property
    def way_back(self) -> str | None:
        """The option of `rollback` that leads to before the newest deploy; None if there is nothing before it.

        Without a capture right before it, it goes by time, which may part what was one deploy: a row is written when
        its migration ends, and that may take longer than any gap.
        """
        if not self.deploys:
            return None
        newest = self.deploys[0]
        if newest.deploy_id and newest.exact:
            return f"--to {newest.deploy_id}"
        if newest is self.batches[-1]:
            return None
        return f'--applied-before "{exact(newest.first)}"'

    @property
    def further(self) -> tuple[str, int] | None:
        """The newest capture that is known to lie right before a deploy, and how many deploys it goes back.

        None where that is the newest deploy's.
        """
        found = (
            (batch.deploy_id, count) for count, batch in enumerate(self.deploys, 1) if batch.deploy_id and batch.exact
        )
        newest = next(found, None)
        return newest if newest and newest[1] > 1 else None


def _time_of(entry: Batch | Summary) -> datetime:
    return entry.last if isinstance(entry, Batch) else entry.captured_at


def in_order(rows: Sequence[AppliedMigration]) -> tuple[AppliedMigration, ...]:
    """By the time of each row, those with one time as they were; times without a zone are UTC."""
    return tuple(sorted(_aware(rows), key=lambda row: row.applied))


def _aware(rows: Sequence[AppliedMigration]) -> Iterator[AppliedMigration]:
    for row in rows:
        yield row if row.applied.tzinfo else row._replace(applied=row.applied.replace(tzinfo=UTC))


def batches_of(
    rows: Sequence[AppliedMigration], gap: timedelta = GAP, starts: Collection[int] = ()
) -> tuple[tuple[AppliedMigration, ...], ...]:
    """Divide rows that are `in_order`, oldest first: where a gap is longer, and before each of the `starts`."""
    neighbours = enumerate(pairwise(rows), 1)
    cuts = [at for at, (one, other) in neighbours if other.applied - one.applied > gap or at in starts]
    return tuple(tuple(rows[begin:end]) for begin, end in pairwise([0, *cuts, len(rows)]) if end > begin)


def read_history(
    written: Sequence[AppliedMigration],
    captures: Sequence[Summary],
    gap: timedelta,
    graph: Graph | None,
    recorded: tuple[str, Sequence[AppliedMigration]] | None = None,
    notes: tuple[str, ...] = (),
    limit: int | None = None,
) -> History:
    """Put rows, in the order in which they were written, and captures into one history.

    `recorded` are the deploy id and the rows of the newest capture; of the rows that it has and the database has not,
    the captures before know too.
    """
    rows = in_order(written)
    live = {row.migration for row in rows}
    lost = [row for row in recorded[1] if row.migration not in live] if recorded else []
    placed = _placed(rows, in_order([*rows, *lost]), captures)
    stale = frozenset(_bookkeeping(live, graph))
    batches: list[Batch] = []
    begin = 0
    for group in batches_of(rows, gap, placed):
        before = placed.get(begin)
        begin += len(group)
        own = tuple(row.migration for row in group if row.migration in stale)
        batches.append(Batch(group, own, *(before.capture.deploy_id, before.certain) if before else ()))
    named = {batch.deploy_id for batch in batches}
    return History(
        has_table=True,
        batches=tuple(reversed(batches)),
        unfollowed=newest_first([each for each in captures if each.deploy_id not in named]),
        source="names" if graph is None else "project",
        gone=_gone(recorded[0], [row.migration for row in lost], graph) if recorded and lost else None,
        set_back=sum(other.applied < one.applied for one, other in pairwise(_aware(written))),
        notes=notes,
        limit=limit,
    )


@dataclass(frozen=True)
class _Place:
    capture: Summary
    certain: bool


def _placed(
    rows: Sequence[AppliedMigration], with_lost: Sequence[AppliedMigration], captures: Sequence[Summary]
) -> Mapping[int, _Place]:
    """The capture before each row, by the row's number: of several a certain one, and of those the newest."""
    states: dict[tuple[bool, int], tuple[str, int]] = {}
    live = {row.migration for row in rows}

    def counted(lost: bool, number: int) -> tuple[str, int]:
        """The state of the first so many rows, and how many of these are in the database."""
        if (lost, number) not in states:
            begin = [row.migration for row in (with_lost if lost else rows)[:number]]
            states[lost, number] = (state_of(begin), sum(migration in live for migration in begin))
        return states[lost, number]

    sequences = (False,) if rows == with_lost else (False, True)
    found: dict[int, _Place] = {}
    for capture in sorted(captures, key=lambda each: each.captured_at):
        counts = (counted(lost, capture.migrations) for lost in sequences)
        at = next((at for state, at in counts if state == capture.state), None)
        place = _Place(capture, certain=at is not None)
        if at is None:
            at = bisect_left(rows, capture.captured_at, key=lambda row: row.applied)
        if place.certain or at not in found or not found[at].certain:
            found[at] = place
    return found


def _bookkeeping(live: Collection[Migration], graph: Graph | None) -> Iterator[Migration]:
    """Rows of squashed migrations whose replaced rows are all there: by what they replace, else by their names.

    `squashmigrations` names a migration `<first>_squashed_<last>`
    (django/core/management/commands/squashmigrations.py).
    """
    for migration in live:
        if graph is not None:
            replaced = graph.replaced.get(migration, ())
            if replaced and set(replaced) <= set(live):
                yield migration
        elif _looks_squashed(migration, live):
            yield migration


def _looks_squashed(migration: Migration, live: Collection[Migration]) -> bool:
    first, squashed, last = migration.name.partition(_SQUASHED)
    names = {each.name for each in live if each.app == migration.app and each != migration} if squashed else set()
    return last in names and any(name.startswith(first) for name in names)


def _gone(deploy_id: str, lost: Sequence[Migration], graph: Graph | None) -> Gone:
    if graph is None:
        return Gone(deploy_id, either=tuple(lost))
    known = [migration for migration in lost if graph.knows(migration)]
    return Gone(deploy_id, tuple(known), tuple(migration for migration in lost if migration not in known))
