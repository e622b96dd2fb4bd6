"""`flagsnap capture`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.monitoring import Metrics, Ping, monitored
from flagsnap.cli.prune import (
    KeepDaily,
    KeepLast,
    KeepMonthly,
    KeepRetired,
    KeepWeekly,
    KeepWithin,
    request_of,
    take_policy,
)
from flagsnap.cli.run import Run
from flagsnap.errors import FlagsnapError, UsageError

if TYPE_CHECKING:
    from flagsnap.pruning.prune import PruneRequest
    from flagsnap.retention import Pruned


class IfExists(StrEnum):
    """What to do when the deploy id has a snapshot already."""

    KEEP = "keep"
    FAIL = "fail"


def capture(
    run: Run,
    deploy_id: Annotated[str | None, typer.Option(help="The deploy's name; made from the time without it.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, kept with the snapshot.")] = None,
    if_exists: Annotated[
        IfExists, typer.Option(help="Succeed if nothing has changed since, or refuse.")
    ] = IfExists.KEEP,
    prune: Annotated[bool, typer.Option("--prune", help="Prune afterwards, confirmed; it needs a policy.")] = False,
    keep_last: KeepLast = None,
    keep_within: KeepWithin = None,
    keep_daily: KeepDaily = None,
    keep_weekly: KeepWeekly = None,
    keep_monthly: KeepMonthly = None,
    keep_retired: KeepRetired = None,
    ping: Ping = None,
    metrics: Metrics = None,
) -> None:
    """Record the migrations and the schema, and dump the database: before each deploy."""
    from flagsnap.recording.capture import CaptureRequest
    from flagsnap.recording.capture import capture as use_case
    from flagsnap.retention import CapturedAndPruned

    given = take_policy(run, keep_last, keep_within, keep_daily, keep_weekly, keep_monthly, keep_retired)
    if given and not prune:
        raise UsageError(f"{given[0]} is for pruning", "add --prune, or leave it out")
    with monitored(run, ping, metrics):
        to_prune = request_of(run, confirm=True) if prune else None
        request = CaptureRequest(
            address=run.address,
            deploy_id=deploy_id,
            labels=dict(_label(text) for text in label or ()),
            jobs=run.settings.workers,
            if_exists=if_exists.value,
            pg_bin=run.settings.pg_bin,
            lock_timeout=run.settings.lock_timeout,
        )
        captured = use_case(request, run.snapshots, run.progress)
        run.show(CapturedAndPruned(captured, _pruned(run, to_prune)) if to_prune else captured)


def _pruned(run: Run, request: "PruneRequest") -> "Pruned | None":
    """Prune after the capture; whatever goes wrong is a warning, since the snapshot is there and the deploy may go on.

    The capture's lock has been given up by now: if another run has it meanwhile, nothing is pruned.
    """
    from flagsnap.pruning.prune import prune as use_case

    try:
        result = use_case(request, run.progress)
    except FlagsnapError as error:
        run.progress.warn(f"the snapshot was captured, but nothing was pruned: {error}")
        return None
    for name, why in result.failed.items():
        run.progress.warn(f"{name} was not pruned: {why}")
    return result


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"{text!r} is not a label", "write it as KEY=VALUE")
    return key, value
