"""The history for people and for programs: the deploys beside the captures, newest first, and the way back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from flagsnap.history import Batch, Gone, History
from flagsnap.migrations import Migration
from flagsnap.report.pieces import number, some, spare_first, table
from flagsnap.snapshot import Summary

_APPS = 4


def history_text(history: History) -> Iterator[RenderableType]:
    """The table, what the rows do not tell, and the way back."""
    if not history.has_table:
        yield Text("the database has no table django_migrations: nothing was ever migrated")
    elif not history.batches:
        yield Text("django_migrations has no rows: nothing is applied")
    if history.shown:
        made = table("capture before it", "when (UTC)", "applied", "apps", right=(2,))
        for each in history.shown:
            made.add_row(*(_batch(each) if isinstance(each, Batch) else _unfollowed(each)))
        spare_first(made)  # it will be copied
        made.columns[1].no_wrap = True
        yield made
    if older := len(history.entries) - len(history.shown):
        yield Text(f"and {older} older")
    yield from (Text(each) for each in _gone(history.gone))
    yield from (Text(each, style="yellow") for each in _doubts(history))
    if history.source == "names" and history.batches:
        yield Text("rows of squashed migrations were told by their names; with --manage, by what they replace", "dim")
    if history.deploys:
        yield from (Text(line, style="bold") for line in _ways_back(history))


def history_content(history: History) -> dict[str, Any]:
    """As JSON."""
    batches = [each for each in history.shown if isinstance(each, Batch)]
    gone = history.gone
    return {
        "deploys": [_content(each) for each in batches if each.migrations],
        "bookkeeping_only": [_content(each) for each in batches if not each.migrations],
        "captures": [
            {"deploy_id": each.deploy_id, "captured_at": each.captured_at.isoformat()}
            for each in history.shown
            if isinstance(each, Summary)
        ],
        "older": len(history.entries) - len(history.shown),
        "bookkeeping_by": history.source,
        "gone": gone
        and {
            "deploy_id": gone.deploy_id,
            "unapplied": _pairs(gone.unapplied),
            "pruned": _pairs(gone.pruned),
            "either": _pairs(gone.either),
        },
        "set_back": history.set_back,
        "notes": list(history.notes),
        "way_back": history.way_back,
        "further": history.further[0] if history.further else None,
    }


def _batch(batch: Batch) -> tuple[str, str, str, str]:
    said = [_apps(batch.apps)] if batch.migrations else ["no deploy"]
    if batch.bookkeeping:
        said.append(number(len(batch.bookkeeping), "bookkeeping row"))
    capture = f"{'' if batch.exact else 'about '}{batch.deploy_id}" if batch.deploy_id else ""
    return (capture, _span(batch), f"{len(batch.migrations):,}", "; ".join(said))


def _span(batch: Batch) -> str:
    """From the first row to the last, in UTC."""
    first, last = (each.astimezone(UTC) for each in (batch.first, batch.last))
    begin, end = (f"{each:%Y-%m-%d %H:%M:%S}" for each in (first, last))
    if begin == end:
        return begin
    return f"{begin} .. {end[11:] if first.date() == last.date() else end}"


def _unfollowed(capture: Summary) -> tuple[str, str, str, str]:
    when = capture.captured_at.astimezone(UTC)
    return (capture.deploy_id, f"{when:%Y-%m-%d %H:%M:%S}", "", "captured; no deploy followed")


def _apps(apps: tuple[str, ...]) -> str:
    return ", ".join(apps[:_APPS]) + (f" and {len(apps) - _APPS} more" if apps[_APPS:] else "")


def _gone(gone: Gone | None) -> Iterator[str]:
    if gone is None:
        return
    kinds = {"unapplied": gone.unapplied, "pruned": gone.pruned, "unapplied or pruned": gone.either}
    for kind, migrations in kinds.items():
        if migrations:
            yield f"recorded by {gone.deploy_id} and {kind} since: {some(migrations)}"


def _doubts(history: History) -> Iterator[str]:
    if history.set_back:
        rows = number(history.set_back, "row")
        yield f"{rows} with an earlier time than the row before: a clock was set back, or rows were put back"
    if any(each.deploy_id and not each.exact for each in history.shown if isinstance(each, Batch)):
        yield "about: nearest by time, but it recorded other migrations than were applied before that deploy"
    yield from history.notes


def _ways_back(history: History) -> Iterator[str]:
    """By time only the plan: what a time parts, and what it takes back, is better looked at first."""
    if history.way_back is None:
        yield "there is nothing before the newest deploy to go back to"
    elif history.further is None and history.way_back.startswith("--to "):
        yield f"back to before the newest deploy: flagsnap rollback {history.way_back}"
    else:
        yield f"no capture lies right before the newest deploy; by its time: flagsnap plan {history.way_back}"
    if history.further:
        deploy_id, deploys = history.further
        yield f"the newest capture before a deploy goes back {deploys} of them: flagsnap rollback --to {deploy_id}"


def _content(batch: Batch) -> dict[str, Any]:
    return {
        "first": _iso(batch.first),
        "last": _iso(batch.last),
        "migrations": _pairs(batch.migrations),
        "bookkeeping": _pairs(batch.bookkeeping),
        "deploy_id": batch.deploy_id,
        "exact": batch.exact,
    }


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def _pairs(migrations: tuple[Migration, ...]) -> list[dict[str, str]]:
    return [migration._asdict() for migration in migrations]
