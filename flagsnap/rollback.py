"""Rollback: decide, show, do. Back to a recorded state, proven equal to it.

`opened` takes the locks and gathers the facts; `Rollback.plan` decides; `Rollback.execute` carries out that plan and
nothing else, and refuses if the database has moved since.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from flagsnap.errors import ConnectionFailed, DifferencesFound, FlagsnapError, HalfWay, UsageError
from flagsnap.in_place import restore_in_place
from flagsnap.plan import OnLoss, Plan, Strategy, decide, require_consent
from flagsnap.postgres import databases
from flagsnap.postgres.connection import Connection, connect
from flagsnap.postgres.facts import read_current_state, read_migrations, read_server
from flagsnap.postgres.facts import read_system_identifier as read_identifier
from flagsnap.postgres.locks import holding, key_of, wait_for_unapply
from flagsnap.progress import Progress
from flagsnap.restore import compare, replace_live
from flagsnap.results import RollbackResult
from flagsnap.situation import Live, RollbackRequest, Situation, there
from flagsnap.unapply import Unapply

_ORPHAN_SECONDS = 15.0


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
        yield Rollback(Situation(request, maintenance, live, progress), live_stack, progress)


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
def _live(request: RollbackRequest, database: str) -> Iterator[Live]:
    with (
        connect(request.address, "lock") as lock,
        connect(request.address, "rollback") as worker,
        holding(lock, database),
    ):
        wait_for_unapply(worker, database, _ORPHAN_SECONDS)
        server = read_server(worker)
        _refuse_other(request, server.database, server.system_identifier)
        yield Live(worker, server, read_current_state(worker, request.lock_timeout))


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

    situation: Situation
    live_stack: ExitStack
    progress: Progress

    @property
    def request(self) -> RollbackRequest:
        """What was asked for."""
        return self.situation.request

    def plan(self, strategy: Strategy | None = None, on_loss: OnLoss | None = None) -> Plan:
        """Decide, as the request says or otherwise. RouteClosed if there is no such way back."""
        strategy = strategy or self.request.strategy
        return decide(self.situation.facts(strategy), strategy, on_loss or self.request.on_loss)

    def execute(self, plan: Plan) -> RollbackResult:
        """Carry a plan out and prove the result.

        LossRefused without consent, DifferencesFound if the database then is not what was recorded, HalfWay if it
        stopped after it had changed something.
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

    def _unapply(self, plan: Plan) -> None:
        request, live = self.request, there(self.situation.live)
        self._refuse_if_moved()
        if request.project is None:
            raise UsageError("no project was named")
        Unapply(plan, request.recorded, live.server, request.project, live.worker, request.lock_timeout).run(
            self.progress
        )

    def _restore(self) -> str | None:
        name = there(self.situation.maintenance).info.dbname
        with connect(self.request.address.to(name), "restore") as worker:
            return replace_live(self.request.source, self.request.address, worker, self.progress, self._before_swap)

    def _before_swap(self) -> None:
        """Look once more, then leave the live database: the swap ends every session there."""
        if self.situation.live:
            self._refuse_if_moved()
            self.live_stack.close()

    def _restore_in_place(self) -> str:
        live = there(self.situation.live)
        self._refuse_if_moved()
        request = self.request
        return restore_in_place(request.source, request.address, live.worker, request.lock_timeout, self.progress)

    def _refuse_if_moved(self) -> None:
        # On a connection of its own: the other one may have been idle for as long as a restore takes.
        with connect(self.request.address, "check") as connection:
            applied = read_migrations(connection) or ()
        if applied != there(self.situation.live).state.applied:
            raise FlagsnapError(
                "the applied migrations have changed since the plan was made; nothing was done",
                "find out who is migrating, then run the same command again",
            )

    def _prove(self, plan: Plan, retired: str | None, retired_schema: str | None) -> None:
        with self.progress.task("verify"):
            try:
                with connect(self.request.address, "verify") as connection:
                    state = read_current_state(connection, self.request.lock_timeout)
            except FlagsnapError as error:
                if plan.route is None:
                    raise
                raise HalfWay(
                    f"the {plan.route} is done, but it could not be verified: {error}",
                    f"run `flagsnap verify --expect {plan.to}`",
                ) from error
        if found := compare(self.request.recorded, state, restored=plan.route == "restore", leaving_out=plan.kept):
            raise DifferencesFound(
                f"after the {plan.route or 'plan'} the database is not what was recorded: {found[0]}"
                + (f", and {len(found) - 1} more" if found[1:] else ""),
                found,
                _after_differences(plan, retired or retired_schema),
            )


def _after_differences(plan: Plan, kept: str | None) -> str:
    if kept:
        return f"{kept} keeps what was live before; `flagsnap undo` brings it back"
    return f"`flagsnap rollback --to {plan.to} --strategy restore` takes the snapshot instead"
