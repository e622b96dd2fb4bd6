"""The situation in which a rollback is decided: what was recorded, what is live, what the project says, the price."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from flagsnap.bridge.project import Description, ProjectLike
from flagsnap.catalog import Catalog, Identity
from flagsnap.errors import BridgeFailed, FlagsnapError, UsageError
from flagsnap.loss.attribution import made_by_no_migration
from flagsnap.loss.effects import Effect
from flagsnap.loss.structure import made_before
from flagsnap.loss.values import ArchiveScope, Loss, Route, with_remedies
from flagsnap.migrations import (
    Node,
    Resolution,
    Segment,
    SetDifference,
    difference,
    resolve,
    squashed_by_name,
)
from flagsnap.plan import RESTORE, Facts, NotReplayed, OnLoss, Strategy, steps_of
from flagsnap.postgres.connection import Address, Connection
from flagsnap.postgres.databases import exists
from flagsnap.postgres.facts import LiveState, ServerFacts
from flagsnap.postgres.owed import read_owed
from flagsnap.progress import Progress
from flagsnap.rehearsal.place import Place, find_place
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.restoring.restore import Source, createdb_problem
from flagsnap.restoring.standby import standby_of
from flagsnap.rollback.pricing import Price, Pricing
from flagsnap.snapshot import Manifest, RecordedDatabase
from flagsnap.stores.snapshots import Snapshots
from flagsnap.target import Target

T = TypeVar("T")
_NOT_REPLAYED = f"--strategy unapply has the project take the migrations back, or {RESTORE}"
_UNRECORDED = "no snapshot recorded that state"


@dataclass(frozen=True)
class RollbackRequest:
    """What to go back to, and how.

    Attributes:
        target: the state to go back to; where no snapshot recorded it, unapplying is the only way.
        project: None if no project was named.
        moved: the snapshot may be of another server or database name: the database has moved.
        archive: which tables to archive before anything is destroyed.
        refill: whether to put back what the deploy had destroyed.
        tidy: whether to remove rows of the deploy that its migrations' reverse leaves.
        count_seconds: how long to count what would be lost; what is left then is estimated.
        is_copy: the database was restored from the snapshot itself: it may have any name, and is held to what a dump
            can carry.
        rehearsal: of the snapshot, None if there is none.
        on_segment: told the number of each replayed segment and the catalog behind it, before that is compared.
    """

    address: Address
    snapshots: Snapshots
    target: Target
    project: ProjectLike | None
    strategy: Strategy
    on_loss: OnLoss
    jobs: int
    pg_bin: Path | None
    lock_timeout: float
    in_place: bool = False
    moved: bool = False
    archive: ArchiveScope = "affected"
    refill: bool = True
    tidy: bool = False
    count_seconds: float = 30.0
    is_copy: bool = False
    rehearsal: Rehearsal | None = None
    on_segment: Callable[[int, Catalog], None] = lambda _number, _catalog: None

    @property
    def is_recorded(self) -> bool:
        """Whether a snapshot recorded the state; `manifest`, `source` and `recorded` are for those of which one did."""
        return self.target.manifest is not None

    def spare_restore(self, error: FlagsnapError) -> None:
        """Take the restore out of an error's hint, where there is nothing to restore."""
        if not self.is_recorded:
            error.hint = error.hint.replace(f"; or {RESTORE}", "")

    @property
    def manifest(self) -> Manifest:
        """The snapshot."""
        return there(self.target.manifest)

    @property
    def source(self) -> Source:
        """What a restore needs."""
        return Source(self.snapshots, self.manifest, self.jobs, self.pg_bin)

    @property
    def recorded(self) -> RecordedDatabase:
        """The recorded state."""
        return self.manifest.database


@dataclass(frozen=True)
class Live:
    """The live database: a connection that works, one that keeps the lock, and what was read of it."""

    worker: Connection
    keeper: Connection
    server: ServerFacts
    state: LiveState


