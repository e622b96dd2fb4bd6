"""Prune: decide what goes, show it, and do it when it was confirmed.

With a database the locks of a rollback are held meanwhile. Without one nothing but the snapshots is looked at.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flagsnap.errors import ConnectionFailed, FlagsnapError, SnapshotDamaged, SnapshotMissing
from flagsnap.postgres.connection import Address, translated
from flagsnap.progress import Progress
from flagsnap.pruning.asides import decide_asides
from flagsnap.pruning.candidates import NO_MANIFEST, Stock, refuse_other_store
from flagsnap.pruning.server import Server, opened
from flagsnap.retention import Division, Policy, Pruned, PrunePlan, Verdict, decide, require_policy
from flagsnap.stores.snapshots import Snapshots

_FAILURES = 3
_NO_DATABASE = (
    "no database was looked at, nor what is beside it: the live state, what is before the newest migrations and from"
    " which a refill is owed are not known, and no other run is kept away"
)
_NO_CAPTURE = "nothing beside the live database goes, since no capture can be read: is this the store?"
_NO_MAINTENANCE = "databases beside the live one were not looked at: neither postgres nor template1 can be connected to"


@dataclass(frozen=True)
class PruneRequest:
    """What to keep.

    Attributes:
        address: the live database, None if nothing but the snapshots is to be looked at.
        keep_retired: how long what a restore has replaced is kept, and an archive in any case.
        confirm: whether to remove anything at all.
    """

    address: Address | None
    snapshots: Snapshots
    policy: Policy
    keep_retired: timedelta
    lock_timeout: float
    confirm: bool


def prune(request: PruneRequest, progress: Progress) -> Pruned:
    """Decide, and remove it if that was confirmed.

    UsageError without a policy, or if the store is another database's; Locked if another run is at work;
    ConnectionFailed, StoreFailed. What of it cannot be removed is told in the result.
    """
    require_policy(request.policy)
    with ExitStack() as stack:
        server = stack.enter_context(opened(request.address, request.lock_timeout)) if request.address else None
        plan = plan_prune(request, server)
        if not request.confirm:
            return Pruned(plan)
        return _Removal(request.snapshots, server, progress).run(plan)


def plan_prune(request: PruneRequest, server: Server | None) -> PrunePlan:
    """Decide; nothing is changed."""
    now = datetime.now(UTC)
    stock = Stock(request.snapshots, now)
    newest = stock.newest()
    if server:
        refuse_other_store(newest, server.address, server.facts.database, server.facts.system_identifier)
    live = server.described() if server else None
    owed = server.owed() if server else ()
    snapshots = stock.divided(
        lambda: decide(
            stock.candidates,
            request.policy,
            now,
            live=live,
            owed=owed,
            damaged=stock.damaged,
            keep_archives=request.keep_retired,
        )
    )
    if server is None:
        return PrunePlan(now, snapshots, limits=(_NO_DATABASE,))
    summary = newest[0].summary if newest else None
    asides = decide_asides(server.asides(), request.keep_retired, now, summary, damaged=bool(stock.damaged))
    limits = {_NO_MAINTENANCE: server.maintenance is None, _NO_CAPTURE: not newest}
    return PrunePlan(now, snapshots, asides, tuple(limit for limit, holds in limits.items() if holds))


class _Spared(Exception):
    """What is to be removed is kept after all."""


class _Removal:
    """A plan at work. It may be killed at any point: the next one goes on."""

    def __init__(self, snapshots: Snapshots, server: Server | None, progress: Progress) -> None:
        self._snapshots = snapshots
        self._server = server
        self._progress = progress
        self._spared: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def run(self, plan: PrunePlan) -> Pruned:
        """Remove, the oldest first. ConnectionFailed if the lock is lost on the way, StoreFailed without the right."""
        if self._server:
            self._snapshots.store.sweep(self._server.owner, self._progress)
        if plan.snapshots.remove:
            self._snapshots.store.try_rights()
        with self._progress.task("prune", len(plan.snapshots.remove) + len(plan.databases.remove)) as task:
            for division, remove in ((plan.snapshots, self._remove), (plan.databases, self._drop)):
                for _ in self._each(division, remove):
                    task.advance(1)
        return Pruned(plan, confirmed=True, spared=self._spared, failed=self._failed)

    def _each(self, division: Division, remove: Callable[[Verdict], None]) -> Iterator[None]:
        failures = 0
        for verdict in reversed(division.remove):
            self._check_lock()
            if failures == _FAILURES:
                self._failed[verdict.name] = f"not tried, since {failures} before it failed"
                continue
            try:
                remove(verdict)
            except _Spared as spared:
                self._spared[verdict.name] = str(spared)
            except ConnectionFailed:
                raise
            except FlagsnapError as error:
                failures += not isinstance(error, SnapshotMissing)  # which says nothing of the next one
                self._failed[verdict.name] = f"{error}; {error.hint}" if error.hint else str(error)
            else:
                failures = 0
                self._progress.note(f"removed {verdict.name}: {verdict.reason}")
            yield

    def _remove(self, verdict: Verdict) -> None:
        """Remove a snapshot, if it is still the one that was decided on; one that is gone is as good as removed.

        SnapshotMissing if the store still tells of one that has no manifest: files of it may be left.
        """
        try:
            self._look_again(verdict)
            self._snapshots.store.remove(verdict.name)
        except SnapshotMissing as error:
            if verdict.name in self._snapshots.store.list():
                raise SnapshotMissing(NO_MANIFEST, "look at it") from error

    def _look_again(self, verdict: Verdict) -> None:
        """Raise `_Spared` if a pin was set since, or another capture has taken the deploy id."""
        try:
            if self._snapshots.pinned(verdict.name):
                raise _Spared("pinned meanwhile")
        except SnapshotDamaged as error:
            raise _Spared(f"a pin that cannot be read holds: {error}") from error
        try:
            manifest = self._snapshots.get(verdict.name)
        except SnapshotDamaged as error:
            raise _Spared(f"look at it: {error}") from error
        if manifest.captured_at != verdict.at:
            raise _Spared("captured anew meanwhile")

    def _drop(self, verdict: Verdict) -> None:
        if self._server:
            self._server.drop(verdict)

    def _check_lock(self) -> None:
        if self._server:
            with translated(self._server.address):
                self._server.check_lock()
