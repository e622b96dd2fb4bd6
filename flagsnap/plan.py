"""The plan: which way back, what it does, what it costs. Decided from facts, without I/O; a frozen value.

Each route is open, or closed for a reason. Under `auto` the first open one is taken, in the order of `ROUTES`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal

from flagsnap.catalog import Catalog, Identity, differences
from flagsnap.errors import FlagsnapError, RouteClosed
from flagsnap.loss.effects import Effect
from flagsnap.loss.values import ArchiveScope, Loss, RefillItem, Route, items_with
from flagsnap.migrations import Migration, Node, Resolution, Segment, SetDifference
from flagsnap.rehearsal.place import Place
from flagsnap.target import AppliedBefore

Strategy = Literal["auto", "replay", "unapply", "restore"]
OnLoss = Literal["ask", "refuse", "accept", "restore"]
ROUTES: tuple[Route, ...] = ("replay", "unapply", "restore")
_NAMED = 5
RESTORE = "--strategy restore takes the snapshot instead"


@dataclass(frozen=True)
class Facts:
    """All that a plan is decided from.

    Attributes:
        captured_at: None if no snapshot recorded the state.
        migrations: None if the live database is gone.
        schema_equal: whether the live fingerprint is the recorded one, once the `kept` objects are left out; true if
            none was recorded.
        resolution: what the project's graph makes of `migrations`; None if the project was not or could not be asked.
        project_problem: why it could not.
        restore_problem: why a restore is not possible and what to do about it, None if it is.
        place: where in the rehearsed reverse SQL the live database is; None if it cannot be replayed from here, and
        not_replayed: why not.
        losses: of all routes, with their remedies.
        fails: why unapplying, or replaying, would fail on the live data.
        owed: what an earlier run to the same state has unapplied and not refilled yet.
        kept: what no migration made and unapplying leaves alone.
        nodes: the extra migrations that unapplying or replaying takes back.
        replayed: the steps of a replay from here.
        effects: what all extra migrations did.
        made_before: tables of a snapshot older than the extra migrations that these migrations create by their code.
        has_recorded_table: whether `django_migrations` was there at the capture.
        standby: the database that a drill has left for that snapshot, None if there is none.
        before: the time that the state was named by, None if it was a snapshot.
    """

    to: str
    captured_at: datetime | None
    migrations: SetDifference | None
    schema_equal: bool
    resolution: Resolution | None
    project_problem: FlagsnapError | None
    restore_problem: tuple[str, str] | None
    losses: tuple[Loss, ...]
    fails: tuple[str, ...] = ()
    archive: ArchiveScope = "affected"
    owed: tuple[RefillItem, ...] = ()
    kept: tuple[Identity, ...] = ()
    nodes: tuple[Node, ...] = ()
    effects: tuple[Effect, ...] = ()
    made_before: tuple[str, ...] = ()
    has_recorded_table: bool = True
    place: Place | None = None
    replayed: tuple[Segment, ...] = ()
    not_replayed: "NotReplayed | None" = None
    standby: str | None = None
    before: AppliedBefore | None = None

    @property
    def is_there(self) -> bool:
        """Whether the recorded state is the live one already; a refill may still be owed."""
        return self.migrations is not None and self.migrations.none and self.schema_equal

    @property
    def instead(self) -> str:
        """The way out where the extra migrations cannot be taken back."""
        if self.captured_at is not None:
            return RESTORE
        if self.before and self.before.other:
            return f"`flagsnap rollback --to {self.before.other.deploy_id}` goes to what that snapshot recorded"
        return "restore a backup of your own: no snapshot recorded that state"


@dataclass(frozen=True)
class NotReplayed:
    """Why there is no place to replay from; `expected` if that is nothing to tell somebody who did not ask."""

    reason: str
    hint: str
    expected: bool = False


@dataclass(frozen=True)
class ClosedRoute:
    """A route that does not lead to the recorded state, and why; `expected` where nobody would count on it."""

    route: Route
    reason: str
    hint: str
    expected: bool = False


@dataclass(frozen=True)
class Plan:
    """What a rollback will do. `route` is None if the database is in the recorded state already.

    Attributes:
        to: the snapshot's deploy id; if none recorded the state, a name in that form.
        captured_at: None if no snapshot recorded the state: then nothing is known of it but its migrations.
        before: the time that the state was named by, None if it was a snapshot.
        kept: objects made by no migration: unapplying leaves them, and the proof of it leaves them out.
        archive: what is to be archived before anything is destroyed.
        to_archive: what the archive has to bring back.
        to_refill: what comes back from the snapshot afterwards.
        nodes: the migrations that are taken back, and
        effects: what they did; they tell what may stay behind.
        place: where to begin to replay, if that is the route.
        standby: what a restore swaps in, if it still equals what was recorded then; None if there is none.
        refused: why the plan may not be carried out as it is, empty if it may.
        losses: of every route that is open, so that they can be compared; `price` has those of the chosen one.
    """

    to: str
    captured_at: datetime | None
    route: Route | None
    live_is_gone: bool
    extra: tuple[Migration, ...]
    missing: tuple[Migration, ...]
    bookkeeping: tuple[Migration, ...]
    rows_to_remove: tuple[Migration, ...]
    rows_to_add: tuple[Migration, ...]
    covered: tuple[Migration, ...]
    steps: tuple[Segment, ...]
    losses: tuple[Loss, ...]
    closed: tuple[ClosedRoute, ...]
    kept: tuple[Identity, ...]
    refused: str
    archive: ArchiveScope = "none"
    to_archive: tuple[RefillItem, ...] = ()
    to_refill: tuple[RefillItem, ...] = ()
    nodes: tuple[Node, ...] = ()
    effects: tuple[Effect, ...] = ()
    place: Place | None = None
    before: AppliedBefore | None = None
    standby: str | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether a snapshot recorded the state."""
        return self.captured_at is not None

    @property
    def reverses(self) -> bool:
        """Whether its route takes back the extra migrations, and nothing else."""
        return self.route in {"replay", "unapply"}

    @property
    def price(self) -> tuple[Loss, ...]:
        """The losses of the chosen route."""
        return tuple(loss for loss in self.losses if loss.route == self.route)

    @property
    def needs_consent(self) -> bool:
        """Whether the chosen route loses what nothing brings back by itself."""
        return any(loss.needs_consent for loss in self.price)


