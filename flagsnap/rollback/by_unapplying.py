"""The way back by unapplying: archive, unapply, prove, refill, prove again, and tell what stayed behind.

Whatever fails before the unapply leaves the database as it was. What is to be refilled is written down in the database
before it: after a failure or a kill the same command, or `flagsnap refill`, goes on from there.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flagsnap.errors import FlagsnapError, HalfWay, UsageError
from flagsnap.loss.values import TableKey
from flagsnap.plan import Plan
from flagsnap.postgres import owed
from flagsnap.progress import Progress
from flagsnap.refilling.refill import refill
from flagsnap.results import Leftover, Refilled, RollbackResult
from flagsnap.rollback.archive import take_archive
from flagsnap.rollback.leftovers import Watch
from flagsnap.rollback.proof import prove, refuse_if_moved
from flagsnap.rollback.situation import Live, RollbackRequest
from flagsnap.rollback.unapply import Unapply

_NAMED = 5


@dataclass(frozen=True)
class ByUnapplying:
    """One way back; without a route the migrations are the recorded ones already, and a refill may still be owed."""

    request: RollbackRequest
    plan: Plan
    live: Live
    progress: Progress

    def run(self) -> RollbackResult:
        """Carry it out. DifferencesFound, or HalfWay if it stopped after it had changed something."""
        request, plan, archive = self.request, self.plan, None
        watch = Watch.before(self.live.worker, request.recorded, plan.nodes, plan.effects)
        if plan.route:
            refuse_if_moved(request, self.live)
            archive = self._archive(watch.tables if request.tidy else ())
            with self._owing():
                self._unapply()
        prove(request, plan, plan.route or "plan", self.progress, owed="the refill" if plan.to_refill else "")
        refilled = self._refill() if plan.to_refill else ()
        leftovers = self._leftovers(watch) if plan.route or plan.to_refill or request.tidy else ()
        return RollbackResult(plan, None, None, True, 0.0, archive, refilled, leftovers)

    def _archive(self, tidied: Collection[TableKey]) -> str | None:
        """Take the archive, if there is anything to put into it; gives back its deploy id."""
        scope = self.plan.archive
        if scope == "full" or (scope == "affected" and (self.plan.to_archive or tidied)):
            return take_archive(self.request, self.plan, self.live, self.progress, tidied).deploy_id
        return None

    @contextmanager
    def _owing(self) -> Iterator[None]:
        """Write down what will be owed. Where nothing was unapplied after all, what an earlier run owes stays."""
        if not self.plan.to_refill:
            yield
            return
        worker, to = self.live.worker, self.plan.to
        earlier = owed.read_owed(worker).get(to, ())
        owed.remember(worker, to, self.plan.to_refill)
        try:
            yield
        except HalfWay:
            raise
        except FlagsnapError:
            if earlier:
                owed.remember(worker, to, earlier)
            else:
                owed.settle(worker, to)
            raise

    def _unapply(self) -> None:
        request, live = self.request, self.live
        if request.project is None:
            raise UsageError("no project was named")
        Unapply(self.plan, request.recorded, live.server, request.project, live.worker, request.lock_timeout).run(
            self.progress
        )

    def _refill(self) -> tuple[Refilled, ...]:
        request, plan = self.request, self.plan
        try:
            refilled = refill(
                request.source, plan.to_refill, request.address, request.lock_timeout, self.progress, settles=plan.to
            )
        except FlagsnapError as error:
            named = ", ".join(item.object for item in plan.to_refill[:_NAMED])
            more = len(plan.to_refill) - _NAMED
            raise HalfWay(
                f"{'unapplied and proven' if plan.route else 'proven'}, but not refilled: {named}"
                f"{f' and {more} more' if more > 0 else ''}; {error}",
                f"{f'{error.hint}; ' if error.hint else ''}`flagsnap refill --to {plan.to}` then finishes it",
            ) from error
        prove(request, plan, "refill", self.progress)
        return refilled

    def _leftovers(self, watch: Watch) -> tuple[Leftover, ...]:
        request = self.request
        return watch.after(
            request.source,
            request.address,
            tidy=request.tidy,
            lock_timeout=request.lock_timeout,
            progress=self.progress,
        )
