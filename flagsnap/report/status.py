"""Where the database is now, as text and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from flagsnap.durations import in_words
from flagsnap.migrations import Migration
from flagsnap.report.pieces import moment, number, size, some
from flagsnap.whereabouts import DEPLOY, WAIT, Distance, Holder, Stored, Whereabouts, Work, next_step

_WORKS: dict[Work, str] = {
    "run": "holds the live database's lock",
    "restore": "holds the lock for a restore",
    "unapply": "unapplies migrations",
    "drill": "drills, for which nobody need wait",
}
_SCHEMAS = {True: "as captured", False: "another one than captured", None: "not compared"}
_WIDTH = 16


def status_text(found: Whereabouts) -> Iterator[RenderableType]:
    """Where, what next, and what it rests on."""
    step = next_step(found)
    yield Text(f"{found.database}: {_where(found)}", style="bold")
    if step.do == WAIT:
        yield Text(f"next: wait; {step.why}", style="yellow")
    elif step.do == DEPLOY:
        yield Text(f"next: {step.why}", style="green")
    else:
        yield Text(f"next: {f'{step.when}, ' if step.when else ''}{step.do}", style="green")
        yield Text(f"      {step.why}")
    for problem in found.problems:
        yield Text(f"could not look at {problem}", style="red")
    yield from (_row(name, said) for name, said in _facts(found))


def status_content(found: Whereabouts) -> dict[str, Any]:
    """All of it; times in ISO 8601."""
    stored, distance, step = found.stored, found.distance, next_step(found)
    return {
        "database": {"name": found.database, "presence": found.live.presence, "applied": len(found.live.applied)},
        "next": {"do": step.do, "why": step.why, "when": step.when},
        "newest": stored.newest.model_dump(mode="json") if stored and stored.newest else None,
        "at": stored.at if stored else None,
        "before": stored.before if stored else None,
        "extra": _migrations(distance.migrations.extra) if distance else None,
        "missing": _migrations(distance.migrations.missing) if distance else None,
        "same_schema": distance.same_schema if distance else None,
        "rehearsal": stored.rehearsal if stored else None,
        "verified": _plain(asdict(stored.verified)) if stored and stored.verified else None,
        "damaged": [{"deploy_id": name, "reason": why} for name, why in stored.damaged] if stored else [],
        "owed": [{"deploy_id": name, "objects": count} for name, count in found.live.owed.items()],
        "locks": [_plain(asdict(holder)) for holder in found.live.holders],
        "asides": [_plain(asdict(aside)) for aside in found.live.asides],
        "problems": list(found.problems),
    }


def _where(found: Whereabouts) -> str:
    """The state of the database in a few words."""
    if found.live.presence != "there":
        return "it is gone" if found.live.presence == "gone" else "not seen"
    if found.distance is None:
        return number(len(found.live.applied), "applied migration")
    newest = found.stored.newest.deploy_id if found.stored and found.stored.newest else ""
    return f"{_difference(found.distance)} captured before deploy {newest}"


def _difference(distance: Distance) -> str:
    extra, missing = len(distance.migrations.extra), len(distance.migrations.missing)
    if extra and missing:
        return f"{number(extra, 'migration')} more and {missing:,} less than"
    if extra or missing:
        return f"{number(extra or missing, 'migration')} {'more' if extra else 'less'} than"
    return "the migrations, but not the schema," if distance.same_schema is False else "as"


def _facts(found: Whereabouts) -> Iterator[tuple[str, str]]:
    now, live = found.now, found.live
    if live.presence == "there":
        yield "applied", number(len(live.applied), "migration")
    if found.stored:
        yield from _of_store(found.stored, now)
    if distance := found.distance:
        if distance.migrations.extra:
            yield "extra", some(distance.migrations.extra)
        if distance.migrations.missing:
            yield "missing", some(distance.migrations.missing)
        yield "schema", _SCHEMAS[distance.same_schema]
    for deploy_id, objects in live.owed.items():
        yield "owed", f"the refill of {number(objects, 'object')} from {deploy_id}"
    for holder in live.holders:
        yield "at work", _holder(holder, now)
    for aside in live.asides:
        of_size = "" if aside.bytes is None else f", {size(aside.bytes)}"
        yield aside.kind, f"{aside.name}, {_ago(aside.made_at, now)}{of_size}"


def _of_store(stored: Stored, now: datetime) -> Iterator[tuple[str, str]]:
    if stored.newest is None:
        yield "newest capture", "none"
        return
    deploy_id, captured = stored.newest.deploy_id, stored.newest.captured_at
    yield "newest capture", f"{deploy_id}, {moment(captured)}, {_ago(captured, now)}"
    if stored.of_other:
        yield "", f"it is of {stored.of_other}"
    if stored.before:
        yield "last deploy", f"{stored.before} was captured before it"
    yield "rehearsed", stored.rehearsal or "no"
    verified = stored.verified
    yield "verified", f"{verified.deploy_id}, {verified.level}, {_ago(verified.at, now)}" if verified else "never"
    for _, reason in stored.damaged:
        yield "damaged", reason


def _holder(holder: Holder, now: datetime) -> str:
    since = f", since {in_words(now - holder.since)}" if holder.since else ""
    return f"{holder.application} {_WORKS[holder.work]} (process id {holder.pid}{since})"


def _ago(when: datetime, now: datetime) -> str:
    return f"{in_words(now - when)} ago"


def _row(name: str, said: str) -> Text:
    return Text(f"{name:{_WIDTH}} {said}")


def _migrations(migrations: tuple[Migration, ...]) -> list[dict[str, str]]:
    return [migration._asdict() for migration in migrations]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