def decide(facts: Facts, strategy: Strategy, on_loss: OnLoss) -> Plan:
    """Choose the route. RouteClosed if the one that was asked for, or every one, is closed."""
    if facts.is_there and not (facts.owed and strategy == "restore"):
        return _plan(facts, None, (), "")
    closed = tuple(_closed(facts))
    open_routes = [route for route in ROUTES if route not in {each.route for each in closed}]
    route = _choose(open_routes, closed, strategy)
    losses = tuple(loss for loss in facts.losses if loss.route in open_routes)
    if on_loss == "restore" and strategy == "auto" and "restore" in open_routes and _costs(losses, route):
        route = "restore"
    refused = ""
    if _costs(losses, route) and (on_loss == "refuse" or (on_loss == "restore" and route != "restore")):
        refused = "data would be lost, and nobody agreed to it"
    return _plan(facts, route, losses, refused, closed)


def state_differences(recorded_catalog: Catalog, live_catalog: Catalog, migrations: SetDifference) -> tuple[str, ...]:
    """All differences between a recorded state and another one, in words; the migrations first."""
    return (*migrations.sentences(), *(str(each) for each in differences(recorded_catalog, live_catalog)))


def steps_of(nodes: Sequence[Node], resolution: Resolution) -> tuple[Node, ...]:
    """The nodes that a resolution unapplies."""
    wanted = set(resolution.to_unapply)
    return tuple(node for node in nodes if node.migration in wanted)


def _choose(open_routes: Sequence[Route], closed: Sequence[ClosedRoute], strategy: Strategy) -> Route:
    for route in open_routes:
        if strategy in {"auto", route}:
            return route
    reasons = [each for each in closed if strategy in {"auto", each.route}]
    reason = next((each for each in reasons if not each.expected), reasons[0])
    raise RouteClosed(f"cannot roll back by {reason.route}: {reason.reason}", reason.hint)


def _costs(losses: Sequence[Loss], route: Route) -> bool:
    return any(loss.needs_consent for loss in losses if loss.route == route)


def _closed(facts: Facts) -> Iterator[ClosedRoute]:
    """Why a route is closed; the first reason that holds."""
    yield from islice(_against_replay(facts), 1)
    for reason, hint in islice(_against_unapply(facts), 1):
        yield ClosedRoute("unapply", reason, hint)
    if facts.restore_problem is not None:
        yield ClosedRoute("restore", *facts.restore_problem, expected=facts.captured_at is None)