@dataclass(frozen=True)
class Situation:
    """All that can be asked before the decision; `live` is None if the live database is gone.

    `maintenance` is a connection to the maintenance database, None if the role may not have one.
    """

    request: RollbackRequest
    maintenance: Connection | None
    live: Live | None
    progress: Progress

    def facts(self, strategy: Strategy) -> Facts:
        """Gather all facts; the project is not asked if only a restore is wanted, or if the rehearsal tells enough."""
        request, target = self.request, self.request.target
        captured_at = target.manifest.captured_at if target.manifest else None
        if self.live is None:
            return Facts(
                to=target.name,
                before=target.before,
                captured_at=captured_at,
                migrations=None,
                schema_equal=False,
                resolution=None,
                project_problem=None,
                restore_problem=self._restore_problem(),
                standby=self._standby(),
                losses=(),
                not_replayed=NotReplayed("the live database does not exist", RESTORE, expected=True),
            )
        migrations = difference(target.applied_set, tuple(row.migration for row in self.live.state.applied))
        answer = self._answer(migrations, strategy)
        kept = self._kept(migrations, answer)
        schema_equal = self._is_schema_equal(kept)
        owed = read_owed(self.live.worker).get(target.name, ()) if request.refill else ()
        nothing_to_do = migrations.none and schema_equal and not (owed and strategy == "restore")
        price = Price() if nothing_to_do else self._price(answer, kept)
        return Facts(
            to=target.name,
            before=target.before,
            captured_at=captured_at,
            migrations=migrations,
            schema_equal=schema_equal,
            resolution=answer.resolution,
            project_problem=answer.problem,
            restore_problem=self._restore_problem(),
            standby=self._standby(),
            losses=price.losses,
            fails=price.fails,
            archive=request.archive,
            owed=owed,
            kept=kept,
            nodes=answer.nodes,
            effects=answer.effects,
            made_before=self._made_before(migrations, answer),
            has_recorded_table=not request.is_recorded or request.recorded.has_migrations_table,
            place=answer.place,
            replayed=self._replayed(answer.place),
            not_replayed=answer.not_replayed,
        )

    def _answer(self, migrations: SetDifference, strategy: Strategy) -> "_Answer":
        """What the rehearsal knows if the live database is one that it knows, else what the project says."""
        rehearsed = self._rehearsed(migrations, strategy)
        if rehearsed.place is not None or migrations.none or strategy in {"replay", "restore"}:
            return rehearsed
        with self.progress.task("ask the project"):
            return replace(self._ask(migrations, strategy), not_replayed=rehearsed.not_replayed)

    def _rehearsed(self, migrations: SetDifference, strategy: Strategy) -> "_Answer":
        request, live, rehearsal = self.request, there(self.live), self.request.rehearsal
        if not request.is_recorded:
            return _Answer(not_replayed=NotReplayed(_UNRECORDED, "--strategy unapply is the way back", expected=True))
        recorded = request.recorded
        if migrations.none or strategy in {"unapply", "restore"}:
            why = "there is nothing to replay" if migrations.none else "another route was asked for"
            return _Answer(not_replayed=NotReplayed(why, _NOT_REPLAYED, expected=True))
        if rehearsal is None:
            return _Answer()
        applied = {row.migration for row in live.state.applied}
        place = find_place(rehearsal, recorded.schema_catalog, applied, live.state.catalog)
        if isinstance(place, str):
            return _Answer(not_replayed=NotReplayed(place, _NOT_REPLAYED))
        description = Description(
            rehearsal.graph, rehearsal.effects, live.server.database, live.server.system_identifier
        )
        return _Answer(description, resolve(recorded.applied_set, migrations, rehearsal.graph), place=place)

    def _replayed(self, place: Place | None) -> tuple[Segment, ...]:
        """The steps from a place on."""
        rehearsal = self.request.rehearsal
        if place is None or rehearsal is None or rehearsal.script is None:
            return ()
        return tuple(
            Segment(each.atomic, tuple(dict.fromkeys(part.migration for part in each.parts)))
            for each in rehearsal.script.segments[place.segment :]
        )

    def _standby(self) -> str | None:
        """The standby of the snapshot; it is compared before it is taken."""
        if self.maintenance is None or self.request.in_place or not self.request.is_recorded:
            return None
        name = standby_of(self.request.manifest, self.request.address.database)
        return name if exists(self.maintenance, name) else None

    def _restore_problem(self) -> tuple[str, str] | None:
        if not self.request.is_recorded:
            return (_UNRECORDED, "`flagsnap list` shows the snapshots, and `flagsnap rollback --to ID` goes to one")
        if self.request.in_place:
            gone = "the live database does not exist, so nothing can be restored in place"
            return (gone, "leave out --in-place") if self.live is None else None
        if self.maintenance is None:
            return (
                "it needs a connection to the database postgres or template1 of the server",
                "let the role connect to one of them, or restore with --in-place",
            )
        return createdb_problem(self.maintenance)

    def _ask(self, migrations: SetDifference, strategy: Strategy) -> "_Answer":
        request, live = self.request, there(self.live)
        if request.project is None:
            return _Answer()
        target = request.target.applied_set
        try:
            description = request.project.describe(target)
        except (BridgeFailed, UsageError) as problem:
            if strategy == "unapply":
                request.spare_restore(problem)
                raise
            return _Answer(problem=problem)
        description.refuse_other(live.server.database, live.server.system_identifier)
        resolution = resolve(target, migrations, description.graph)
        if not request.is_recorded:
            resolution = squashed_by_name(resolution, description.graph)
        return _Answer(description, resolution)

    def _is_schema_equal(self, kept: Sequence[Identity]) -> bool:
        """Whether the schema is the recorded one, once the `kept` objects are left out; true if none was recorded."""
        if not self.request.is_recorded:
            return True
        catalog, before = there(self.live).state.catalog.without(kept), self.request.recorded.schema_catalog
        if self.request.is_copy:
            before, catalog = before.restorable(), catalog.restorable()
        return before.fingerprint == catalog.fingerprint

    def _kept(self, migrations: SetDifference, answer: "_Answer") -> tuple[Identity, ...]:
        if not self.request.is_recorded or (answer.description is None and not migrations.none):
            return ()
        recorded, live = self.request.recorded.schema_catalog, there(self.live).state.catalog
        return made_by_no_migration(recorded, live, answer.effects)

    def _made_before(self, migrations: SetDifference, answer: "_Answer") -> tuple[str, ...]:
        older = self.request.target.older_than(migrations.extra)
        if answer.description is None or older is None:
            return ()
        return made_before(older, there(self.live).state.catalog, answer.description.effects)

    def _price(self, answer: "_Answer", kept: Sequence[Identity]) -> Price:
        request, live = self.request, there(self.live)
        nodes = None if answer.description is None else answer.nodes
        recorded = request.recorded if request.is_recorded else None
        stay = frozenset(each.app for each in request.target.applied_set)
        pricing = Pricing(recorded, live.state.catalog, answer.route, nodes, answer.effects, kept, stay)
        with self.progress.task("count"):
            price = pricing.price(live.worker, request.count_seconds, request.lock_timeout)
        losses = (*price.losses, *_other_state(request.target))
        return replace(price, losses=tuple(with_remedies(losses, request.archive, refill=request.refill)))


@dataclass(frozen=True)
class _Answer:
    """What the project said, or why it did not; with a `place`, what the rehearsal had been told."""

    description: Description | None = None
    resolution: Resolution | None = None
    problem: FlagsnapError | None = None
    place: Place | None = None
    not_replayed: NotReplayed | None = None

    @property
    def route(self) -> Route:
        """The route that it is about."""
        return "unapply" if self.place is None else "replay"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What unapplying takes back."""
        if self.description is None or self.resolution is None:
            return ()
        return steps_of(self.description.graph.nodes, self.resolution)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What the extra migrations did."""
        return self.description.effects if self.description else ()


def _other_state(target: Target) -> Iterator[Loss]:
    """Where the rows may not tell what was applied at that time: a migration was taken back, and its row went."""
    if target.before and (other := target.before.other) and other.gone:
        yield Loss("unapply", "other_state", f"migrations that snapshot {other.deploy_id} recorded", None, "lost")


def there(value: T | None) -> T:
    """What the plan has made sure of."""
    if value is None:
        raise FlagsnapError("the plan does not fit the database")
    return value
