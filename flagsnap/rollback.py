"""Rollback: decide, show, do. Back to a recorded state, proven equal to it.

`opened` takes the locks and gathers the facts; `Rollback.plan` decides; `Rollback.execute` carries out that plan and nothing
else, and refuses if the database has moved since.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flagsnap.bridge.project import Description, Project
from flagsnap.errors import BridgeFailed, ConnectionFailed, DifferencesFound, FlagsnapError, HalfWay, UsageError
from flagsnap.in_place import restore_in_place
from flagsnap.loss import Loss, TableKey, behavioural, made_by_no_migration, structural, written_since
from flagsnap.migrations import Migration, Resolution, SetDifference, difference, resolve
from flagsnap.plan import Facts, OnLoss, Plan, Strategy, decide, require_consent, steps_of
from flagsnap.postgres import counting, databases
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.facts import LiveState, ServerFacts, read_current_state, read_migrations, read_server
from flagsnap.postgres.facts import read_system_identifier as read_identifier
from flagsnap.postgres.locks import holding, key_of, wait_for_unapply
from flagsnap.progress import Progress
from flagsnap.restore import Source, compare, replace_live
from flagsnap.results import RollbackResult
from flagsnap.snapshot import Manifest, RecordedDatabase
from flagsnap.stores.snapshots import Snapshots
from flagsnap.unapply import Unapply

_ORPHAN_SECONDS = 15.0


@dataclass(frozen=True)
class RollbackRequest:
    """What to go back to, and how.

    Attributes:
        manifest: the snapshot.
        project: None if no project was named.
        moved: the snapshot may be of another server or database name: the database has moved.
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

    @property
    def source(self) -> Source:
        """What a restore needs."""
        return Source(self.snapshots, self.manifest, self.jobs, self.pg_bin)

    @property
    def recorded(self) -> RecordedDatabase:
        """The recorded state."""
        return self.manifest.database


@dataclass(frozen=True)
class _Live:
    """The live database: a connection that works, and what was read of it."""

    worker: Connection
    server: ServerFacts
    state: LiveState


@contextmanager
def opened(request: RollbackRequest, progress: Progress) -> Iterator["Rollback"]:
    """Take the locks for the length of the block, and read the facts. Locked, ConnectionFailed, UsageError."""
    database = request.address.database
    with ExitStack() as stack, ExitStack() as live_stack:
        maintenance = _maintenance(request, stack)
        live = None
        if maintenance is None or databases.exists(maintenance, database):
            live = live_stack.enter_context(_live(request, database))
        else:
            _refuse_other(request, database, read_identifier(maintenance))
        yield Rollback(request, maintenance, live, live_stack, progress)


def _maintenance(request: RollbackRequest, stack: ExitStack) -> Connection | None:
    """The locked maintenance database; None where an in-place run or an unapply may do without it."""
    database = request.address.database
    try:
        connection = stack.enter_context(databases.maintenance(request.address, "rollback"))
    except ConnectionFailed:
        # Perhaps this role may connect to its own database only. Everything but a swap works without the other one.
        with connect(request.address, "rollback"):
            return None
    stack.enter_context(holding(connection, database, key_of(database)))
    return connection


@contextmanager
def _live(request: RollbackRequest, database: str) -> Iterator[_Live]:
    with connect(request.address, "lock") as lock, connect(request.address, "rollback") as worker:
        with holding(lock, database):
            wait_for_unapply(worker, database, _ORPHAN_SECONDS)
            server = read_server(worker)
            _refuse_other(request, server.database, server.system_identifier)
            yield _Live(worker, server, read_current_state(worker))


def _refuse_other(request: RollbackRequest, database: str, identifier: str | None) -> None:
    """UsageError if the snapshot is of another database."""
    recorded = request.recorded
    other_server = None not in (identifier, recorded.system_identifier) and identifier != recorded.system_identifier
    if request.moved or (recorded.name == database and not other_server):
        return
    where = "" if recorded.name != database else " of another server"
    raise UsageError(
        f"snapshot {request.manifest.deploy_id} is of the database {recorded.name}{where}, not of {request.address}",
        "check --store and --database-url; if the database was moved there, say so with --moved",
    )