def _against_replay(facts: Facts) -> Iterator[ClosedRoute]:
    if (why := facts.not_replayed) is not None:
        yield ClosedRoute("replay", why.reason, why.hint, why.expected)
    elif facts.place is None:
        hint = f"`flagsnap rehearse {facts.to}`, before the next deploy"
        yield ClosedRoute("replay", f"deploy {facts.to} was not rehearsed", hint, expected=True)
    for reason, hint in _against_all_ways_back(facts):
        yield ClosedRoute("replay", reason, hint)


def _against_unapply(facts: Facts) -> Iterator[tuple[str, str]]:
    yield from _against_all_ways_back(facts)
    if facts.place is not None:
        yield "the project was not asked: the replay needs none", "--strategy unapply asks it"
    elif facts.resolution is None:
        problem = facts.project_problem
        if problem is None:
            name_it = f'name it with --manage "python manage.py" (FLAGSNAP_MANAGE), or {facts.instead}'
            yield "no project was named", name_it
        else:
            yield str(problem), (problem.hint or RESTORE).replace(RESTORE, facts.instead)


def _against_all_ways_back(facts: Facts) -> Iterator[tuple[str, str]]:
    """Why the extra migrations cannot be taken back, be it by the project or from the rehearsal."""
    if facts.migrations is None:
        yield "the live database does not exist", facts.instead
    elif not facts.has_recorded_table:
        yield "the snapshot was taken before the first migrate", RESTORE
    elif facts.migrations.none:
        yield "the migrations are the recorded ones, but the schema was changed otherwise", RESTORE
    if facts.resolution is not None:
        recorded = "was recorded" if facts.captured_at else "was applied before that time"
        yield from against_resolution(facts.resolution, facts.instead, recorded)
    if facts.made_before:
        yield (
            f"an extra migration creates {facts.made_before[0]}, which was recorded: unapplying would drop it",
            facts.instead,
        )
    if facts.fails:
        yield _some(facts.fails), f"change the rows, or {facts.instead}"


def against_resolution(found: Resolution, restore: str, recorded: str = "was recorded") -> Iterator[tuple[str, str]]:
    """Why a graph gives no way back, and what to do about it; `restore` says how the snapshot is taken instead.

    `recorded` is what is said of a migration of the state.
    """
    if found.unknown:
        yield (
            f"applied and not known to the project's code: {_some(found.unknown)}",
            f"run the image of the newer version with --manage, or {restore}",
        )
    if found.unapplied:
        yield f"recorded and no longer applied: {_some(found.unapplied)}", f"apply them with `migrate`, or {restore}"
    if found.irreversible:
        yield f"irreversible: {_some(found.irreversible)}", restore
    if found.ambiguous:
        older = "recorded" if recorded == "was recorded" else "older"
        yield (
            f"{older} migrations are no longer in the code, and may be what is squashed in {_some(found.ambiguous)}",
            restore,
        )
    if found.depended_on:
        kept, gone = found.depended_on[0]
        yield f"{kept} {recorded} and depends on {gone}, which was not", restore


def _some(objects: Sequence[object]) -> str:
    named = ", ".join(map(str, objects[:_NAMED]))
    more = len(objects) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def _plan(
    facts: Facts, route: Route | None, losses: tuple[Loss, ...], refused: str, closed: tuple[ClosedRoute, ...] = ()
) -> Plan:
    resolution = facts.resolution or Resolution()
    reverses = route in {"replay", "unapply"}
    price = tuple(loss for loss in losses if loss.route == route) if reverses else ()
    steps = {"replay": facts.replayed, "unapply": resolution.segments}
    return Plan(
        to=facts.to,
        captured_at=facts.captured_at,
        route=route,
        live_is_gone=facts.migrations is None,
        extra=facts.migrations.extra if facts.migrations else (),
        missing=facts.migrations.missing if facts.migrations else (),
        bookkeeping=resolution.bookkeeping,
        rows_to_remove=resolution.rows_to_remove if reverses else (),
        rows_to_add=resolution.rows_to_add if reverses else (),
        covered=resolution.covered,
        steps=steps.get(route or "", ()),
        losses=losses,
        closed=closed,
        kept=facts.kept if route != "restore" else (),
        refused=refused,
        archive=facts.archive if route else "none",
        to_archive=items_with(price, "archived"),
        to_refill=tuple(dict.fromkeys((*items_with(price, "refilled"), *facts.owed))) if route != "restore" else (),
        nodes=facts.nodes if reverses else (),
        effects=facts.effects if reverses else (),
        place=facts.place if route == "replay" else None,
        standby=facts.standby if route == "restore" else None,
        before=facts.before,
    )
