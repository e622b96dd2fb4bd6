"""`flagsnap rollback`."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.run import YES, Run
from flagsnap.cli.target import (
    AppliedBefore,
    Archive,
    ArchiveOption,
    InPlace,
    Moved,
    NoRefill,
    OnLossOption,
    Strategy,
    StrategyOption,
    To,
    ToRunning,
    build_request,
)
from flagsnap.errors import Interrupted

if TYPE_CHECKING:
    from flagsnap.plan import Plan
    from flagsnap.rollback.run import Rollback


def rollback(
    run: Run,
    to: To = None,
    to_running: ToRunning = None,
    applied_before: AppliedBefore = None,
    strategy: StrategyOption = Strategy.AUTO,
    on_loss: OnLossOption = None,
    archive: ArchiveOption = Archive.AFFECTED,
    no_refill: NoRefill = False,
    tidy: Annotated[
        bool, typer.Option("--tidy", help="Remove rows of the deploy that its migrations' reverse leaves.")
    ] = False,
    in_place: InPlace = False,
    moved: Moved = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before going ahead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
) -> None:
    """Take the database back to a recorded state, and prove that it is there.

    --to ID is the state just BEFORE deploy ID migrated; --to-running ID is the state that deploy ID ran with;
    --applied-before TIME takes back every migration that was applied at TIME or after it.
    """
    from flagsnap.results import PlanShown
    from flagsnap.rollback.run import opened

    request = build_request(
        run,
        to=to,
        to_running=to_running,
        applied_before=applied_before,
        strategy=strategy,
        on_loss=on_loss,
        archive=archive,
        no_refill=no_refill,
        tidy=tidy,
        in_place=in_place,
        moved=moved,
        ask=not yes,
    )
    with opened(request, run.progress) as opened_rollback:
        plan = opened_rollback.plan()
        if dry_run:
            run.show(PlanShown(plan))
            return
        if run.interactive and not yes and plan.route:
            plan = _agreed(run, opened_rollback, plan)
        run.show(opened_rollback.execute(plan))


def _agreed(run: Run, rollback: "Rollback", plan: "Plan") -> "Plan":
    """Show the plan and ask; Interrupted if the answer is no."""
    from flagsnap.report.console import errors
    from flagsnap.report.text import print_result
    from flagsnap.results import PlanShown

    print_result(errors(), PlanShown(plan))
    if plan.needs_consent and rollback.request.on_loss == "ask":
        answer = run.ask(f"{_prices(plan)}\n{_choices(plan)}? [no]")
        if answer == "accept":
            return plan
        if answer == "restore" and plan.route != "restore":
            return rollback.plan(strategy="restore", on_loss="restore")
        raise Interrupted("not agreed; nothing was done")
    if run.ask("go ahead? [y/N]") not in YES:
        raise Interrupted("not agreed; nothing was done")
    return plan


def _prices(plan: "Plan") -> str:
    """What each open route costs, the chosen one first."""
    from flagsnap.report.plan import open_routes, price

    return "\n".join(f"{route}: {price(plan, route, ('lost', 'kept'))}" for route in open_routes(plan))


def _choices(plan: "Plan") -> str:
    restore_is_open = not any(each.route == "restore" for each in plan.closed)
    return "accept, restore or no" if plan.route != "restore" and restore_is_open else "accept or no"