@dataclass(frozen=True)
class Rollback:
    """A rollback with its locks held."""

    request: RollbackRequest
    maintenance: Connection | None
    live: _Live | None
    live_stack: ExitStack
    progress: Progress

    def plan(self, strategy: Strategy | None = None, on_loss: OnLoss | None = None) -> Plan:
        """Decide, as the request says or otherwise. RouteClosed if there is no such way back."""
        strategy = strategy or self.request.strategy
        return decide(self._facts(strategy), strategy, on_loss or self.request.on_loss)

    def execute(self, plan: Plan) -> RollbackResult:
        """Carry a plan out and prove the result.

        LossRefused without consent, DifferencesFound if the database then is not what was recorded, HalfWay if it stopped
        after it had changed something.
        """
        began = time.monotonic()
        require_consent(plan)
        retired = retired_schema = None
        if plan.route == "unapply":
            self._unapply(plan)
        elif plan.route == "restore" and self.request.in_place:
            retired_schema = self._restore_in_place()
        elif plan.route == "restore":
            retired = self._restore()
        self._prove(plan, retired, retired_schema)
        return RollbackResult(plan, retired, retired_schema, verified=True, seconds=round(time.monotonic() - began, 3))

    def _facts(self, strategy: Strategy) -> Facts:
        request, recorded = self.request, self.request.recorded
        if self.live is None:
            return Facts(request.manifest.deploy_id, request.manifest.captured_at, None, False, None, None, ())
        migrations = _difference(recorded, self.live.state)
        answer = _Answer()
        if not migrations.none and strategy != "restore":
            with self.progress.task("ask the project"):
                answer = self._ask(migrations, strategy)
        kept = self._kept(migrations, answer)
        catalog = self.live.state.catalog.without_tables(kept)
        schema_equal = recorded.schema_catalog.fingerprint == catalog.fingerprint
        losses: tuple[Loss, ...] = ()
        if not (migrations.none and schema_equal):
            losses = tuple(self._losses(answer))
        return Facts(
            to=request.manifest.deploy_id,
            captured_at=request.manifest.captured_at,
            migrations=migrations,
            schema_equal=schema_equal,
            resolution=answer.resolution,
            project_problem=answer.problem,
            losses=losses,
            kept=kept,
            has_recorded_table=recorded.has_migrations_table,
        )

    def _ask(self, migrations: SetDifference, strategy: Strategy) -> "_Answer":
        request, live = self.request, _there(self.live)
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

    def _kept(self, migrations: SetDifference, answer: "_Answer") -> tuple[TableKey, ...]:
        if answer.description is None and not migrations.none:
            return ()
        recorded, live = self.request.recorded.schema_catalog, _there(self.live).state.catalog
        return made_by_no_migration(recorded, live, answer.description.effects if answer.description else ())

    def _losses(self, answer: "_Answer") -> Iterator[Loss]:
        live, recorded = _there(self.live), self.request.recorded
        with live.worker.transaction():
            live.worker.execute("SET LOCAL statement_timeout = 0")
            if answer.description and answer.resolution:
                rows = {(table.schema_name, table.table): table.rows for table in recorded.tables}
                effects = answer.description.effects
                for question in structural(recorded.schema_catalog, live.state.catalog, effects, rows):
                    loss = counting.answer(live.worker, question)
                    if loss.rows:
                        yield loss
                yield from behavioural(steps_of(answer.description.graph.nodes, answer.resolution))
            yield from written_since(counting.written(live.worker, recorded.tables))

    def _unapply(self, plan: Plan) -> None:
        request, live = self.request, _there(self.live)
        self._refuse_if_moved()
        if request.project is None:
            raise UsageError("no project was named")
        Unapply(plan, request.recorded, live.server, request.project, live.worker, request.lock_timeout).run(
            self.progress
        )

    def _restore(self) -> str | None:
        if self.maintenance is None:
            raise UsageError(
                "a restore needs a connection to the database postgres or template1 of the server",
                "let the role connect to one of them, or restore with --in-place",
            )
        name = self.maintenance.info.dbname
        with connect(self.request.address.to(name), "restore") as worker:
            return replace_live(self.request.source, self.request.address, worker, self.progress, self._before_swap)

    def _before_swap(self) -> None:
        """Look once more, then leave the live database: the swap ends every session there."""
        if self.live:
            self._refuse_if_moved()
            self.live_stack.close()

    def _restore_in_place(self) -> str:
        live = self.live
        if live is None:
            raise UsageError(
                "the live database does not exist, so nothing can be restored in place", "leave out --in-place"
            )
        self._refuse_if_moved()
        request = self.request
        return restore_in_place(request.source, request.address, live.worker, request.lock_timeout, self.progress)

    def _refuse_if_moved(self) -> None:
        live = _there(self.live)
        if (read_migrations(live.worker) or ()) != live.state.applied:
            raise FlagsnapError(
                "the applied migrations have changed since the plan was made; nothing was done",
                "find out who is migrating, then run the same command again",
            )

    def _prove(self, plan: Plan, retired: str | None, retired_schema: str | None) -> None:
        with self.progress.task("verify"):
            try:
                with connect(self.request.address, "verify") as connection:
                    state = read_current_state(connection)
            except FlagsnapError as error:
                if plan.route is None:
                    raise
                raise HalfWay(
                    f"the {plan.route} is done, but it could not be verified: {error}",
                    f"run `flagsnap verify --expect {plan.to}`",
                ) from error
        if found := compare(self.request.recorded, state, restored=plan.route == "restore", leaving_out=plan.kept):
            raise DifferencesFound(
                f"after the {plan.route} the database is not what was recorded: {found[0]}"
                + (f", and {len(found) - 1} more" if found[1:] else ""),
                found,
                _after_differences(plan, retired or retired_schema),
            )


@dataclass(frozen=True)
class _Answer:
    """What the project said, or why it did not."""

    description: Description | None = None
    resolution: Resolution | None = None
    problem: FlagsnapError | None = None


def _after_differences(plan: Plan, kept: str | None) -> str:
    if kept:
        return f"{kept} keeps what was live before; `flagsnap undo` brings it back"
    return f"`flagsnap rollback --to {plan.to} --strategy restore` takes the snapshot instead"


def _difference(recorded: RecordedDatabase, state: LiveState) -> SetDifference:
    applied: tuple[Migration, ...] = tuple(row.migration for row in state.applied)
    return difference(recorded.applied_set, applied)


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


def _there(live: _Live | None) -> _Live:
    if live is None:
        raise FlagsnapError("the live database does not exist")
    return live
