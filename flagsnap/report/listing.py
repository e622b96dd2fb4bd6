"""`list`, `show`, `pin` and `unpin`: the snapshots, and what has been said of each since it was captured."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from flagsnap.attached.pin import Pin
from flagsnap.attached.verification import Rung, Verification
from flagsnap.durations import in_words
from flagsnap.migrations import Migration
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.report.pieces import SHOWN, moment, number, size, some, table
from flagsnap.results import Listing, PinChanged, SnapshotShown, Standing
from flagsnap.snapshot import Archive, Manifest, Summary
from flagsnap.verification import LEVELS, Level

_MANIFEST: Level = "manifest"
_HEADERS = ("deploy id", "captured (UTC)", "size", "migrations", "verified")
_LONGEST_NAME = 24


def listing_text(listing: Listing) -> Iterator[RenderableType]:
    """A line for each snapshot, with its labels on the next one, then what cannot be read."""
    if not listing.summaries and not listing.damaged:
        yield Text("no snapshots")
    if listing.summaries:
        yield from _lines(listing)
    yield from (Text(f"damaged: {reason}", style="red") for _, reason in listing.damaged)


def shown_text(shown: SnapshotShown) -> Iterator[RenderableType]:
    """A table of names and values."""
    made = table("", "")
    made.show_header = False
    rows = {
        **_manifest_rows(shown.manifest),
        "rehearsed": _rehearsed(shown.rehearsal) if shown.rehearsal else "",
        "pinned": _pinned(shown.pin) if shown.pin else "",
    }
    for name, value in rows.items():
        if value:
            made.add_row(name, value)
    for number_, line in enumerate(_verified(shown.verification, shown.shown_at)):
        made.add_row("" if number_ else "verified", line)
    yield made


def pin_text(changed: PinChanged) -> str:
    """One line."""
    if changed.pin is None:
        return f"unpinned {changed.deploy_id}: a prune may remove it"
    because = f" ({changed.pin.reason})" if changed.pin.reason else ""
    return f"pinned {changed.deploy_id}{because}: no prune removes it until `flagsnap unpin {changed.deploy_id}`"


def verified_in_short(rungs: Mapping[Level, Rung], now: datetime) -> str:
    """The result that counts: one that failed, else the deepest level that is whole, else a part; empty if none."""
    deepest_first = [(level, rungs[level]) for level in reversed(LEVELS) if level in rungs]
    failed = [each for each in deepest_first if not each[1].ok]
    whole = [each for each in deepest_first if each[1].is_whole and each[0] != _MANIFEST]
    counts = next(iter([*failed, *whole, *deepest_first]), None)
    return _in_short(*counts, now) if counts else ""


def listing_content(listing: Listing) -> dict[str, Any]:
    """The keys of `list`."""
    return {
        "snapshots": [
            {
                **summary.model_dump(mode="json"),
                "pinned": (standing := listing.standing(summary.deploy_id)).pinned,
                "verified": {level: _rung_content(rung) for level, rung in _in_order(standing.rungs)},
            }
            for summary in listing.summaries
        ],
        "damaged": [{"deploy_id": deploy_id, "reason": reason} for deploy_id, reason in listing.damaged],
    }


def shown_content(shown: SnapshotShown) -> dict[str, Any]:
    """The keys of `show`."""
    verification, pin = shown.verification, shown.pin
    return {
        "manifest": shown.manifest.model_dump(mode="json"),
        "rehearsal": _rehearsal_content(shown.rehearsal) if shown.rehearsal else None,
        "verification": {
            level: {**_rung_content(rung), "details": list(rung.details)}
            for level, rung in _in_order(verification.rungs)
        }
        if verification
        else None,
        "pin": {"pinned_at": pin.pinned_at.isoformat(), "reason": pin.reason} if pin else None,
    }


def pin_content(changed: PinChanged) -> dict[str, Any]:
    """The keys of `pin` and `unpin`."""
    pin = changed.pin
    return {
        "deploy_id": changed.deploy_id,
        "pinned": pin is not None,
        "pinned_at": pin.pinned_at.isoformat() if pin else None,
        "reason": pin.reason if pin else None,
    }


def _lines(listing: Listing) -> Iterator[Text]:
    """Columns that fit 80 characters with deploy ids of a usual length; a longer one stands on a line of its own."""
    names = max(len(_HEADERS[0]), *(len(each.deploy_id) for each in listing.summaries if _is_usual(each)), 0)
    yield Text(_line(names, *_HEADERS), style="dim")
    for each in listing.summaries:
        standing, name = listing.standing(each.deploy_id), each.deploy_id
        if not _is_usual(each):
            yield Text(name)
            name = ""
        captured = each.captured_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        verified = verified_in_short(standing.rungs, listing.listed_at) or "never"
        yield Text(_line(names, name, captured, size(each.bytes), f"{each.migrations}", verified))
        if said := _said(each, standing):
            yield Text(f"{_line(names, '')}  {said}")


def _line(names: int, name: str, captured: str = "", bytes_: str = "", migrations: str = "", verified: str = "") -> str:
    line = f"{name:{names}}  {captured:16}  {bytes_:>8}  {migrations:>10}  {verified}"
    return line.rstrip() or " " * names


def _is_usual(summary: Summary) -> bool:
    return len(summary.deploy_id) <= _LONGEST_NAME


def _said(summary: Summary, standing: Standing) -> str:
    labels = [f"{name}={value}" for name, value in summary.labels.items()]
    archive = [f"archive of {summary.archive_of}"] if summary.archive_of else []
    return " ".join([*["pinned"] * standing.pinned, *archive, *labels])


def _in_short(level: Level, rung: Rung, now: datetime) -> str:
    """`drill 3 d ago`, `files FAILED 2 h ago`, `files 5 % 2 h ago`."""
    if not rung.ok:
        return f"{level} FAILED {_ago(rung.checked_at, now)}"
    if rung.verified_at:
        return f"{level} {_ago(rung.verified_at, now)}"
    return f"{level} {int(100 * rung.share) or '<1'} % {_ago(rung.checked_at, now)}"


def _verified(verification: Verification | None, now: datetime) -> Iterator[str]:
    """A line for each level, the deepest first, and what was found by one that failed."""
    for level, rung in reversed(_in_order(verification.rungs if verification else {})):
        yield f"{_in_short(level, rung, now)}, in {rung.seconds:.1f} s"
        yield from (f"  {detail}" for detail in rung.details[:SHOWN])
        if more := len(rung.details[SHOWN:]):
            yield f"  and {more} more"


def _ago(when: datetime, now: datetime) -> str:
    return f"{in_words(now - when)} ago"


def _in_order(rungs: Mapping[Level, Rung]) -> list[tuple[Level, Rung]]:
    return [(level, rungs[level]) for level in LEVELS if level in rungs]


def _manifest_rows(manifest: Manifest) -> Mapping[str, str]:
    recorded = manifest.database
    dump = recorded.dump
    return {
        "deploy id": manifest.deploy_id,
        "archive of": _archived(manifest.archive) if manifest.archive else "",
        "captured": moment(manifest.captured_at),
        "labels": " ".join(f"{name}={value}" for name, value in manifest.labels.items()),
        "database": f"{recorded.name}, {size(recorded.bytes)}, PostgreSQL {recorded.server_major}",
        "migrations": f"{len(recorded.migrations)}, the last {_last(recorded.applied_set)}",
        "tables": f"{len(recorded.tables)} with {sum(each.rows for each in recorded.tables):,} rows",
        "fingerprint": recorded.fingerprint,
        "dump": f"{size(dump.bytes)} in {len(dump.files)} files, {dump.compression}, {dump.seconds:.1f} s",
        "pg_dump": dump.tool_version,
        "restore point": recorded.restore_point or "",
        "WAL position": recorded.wal_position or "",
    }


def _rehearsed(rehearsal: Rehearsal) -> str:
    said: str = rehearsal.verdict
    if rehearsal.residue:
        rows, tables = sum(each.rows for each in rehearsal.residue), number(len(rehearsal.residue), "table")
        said += f": {number(rows, 'row')} of {tables}"
    elif rehearsal.reason:
        said += f": {rehearsal.reason}"
    parts = [said, "without rows" if rehearsal.schema_only else "", moment(rehearsal.rehearsed_at)]
    if (seconds := rehearsal.replay_seconds) is not None:
        parts.append(f"back in {seconds:.1f} s by replay")
    elif (seconds := rehearsal.back_seconds) is not None:
        parts.append(f"back in {seconds:.1f} s")
    parts.append("the deploy after it fails" if rehearsal.again else "")
    return ", ".join(filter(None, parts))


def _rehearsal_content(rehearsal: Rehearsal) -> dict[str, Any]:
    """The rehearsal in short; all of it is the file beside the manifest."""
    return {
        "verdict": rehearsal.verdict,
        "reason": rehearsal.reason,
        "rehearsed_at": rehearsal.rehearsed_at.isoformat(),
        "schema_only": rehearsal.schema_only,
        "residue": [{"table": each.table, "rows": each.rows} for each in rehearsal.residue],
        "again": rehearsal.again,
        "back_seconds": rehearsal.back_seconds,
        "replay_seconds": rehearsal.replay_seconds,
    }


def _rung_content(rung: Rung) -> dict[str, Any]:
    """`verified_at` is the time by which all of it had been looked at and found well, None if there is none."""
    return {
        "checked_at": rung.checked_at.isoformat(),
        "ok": rung.ok,
        "seconds": rung.seconds,
        "share": rung.share,
        "verified_at": rung.verified_at.isoformat() if rung.verified_at else None,
    }


def _pinned(pin: Pin) -> str:
    return ", ".join(filter(None, (moment(pin.pinned_at), pin.reason)))


def _archived(archive: Archive) -> str:
    what = "the whole database" if archive.whole else some(item.object for item in archive.items)
    return f"{archive.rollback_to}: {what}"


def _last(applied: tuple[Migration, ...]) -> str:
    return str(applied[-1]) if applied else "none"
