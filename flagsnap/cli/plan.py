"""`flagsnap plan`."""

from flagsnap.cli.run import Run
from flagsnap.cli.target import (
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


def plan(
    run: Run,
    to: To = None,
    to_running: ToRunning = None,
    strategy: StrategyOption = Strategy.AUTO,
    on_loss: OnLossOption = None,
    archive: ArchiveOption = Archive.AFFECTED,
    no_refill: NoRefill = False,
    in_place: InPlace = False,
    moved: Moved = False,
) -> None:
    """Show what a rollback would do, and what it would cost. Changes nothing."""
    from flagsnap.results import PlanShown
    from flagsnap.rollback.run import opened

    request = build_request(
        run,
        to=to,
        to_running=to_running,
        strategy=strategy,
        on_loss=on_loss,
        archive=archive,
        no_refill=no_refill,
        in_place=in_place,
        moved=moved,
    )
    with opened(request, run.progress) as rollback:
        run.show(PlanShown(rollback.plan()))
