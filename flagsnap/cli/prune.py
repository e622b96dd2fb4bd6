"""`flagsnap prune`, and what `flagsnap capture --prune` has of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagsnap.cli.monitoring import Metrics, Ping, monitored
from flagsnap.cli.run import Run
from flagsnap.errors import UsageError

if TYPE_CHECKING:
    from flagsnap.pruning.prune import PruneRequest

_PANEL = "What to keep"


def _keep(name: str, metavar: str, help_: str) -> Any:
    variable = "FLAGSNAP" + name.removeprefix("-").replace("-", "_").upper()
    help_ = f"{help_} [{variable}]"
    return typer.Option(name, metavar=metavar, help=help_, rich_help_panel=_PANEL, show_default=False)


KeepLast = Annotated[int | None, _keep("--keep-last", "N", "The last N captures.")]
KeepWithin = Annotated[str | None, _keep("--keep-within", "DUR", "Captures that are younger: 26h, 30d, 2w.")]
KeepDaily = Annotated[int | None, _keep("--keep-daily", "N", "The newest capture of each of the last N days.")]
KeepWeekly = Annotated[int | None, _keep("--keep-weekly", "N", "The newest of each of the last N weeks.")]
KeepMonthly = Annotated[int | None, _keep("--keep-monthly", "N", "The newest of each of the last N months.")]
KeepRetired = Annotated[
    str | None,
    _keep("--keep-retired", "DUR", "How long what a restore has replaced is kept, and archives at least; 14d."),
]


def prune(
    run: Run,
    keep_last: KeepLast = None,
    keep_within: KeepWithin = None,
    keep_daily: KeepDaily = None,
    keep_weekly: KeepWeekly = None,
    keep_monthly: KeepMonthly = None,
    keep_retired: KeepRetired = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Remove it; without this nothing is removed.")] = False,
    no_database: Annotated[bool, typer.Option("--no-database", help="Look at no database, only at the store.")] = False,
    ping: Ping = None,
    metrics: Metrics = None,
) -> None:
    """Remove snapshots that no rule keeps, old retired databases, and what dead runs left.

    Never removed: pinned snapshots, the newest, the newest that verified, the newest of the live state, the one behind
    the last deploy, those from which a refill is owed, and what cannot be read or failed its checks.
    """
    take_policy(run, keep_last, keep_within, keep_daily, keep_weekly, keep_monthly, keep_retired)
    with monitored(run, ping, metrics):
        from flagsnap.pruning.prune import prune as use_case

        if confirm and not no_database:
            _require_database(run)
        result = use_case(request_of(run, confirm=confirm, no_database=no_database), run.progress)
        run.show(result, ok=not result.failed)
        if result.failed:
            raise typer.Exit(1)


def _require_database(run: Run) -> None:
    """UsageError without a database URL: nobody would know from which snapshot a refill is owed."""
    try:
        run.settings.need_database()
    except UsageError as error:
        hint = f"{error.hint}; --no-database prunes the store without asking the database what it needs"
        raise UsageError(str(error), hint) from error


def take_policy(
    run: Run,
    keep_last: int | None,
    keep_within: str | None,
    keep_daily: int | None,
    keep_weekly: int | None,
    keep_monthly: int | None,
    keep_retired: str | None,
) -> Sequence[str]:
    """Put the options among the settings; gives back the names of those that were given."""
    options = {
        "keep_last": keep_last,
        "keep_within": keep_within,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_retired": keep_retired,
    }
    run.set(options)
    return [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]


def request_of(run: Run, *, confirm: bool, no_database: bool = False) -> "PruneRequest":
    """What to keep, as the settings say; UsageError if they have no policy."""
    from flagsnap.pruning.prune import PruneRequest
    from flagsnap.retention import Policy, require_policy

    settings = run.settings
    policy = Policy(
        settings.keep_last,
        settings.keep_within,
        settings.keep_daily,
        settings.keep_weekly,
        settings.keep_monthly,
    )
    return PruneRequest(
        address=run.address if settings.database_url and not no_database else None,
        snapshots=run.snapshots,
        policy=require_policy(policy),
        keep_retired=settings.keep_retired,
        lock_timeout=settings.lock_timeout,
        confirm=confirm,
    )
