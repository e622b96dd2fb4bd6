"""A prune for people and for programs: what is kept, what goes, why, and how much that frees."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from flagsnap.durations import in_words
from flagsnap.report.pieces import aligned, number, size, spare_first, table
from flagsnap.retention import Division, Pruned, Verdict

_KEEP, _REMOVE = "keep", "remove"


def prune_text(result: Pruned) -> Iterator[RenderableType]:
    """The snapshots, then what is beside the live database, then the sum of it."""
    if rows := _rows(result.snapshots, result):
        made = table("deploy id", "age", "size", "", "reason", right=(1, 2))
        for row in rows:
            made.add_row(*row, style="red" if row[3] == _REMOVE else "")
        spare_first(made)  # it will be copied
        yield made
    if rows := _rows(result.databases, result):
        yield Text("beside the live database:")
        yield from aligned(rows, right=(1, 2))
    yield from (Text(limit, style="yellow") for limit in result.plan.limits)
    for name, why in result.failed.items():
        yield Text(f"not removed: {name}: {why}", style="red")
    yield prune_sum(result)


def prune_sum(result: Pruned) -> Text:
    """How much goes, in a line: all that a capture says of its prune, beside what was noted and warned of."""
    snapshots, databases = (
        [each for each in division.remove if each.name not in result.failed]
        for division in (result.snapshots, result.databases)
    )
    parts = [
        number(len(found), noun)
        for found, noun in ((snapshots, "snapshot"), (databases, "database or retired schema"))
        if found
    ]
    if not parts:
        return Text("nothing was removed" if result.failed else "there is nothing to remove", style="bold")
    what = f"{' and '.join(parts)}, {size(result.freed)}"
    said = f"removed {what}" if result.confirmed else f"would remove {what}: nothing was removed; --confirm does it"
    return Text(said, style="bold")


def prune_content(result: Pruned) -> dict[str, Any]:
    """As JSON."""
    return {
        **_content(result.snapshots, "deploy_id", "captured_at"),
        "databases": _content(result.databases, "name", "made_at"),
        "confirmed": result.confirmed,
        "freed": result.freed,
        "failed": [{"name": name, "reason": why} for name, why in result.failed.items()],
        "limits": list(result.plan.limits),
    }


def _rows(division: Division, result: Pruned) -> list[tuple[str, str, str, str, str]]:
    """Name, age, size, what becomes of it and why: newest first, what goes among what is kept."""
    verdicts = [*((each, _KEEP) for each in division.keep), *((each, _REMOVE) for each in division.remove)]
    verdicts.sort(key=lambda each: each[0].at or datetime.min.replace(tzinfo=UTC), reverse=True)
    return [
        (
            each.name,
            _age(each, result.plan.now),
            "" if each.bytes is None else size(each.bytes),
            what,
            _why(each),
        )
        for each, what in verdicts
    ]


def _why(verdict: Verdict) -> str:
    """The reason, behind what it is if that is no capture and the reason does not begin with it."""
    is_said = verdict.kind in {"capture", "damaged"} or verdict.reason.removeprefix("an ").startswith(verdict.kind)
    return verdict.reason if is_said else f"{verdict.kind}: {verdict.reason}"


def _age(verdict: Verdict, now: datetime) -> str:
    return "" if verdict.at is None else in_words(now - verdict.at)


def _content(division: Division, name: str, time: str) -> dict[str, Any]:
    return {
        kind: [
            {
                name: each.name,
                "kind": each.kind,
                "reason": each.reason,
                time: each.at.isoformat() if each.at else None,
                "bytes": each.bytes,
            }
            for each in verdicts
        ]
        for kind, verdicts in (("keep", division.keep), ("remove", division.remove))
    }
