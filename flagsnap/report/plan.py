"""A plan as text: the verdict in the first line, then what each route costs, then the steps."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flagsnap.loss.values import Kind, Loss, Remedy, Route
from flagsnap.moments import exact
from flagsnap.plan import ROUTES, Plan
from flagsnap.report.pieces import SHOWN, moment, number, some, spare_first, table

_WHAT: dict[Kind, str] = {
    "table_dropped": "rows of a table that goes",
    "table_emptied": "rows of a table that the deploy dropped",
    "column_dropped": "values of a column that goes",
    "column_emptied": "values of a column that the deploy dropped",
    "type_narrowed": "values that the recorded type cannot carry",
    "type_cast": "values that the deploy cast to another type",
    "rows_deleted": "rows that the reverse deletes",
    "rows_updated": "rows that the reverse overwrites",
    "reverse_does_nothing": "what it changed stays: its reverse does nothing",
    "reverse_runs_code": "its reverse is code, which cannot be read",
    "statement_unknown": "its reverse is SQL that was not understood",
    "written_since": "written since the capture",
    "made_by_no_migration": "made by no migration",
    "ran_forward": "SQL of the deploy that took something away, or was not understood",
    "whole_app": "the app goes as a whole; if its rows were recorded late, its tables are older than the deploy",
    "other_state": "not all are among those that stay: what was taken back since has no row of that time",
}
_OF_TABLES: frozenset[Kind] = frozenset({"table_dropped", "table_emptied", "rows_deleted", "rows_updated"})
_OF_COLUMNS: frozenset[Kind] = frozenset({"column_dropped", "column_emptied", "type_narrowed", "type_cast"})
_SINCE: frozenset[Kind] = frozenset({"written_since", "made_by_no_migration"})
_UNREAD: frozenset[Kind] = frozenset({"reverse_runs_code", "statement_unknown"})
_DOUBTS: frozenset[Kind] = frozenset({"whole_app", "other_state"})
_WORST_FIRST: tuple[Remedy, ...] = ("lost", "kept", "archived", "refilled")
_STYLES: dict[Remedy, str] = {"lost": "red", "kept": "yellow"}


def plan_text(plan: Plan) -> Iterator[RenderableType]:
    """The whole plan, from top to bottom."""
    yield Text(_verdict(plan), style="bold")
    yield from (Text(line) for line in _standing(plan))
    if plan.refused:
        yield Text("refused as it stands: it loses data, and --on-loss does not agree to that", style="red")
    for each in plan.closed:
        if each.expected:
            continue
        yield Text(f"{each.route} is closed: {each.reason}")
    for route in open_routes(plan):
        yield from _route(plan, route)
    if plan.route or plan.to_refill:
        yield Text("\nsteps", style="bold")
        yield _steps(plan)
    if plan.kept:
        yield Text(f"made by no migration, and left as they are: {kept(plan)}")
    if plan.bookkeeping and plan.reverses:
        yield Text(f"bookkeeping rows set right: {', '.join(map(str, plan.bookkeeping))}")


def price(plan: Plan, route: Route, remedies: Sequence[Remedy] = _WORST_FIRST) -> str:
    """What a route costs, in one sentence without a full stop; only what has one of these remedies."""
    losses = [loss for loss in plan.losses if loss.route == route and loss.rows != 0]
    by_remedy = {remedy: [loss for loss in losses if loss.remedy == remedy] for remedy in remedies}
    unread = [loss for loss in by_remedy["lost"] if loss.kind in _UNREAD]
    doubts = [loss for loss in by_remedy["lost"] if loss.kind in _DOUBTS]
    by_remedy["lost"] = [loss for loss in by_remedy["lost"] if loss.kind not in _UNREAD | _DOUBTS]
    said = [_clause(remedy, group, route) for remedy, group in by_remedy.items() if group]
    if unread:
        more = "more" if by_remedy["lost"] else "rows"
        said.insert(bool(by_remedy["lost"]), f"MAY LOSE {more} ({_objects(unread, 'reverse')} cannot be read)")
    return ", ".join((*said, *_doubtful(doubts))) or "nothing is lost"


def open_routes(plan: Plan) -> list[Route]:
    """The chosen route first; none if there is nothing to choose."""
    if plan.route is None or plan.live_is_gone:
        return []
    closed = {each.route for each in plan.closed}
    return [plan.route, *(route for route in ROUTES if route != plan.route and route not in closed)]


def kept(plan: Plan) -> str:
    """What no migration made."""
    return ", ".join(map(str, plan.kept))


def target(plan: Plan) -> str:
    """The state to go back to."""
    if plan.before is None:
        return f"the state before deploy {plan.to}"
    return f"what was applied before {exact(plan.before.moment)}"


def proven(plan: Plan) -> Iterator[Text]:
    """What a rollback has proven when it is done, and what it could not."""
    if plan.is_recorded:
        yield Text("proven: the applied migrations and the schema equal what was recorded", style="green")
        return
    yield Text("proven: the applied migrations; the schema was not recorded, so it was not compared", style="yellow")
    if plan.route:
        yield Text("rows of the deploy that stayed behind, such as permissions, were not looked for")


def _standing(plan: Plan) -> Iterator[str]:
    """What recorded the state, and what is to be known of the time that was named."""
    before = plan.before
    if plan.captured_at is None:
        yield "no snapshot recorded that state: nothing can be refilled or restored, and the schema is not compared"
    elif before is None:
        yield f"captured {moment(plan.captured_at)}"
    else:
        yield f"recorded by snapshot {plan.to}, captured {moment(plan.captured_at)}"
    if before and (other := before.other):
        counts = ((other.added, "applied after it"), (other.gone, "of it not among those that stay"))
        said = ", ".join(f"{number(count, 'migration')} {what}" for count, what in counts if count)
        yield f"snapshot {other.deploy_id}, captured {moment(other.captured_at)}, recorded another set: {said}"
        yield f"  flagsnap rollback --to {other.deploy_id} goes there"
        if other.gone:
            yield "  what was taken back since, or applied again, has no row of that time: it may have been another"
    if before and (within := before.within):
        yield (
            f"that time lies within a deploy: {within.stay} of the {within.total} migrations that were applied from"
            f" {moment(within.began)} on stay"
        )


def _verdict(plan: Plan) -> str:
    goal = target(plan)
    if plan.route is None and not plan.is_recorded:
        return f"nothing to do: the applied migrations are {goal}"
    if plan.route is None and not plan.to_refill:
        return f"nothing to do: the migrations and the schema are {goal}"
    if plan.route is None:
        return f"refill what an earlier run left to do: the migrations and the schema are {goal} already"
    migrations = number(len({each for step in plan.steps for each in step.migrations}), "migration")
    done = {
        "replay": f"replay the reverse SQL of {migrations}",
        "unapply": f"unapply {migrations}",
        "restore": "restore the snapshot",
    }[plan.route]
    if plan.live_is_gone:
        return f"{done}, back to {goal}: the live database does not exist"
    return f"{done}, back to {goal}: {price(plan, plan.route, ('lost', 'kept'))}"


def _route(plan: Plan, route: Route) -> Iterator[RenderableType]:
    losses = [loss for loss in plan.losses if loss.route == route]
    if route != plan.route:
        yield Text(f"\n{route}, with --strategy {route}: {price(plan, route)}")
    elif losses:
        yield Text(f"\n{route}, as chosen: {price(plan, route)}", style="bold")
    if losses:
        yield _losses(losses)


def _clause(remedy: Remedy, losses: Sequence[Loss], route: Route) -> str:
    amounts = list(_amounts(losses))
    said = " and ".join(amounts)
    one = len(amounts) == 1 and said.startswith(("1 ", "what"))
    if remedy == "lost":
        return f"LOSES {said}" + (" that nothing brings back" if route != "restore" else "")
    if remedy == "kept":
        return f"{said} {'stays' if one else 'stay'} behind"
    if remedy == "archived":
        return f"{said} {'is' if one else 'are'} archived"
    return f"{said} {'comes' if one else 'come'} back from the snapshot"


def _doubtful(losses: Sequence[Loss]) -> Iterator[str]:
    """What may be more than the deploy, or less."""
    if tables := [loss for loss in losses if loss.kind == "whole_app"]:
        yield f"MAY TAKE BACK more than the deploy ({_objects(tables, 'table')} of an app that goes as a whole)"
    if len(tables) < len(losses):
        yield "MAY NOT BE the state of that time (migrations were taken back since)"


def _amounts(losses: Sequence[Loss]) -> Iterator[str]:
    """How much it is, for each sort of loss."""
    if some_of := [loss for loss in losses if loss.kind in _OF_TABLES]:
        yield f"{_sum(some_of, 'row')} of {_objects(some_of, 'table')}"
    if some_of := [loss for loss in losses if loss.kind in _OF_COLUMNS]:
        yield f"{_sum(some_of, 'value')} of {_objects(some_of, 'column')}"
    if some_of := [loss for loss in losses if loss.kind in _SINCE]:
        yield f"{_sum(some_of, 'row')} of {_objects(some_of, 'table')} written since the capture"
    if some_of := [loss for loss in losses if loss.kind == "reverse_does_nothing"]:
        yield f"what {_objects(some_of, 'migration')} did to rows"
    if some_of := [loss for loss in losses if loss.kind == "ran_forward"]:
        yield f"what {_objects(some_of, 'statement')} of the deploy destroyed"


def _sum(losses: Sequence[Loss], noun: str) -> str:
    if any(loss.rows is None for loss in losses):
        certain = sum(loss.rows or 0 for loss in losses if not (loss.estimated or loss.at_most))
        return f"at least {number(certain, noun)}" if certain else f"an unknown number of {noun}s"
    known = sum(loss.rows or 0 for loss in losses)
    vague = "about " if any(loss.estimated for loss in losses) else ""
    return ("up to " if any(loss.at_most for loss in losses) else vague) + number(known, noun)


def _objects(losses: Sequence[Loss], noun: str) -> str:
    return number(len({loss.object for loss in losses}), noun)


def _losses(losses: Sequence[Loss]) -> Table:
    """The lost first, and of those the largest; what cannot be counted may be larger than all."""

    def badness(loss: Loss) -> tuple[int, float]:
        return (_WORST_FIRST.index(loss.remedy), float("-inf") if loss.rows is None else -loss.rows)

    ordered = sorted(losses, key=badness)
    made = table("object", "rows", "what", "remedy", right=(1,))
    made.columns[3].no_wrap = True
    shown = ordered if len(ordered) <= SHOWN else ordered[: SHOWN - 1]
    for loss in shown:
        what = ": ".join(filter(None, (_WHAT[loss.kind], loss.detail)))
        if loss.kind == "written_since":
            what = loss.detail or what
        made.add_row(loss.object, _rows(loss), what, Text(loss.remedy, style=_STYLES.get(loss.remedy, "green")))
    if hidden := ordered[len(shown) :]:
        made.add_row(f"and {len(hidden)} more", f"{sum(loss.rows or 0 for loss in hidden):,}", "", "")
    spare_first(made)
    return made


def _rows(loss: Loss) -> str:
    if loss.rows is None:
        return "?"
    return ("≤ " if loss.at_most else "≈ " if loss.estimated else "") + f"{loss.rows:,}"


def _steps(plan: Plan) -> Table:
    made = table("", "", "")
    made.show_header = False
    if plan.archive == "full" and plan.reverses:
        made.add_row("archive", "the whole database", "")
    elif plan.to_archive:
        made.add_row("archive", some(item.object for item in plan.to_archive), "")
    for step in plan.steps:
        made.add_row(plan.route or "", some(step.migrations), "one transaction" if step.atomic else "no transaction")
    if plan.route == "restore":
        what = f"from the standby {plan.standby}" if plan.standby else "the snapshot, beside what is live"
        made.add_row("restore", what, "")
    recorded = "the migrations and the schema equal the recorded ones"
    made.add_row(
        "prove", recorded if plan.is_recorded else "the applied migrations are those with rows of before that time", ""
    )
    if plan.to_refill:
        made.add_row("refill", some(item.object for item in plan.to_refill), "one transaction")
    return made
