"""Refills after the fact: what a rollback still owes, and what an archive has, once the newer version is back."""

import time
from collections.abc import Iterator, Sequence

from flagsnap.catalog import Catalog
from flagsnap.errors import UsageError
from flagsnap.loss.values import RefillItem
from flagsnap.postgres.owed import read_owed
from flagsnap.progress import Progress
from flagsnap.refilling.refill import refill
from flagsnap.results import RefillResult
from flagsnap.rollback.run import opened
from flagsnap.rollback.situation import Live, RollbackRequest

_NAMED = 5


def refill_owed(request: RollbackRequest, progress: Progress) -> RefillResult:
    """Finish what the rollback to a snapshot owes. Locked, UsageError; what fails leaves it owed."""
    with opened(request, progress) as rollback:
        live = _live(request, rollback.situation.live)
        items = read_owed(live.worker).get(request.manifest.deploy_id, ())
        if not items:
            progress.note(f"nothing to refill: no rollback to {request.manifest.deploy_id} has left anything")
        return _refill(request, items, progress, settles=request.manifest.deploy_id)


def refill_from_archive(request: RollbackRequest, progress: Progress) -> RefillResult:
    """Bring back what an archive has. Locked; UsageError if it is none, or if its tables and columns are not there."""
    archive = request.manifest.archive
    if archive is None:
        raise UsageError(
            f"snapshot {request.manifest.deploy_id} is no archive",
            "`flagsnap list` shows which are; --to ID finishes the refill of a rollback",
        )
    with opened(request, progress) as rollback:
        missing = list(_missing(_live(request, rollback.situation.live).state.catalog, archive.items))
        if missing:
            more = f", and {len(missing) - _NAMED} more" if missing[_NAMED:] else ""
            raise UsageError(
                f"there is no {', no '.join(missing[:_NAMED])}{more}",
                "what was archived is part of the newer version: deploy that again first",
            )
        return _refill(request, archive.items, progress, settles=None)


def _refill(
    request: RollbackRequest, items: Sequence[RefillItem], progress: Progress, *, settles: str | None
) -> RefillResult:
    began = time.monotonic()
    refilled = refill(request.source, items, request.address, request.lock_timeout, progress, settles) if items else ()
    return RefillResult(request.manifest.deploy_id, refilled, round(time.monotonic() - began, 3))


def _live(request: RollbackRequest, live: Live | None) -> Live:
    if live is None:
        raise UsageError(
            f"the database {request.address.database} does not exist, so nothing can be refilled",
            "`flagsnap rollback --strategy restore` makes it from a snapshot",
        )
    return live


def _missing(live: Catalog, items: Sequence[RefillItem]) -> Iterator[str]:
    """The tables and columns of the items that are not there, each once."""
    for item in dict.fromkeys(items):
        columns = live.columns(*item.table_key)
        if not columns:
            yield f"table {item.schema}.{item.table}"
        else:
            yield from (
                f"column {item.schema}.{item.table}.{name}"
                for name in (*item.columns, *item.key)
                if name not in columns
            )
