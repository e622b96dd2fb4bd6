"""The way back by taking back the extra migrations, replayed or unapplied.

Archive, take back, prove, refill, prove again, and tell what stayed behind. Whatever fails before the first segment
leaves the database as it was. What is to be refilled is written down in the database before it: after a failure or a
kill the same command, or `flagsnap refill`, goes on from there.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from flagsnap.consent import refuse_other_losses, require_consent
from flagsnap.errors import FlagsnapError, HalfWay, RouteClosed, UsageError
from flagsnap.loss.values import TableKey
from flagsnap.plan import RESTORE, Plan
from flagsnap.postgres import owed, replaying
from flagsnap.postgres.connection import connect
from flagsnap.progress import Progress
from flagsnap.refilling.refill import refill
from flagsnap.results import Leftover, Refilled, RollbackResult
from flagsnap.rollback.archive import take_archive
from flagsnap.rollback.leftovers import Watch
from flagsnap.rollback.proof import prove, refuse_if_moved
from flagsnap.rollback.replay import INSTEAD, Replaying, Surprise
from flagsnap.rollback.situation import Live, RollbackRequest
from flagsnap.rollback.unapply import Unapply

_NAMED = 5


@dataclass(frozen=True)
class ByReversing:
    """One way back; without a route the migrations are the recorded ones already, and a refill may still be owed.

    Attributes:
        decide_anew: the plan of unapplying from where the database is now; RouteClosed.
    """

    request: RollbackRequest
    plan: Plan
    live: Live
    progress: Progress
    decide_anew: Callable[[], Plan]

    def run(self) -> RollbackResult:
        """Carry it out. DifferencesFound, or HalfWay if it stopped after it had changed something."""
        request, plan, archive = self.request, self.plan, None
        watch = self._watch()
        if plan.route:
            refuse_if_moved(request, self.live)
            archive = self._archive(watch.tables if watch and request.tidy else ())
            with self._owing():
                plan = self._take_back()
        prove(request, plan, plan.route or "plan", self.progress, owed="the refill" if plan.to_refill else "")
        refilled = self._refill(plan) if plan.to_refill else ()
        leftovers = self._leftovers(watch) if watch and (plan.route or plan.to_refill or request.tidy) else ()
        return RollbackResult(plan, None, None, request.is_recorded, 0.0, archive, refilled, leftovers)

    def _watch(self) -> Watch | None:
        """What may stay behind; without a snapshot there is nothing to compare with."""
        if not self.request.is_recorded:
            return None
        return Watch.before(self.live.worker, self.request.recorded, self.plan.nodes, self.plan.effects)

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
            # On a connection of its own: the other one may be what failed. What then stays owed does no harm.
            with suppress(FlagsnapError), connect(self.request.address, "rollback") as connection:
                if earlier:
                    owed.remember(connection, to, earlier)
                else:
                    owed.settle(connection, to)
            raise

    def _take_back(self) -> Plan:
        """Replay or unapply; gives back the plan that brought it to its end."""
        if self.plan.route == "unapply":
            self._unapply(self.plan)
            return self.plan
        replay = Replaying(self.request, self.plan, self.live, self.progress)
        try:
            replay.run()
        except Surprise as surprise:
            return self._unapply_instead(surprise, replay)
        return self.plan

    def _unapply_instead(self, surprise: Surprise, replay: Replaying) -> Plan:
        """Go on by unapplying, unless that was ruled out, would do a part again, or loses what nobody agreed to."""
        if half_way := replay.half_way(surprise):
            raise half_way from surprise
        nothing = f"nothing was changed: {surprise}"
        if self.request.strategy != "auto":
            raise FlagsnapError(nothing, INSTEAD) from surprise
        if partly := replay.in_part():
            raise FlagsnapError(f"{nothing}; {partly} is back in part, which unapplying would do again", RESTORE)
        self.progress.warn(f"the replay met a surprise and goes on by unapplying: {surprise}")
        try:
            with replaying.worded(self.request.address):
                plan = self._decided_anew()
                self._unapply(plan)
        except RouteClosed as error:
            raise FlagsnapError(f"{nothing}; {error}", error.hint) from error
        return plan

    def _decided_anew(self) -> Plan:
        plan = self.decide_anew()
        if self.request.on_loss != "accept":
            require_consent(plan)
            refuse_other_losses(self.plan, plan)
        if plan.to_refill:
            owed.remember(self.live.worker, plan.to, plan.to_refill)
        return plan

    def _unapply(self, plan: Plan) -> None:
        request, live = self.request, self.live
        if request.project is None:
            raise UsageError("no project was named")
        unapply = Unapply(plan, request.target, live.server, request.project, live.worker, request.lock_timeout)
        try:
            unapply.run(self.progress)
        except FlagsnapError as error:
            request.spare_restore(error)
            raise

    def _refill(self, plan: Plan) -> tuple[Refilled, ...]:
        request, done = self.request, {"replay": "replayed and proven", "unapply": "unapplied and proven"}
        try:
            refilled = refill(
                request.source, plan.to_refill, request.address, request.lock_timeout, self.progress, settles=plan.to
            )
        except FlagsnapError as error:
            named = ", ".join(item.object for item in plan.to_refill[:_NAMED])
            more = len(plan.to_refill) - _NAMED
            raise HalfWay(
                f"{done.get(plan.route or '', 'proven')}, but not refilled: {named}"
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
