"""The situation in which a rollback is decided: what was recorded, what is live, what the project says, the price."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flagsnap.bridge.project import Description, Project
from flagsnap.catalog import Identity
from flagsnap.errors import BridgeFailed, FlagsnapError, UsageError
from flagsnap.loss.attribution import made_by_no_migration
from flagsnap.loss.behaviour import behavioural
from flagsnap.loss.effects import Effect
from flagsnap.loss.lineage import Lineage
from flagsnap.loss.structure import dropped, made_before, structural
from flagsnap.loss.values import ArchiveScope, Loss, Question, TableKey, with_remedies
from flagsnap.loss.writes import written_since
from flagsnap.migrations import Node, Resolution, SetDifference, difference, resolve
from flagsnap.plan import Facts, OnLoss, Strategy, steps_of
from flagsnap.postgres.connection import Address, Connection
from flagsnap.postgres.counting import Count, Counting
from flagsnap.postgres.facts import LiveState, ServerFacts, read_statistics, set_lock_timeout
from flagsnap.postgres.owed import read_owed
from flagsnap.progress import Progress
from flagsnap.restoring.restore import Source, createdb_problem
from flagsnap.snapshot import Manifest, RecordedDatabase
from flagsnap.stores.snapshots import Snapshots

T = TypeVar("T")


@dataclass(frozen=True)
class RollbackRequest:
    """What to go back to, and how.

    Attributes:
        manifest: the snapshot.
        project: None if no project was named.
        moved: the snapshot may be of another server or database name: the database has moved.
        archive: which tables to archive before anything is destroyed.
        refill: whether to put back what the deploy had destroyed.
        tidy: whether to remove rows of the deploy that its migrations' reverse leaves.
        count_seconds: how long to count what would be lost; what is left then is estimated.
    """

    address: Address
    snapshots: Snapshots
    manifest: Manifest
    project: Project | None
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
        """Gather all facts; the project is not asked if only a restore is wanted."""
        request, recorded = self.request, self.request.recorded
        if self.live is None:
            return Facts(
                to=request.manifest.deploy_id,
                captured_at=request.manifest.captured_at,
                migrations=None,
                schema_equal=False,
                resolution=None,
                project_problem=None,
                restore_problem=self._restore_problem(),
                losses=(),
            )
        migrations = difference(recorded.applied_set, tuple(row.migration for row in self.live.state.applied))
        answer = _Answer()
        if not migrations.none and strategy != "restore":
            with self.progress.task("ask the project"):
                answer = self._ask(migrations, strategy)
        kept = self._kept(migrations, answer)
        catalog = self.live.state.catalog.without(kept)
        schema_equal = recorded.schema_catalog.fingerprint == catalog.fingerprint
        owed = read_owed(self.live.worker).get(request.manifest.deploy_id, ()) if request.refill else ()
        nothing_to_do = migrations.none and schema_equal and not (owed and strategy == "restore")
        price = _Price() if nothing_to_do else self._price(answer, kept)
        return Facts(
            to=request.manifest.deploy_id,
            captured_at=request.manifest.captured_at,
            migrations=migrations,
            schema_equal=schema_equal,
            resolution=answer.resolution,
            project_problem=answer.problem,
            restore_problem=self._restore_problem(),
            losses=price.losses,
            fails=price.fails,
            archive=request.archive,
            owed=owed,
            kept=kept,
            nodes=answer.nodes,
            effects=answer.effects,
            made_before=self._made_before(answer),
            has_recorded_table=recorded.has_migrations_table,
        )

    def _restore_problem(self) -> tuple[str, str] | None:
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
        recorded = request.recorded.applied_set
        try:
            description = request.project.describe(recorded)
        except (BridgeFailed, UsageError) as problem:
            if strategy == "unapply":
                raise
            return _Answer(problem=problem)
        _refuse_other_project(description, live.server)
        return _Answer(description, resolve(recorded, migrations, description.graph))

    def _kept(self, migrations: SetDifference, answer: "_Answer") -> tuple[Identity, ...]:
        if answer.description is None and not migrations.none:
            return ()
        recorded, live = self.request.recorded.schema_catalog, there(self.live).state.catalog
        return made_by_no_migration(recorded, live, answer.effects)

    def _made_before(self, answer: "_Answer") -> tuple[str, ...]:
        if answer.description is None:
            return ()
        recorded, live = self.request.recorded.schema_catalog, there(self.live).state.catalog
        return made_before(recorded, live, answer.description.effects)

    def _price(self, answer: "_Answer", kept: Sequence[Identity]) -> "_Price":
        """Count what each route costs, in a transaction that only reads."""
        live, recorded = there(self.live), self.request.recorded
        tables = tuple((each.schema, each.name) for each in kept if each.kind == "table")
        with self.progress.task("count"), live.worker.transaction():
            counting = Counting.within(live.worker, self.request.count_seconds)
            set_lock_timeout(live.worker, self.request.lock_timeout)
            found = tuple(self._found(answer))
            counts = dict(counting.answers([each for each in found if isinstance(each, Question)]))
            losses = list(_answered(found, counts))
            losses += written_since(
                counting.written(recorded.tables, self._names(answer), frozenset(tables)),
                reset=not read_statistics(live.worker).continues(recorded.statistics),
            )
            losses += (
                Loss("restore", "made_by_no_migration", ".".join(table), count.rows, "lost", count.estimated)
                for table, count in counting.rows(tables)
                if count.rows != 0
            )
        fails = tuple(each.failure(count.rows) for each, count in counts.items() if each.fails and count.is_certain)
        return _Price(tuple(with_remedies(losses, self.request.archive, refill=self.request.refill)), fails)

    def _found(self, answer: "_Answer") -> Iterator[Loss | Question]:
        """What unapplying may cost."""
        if answer.description is None or answer.resolution is None:
            return
        recorded, live = self.request.recorded, there(self.live).state.catalog
        effects = answer.description.effects
        rows = {(table.schema_name, table.table): table.rows for table in recorded.tables}
        yield from structural(recorded.schema_catalog, live, effects, rows)
        gone = dropped(recorded.schema_catalog, live, effects)
        yield from behavioural(answer.nodes, live, gone, effects)

    def _names(self, answer: "_Answer") -> Mapping[TableKey, TableKey]:
        return Lineage.following(self.request.recorded.schema_catalog, answer.effects).tables


@dataclass(frozen=True)
class _Price:
    """What the routes cost, and why unapplying would fail on the live data."""

    losses: tuple[Loss, ...] = ()
    fails: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Answer:
    """What the project said, or why it did not."""

    description: Description | None = None
    resolution: Resolution | None = None
    problem: FlagsnapError | None = None

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


def _refuse_other_project(description: Description, server: ServerFacts) -> None:
    """UsageError if the project works on another database than flagsnap."""
    same_server = None in (description.system_identifier, server.system_identifier) or (
        description.system_identifier == server.system_identifier
    )
    if description.database == server.database and same_server:
        return
    raise UsageError(
        f"the project is connected to the database {description.database}"
        + ("" if same_server else " of another server")
        + f", flagsnap to {server.database}",
        "--manage and --database-url must lead to the same database",
    )


def _answered(found: Sequence[Loss | Question], counts: Mapping[Question, Count]) -> Iterator[Loss]:
    """What is lost, or may be; what would fail is no loss."""
    for each in found:
        if isinstance(each, Loss):
            yield each
        elif not each.fails and (count := counts[each]).rows != 0:
            yield each.answered(count.rows, estimated=count.estimated)


def there(value: T | None) -> T:
    """What the plan has made sure of."""
    if value is None:
        raise FlagsnapError("the plan does not fit the database")
    return value
