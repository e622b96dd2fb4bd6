"""Rollback: decide, show, do. Back to a recorded state, proven equal to it.

`opened` takes the locks and gathers the facts; `Rollback.plan` decides; `Rollback.execute` carries out that plan and
nothing else, and refuses if the database has moved since.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from flagsnap.consent import require_consent
from flagsnap.errors import ConnectionFailed
from flagsnap.plan import OnLoss, Plan, Strategy, decide
from flagsnap.postgres import databases
from flagsnap.postgres.connection import Connection, connect
from flagsnap.postgres.facts import read_current_state, read_server
from flagsnap.postgres.facts import read_system_identifier as read_identifier
from flagsnap.postgres.locks import holding, key_of, wait_for_unapply
from flagsnap.progress import Progress
from flagsnap.restoring.identity import refuse_other
from flagsnap.restoring.in_place import restore_in_place
from flagsnap.restoring.replace import Replaced, replace_live
from flagsnap.results import RollbackResult
from flagsnap.rollback.archive import take_archive
from flagsnap.rollback.by_reversing import ByReversing
from flagsnap.rollback.noting import note_for_verify
from flagsnap.rollback.proof import prove, refuse_if_moved
from flagsnap.rollback.situation import Live, RollbackRequest, Situation, there

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
    """The locked maintenance database; None where everything but a swap may do without it."""
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
        yield Live(worker, lock, server, read_current_state(worker, request.lock_timeout))


def _refuse_other(request: RollbackRequest, database: str, identifier: str | None) -> None:
    if request.is_recorded and not (request.moved or request.is_copy):
        refuse_other(request.manifest, request.address, database, identifier)


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
        result = self._restore(plan) if plan.route == "restore" else self._reverse(plan)
        if plan.route and not self.request.is_copy:
            note_for_verify(self.request, plan, self.progress)
        return replace(result, seconds=round(time.monotonic() - began, 3))

    def _reverse(self, plan: Plan) -> RollbackResult:
        live = there(self.situation.live)
        return ByReversing(self.request, plan, live, self.progress, self._unapply_instead).run()

    def _unapply_instead(self) -> Plan:
        """Decide anew, from where the database is now. RouteClosed."""
        live = there(self.situation.live)
        state = read_current_state(live.worker, self.request.lock_timeout)
        now = replace(self.situation, live=replace(live, state=state))
        return decide(now.facts("unapply"), "unapply", self.request.on_loss)

    def _restore(self, plan: Plan) -> RollbackResult:
        archive = retired_schema = None
        replaced = Replaced()
        if plan.archive == "full" and self.situation.live:
            archive = take_archive(self.request, plan, self.situation.live, self.progress).deploy_id
        if self.request.in_place:
            retired_schema = self._restore_in_place()
        else:
            replaced = self._restore_beside()
        retired = replaced.retired
        prove(self.request, plan, "restore", self.progress, kept=retired or retired_schema)
        result = RollbackResult(plan, retired, retired_schema, verified=True, seconds=0.0, archive=archive)
        return replace(result, standby=replaced.standby)

    def _restore_beside(self) -> Replaced:
        name = there(self.situation.maintenance).info.dbname
        with connect(self.request.address.to(name), "restore") as worker:
            return replace_live(self.request.source, self.request.address, worker, self.progress, self._before_swap)

    def _before_swap(self) -> None:
        """Look once more, then leave the live database: the swap ends every session there."""
        if self.situation.live:
            refuse_if_moved(self.request, self.situation.live)
            self.live_stack.close()

    def _restore_in_place(self) -> str:
        request, live = self.request, there(self.situation.live)
        refuse_if_moved(request, live)
        return restore_in_place(request.source, request.address, live.worker, request.lock_timeout, self.progress)
