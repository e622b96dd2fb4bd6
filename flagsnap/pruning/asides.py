"""Which databases and schemas beside the live ones are kept, which go, and why."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from flagsnap.durations import in_words
from flagsnap.retention import Aside, Division, Verdict
from flagsnap.snapshot import Summary


def decide_asides(
    asides: Iterable[Aside], keep_retired: timedelta, now: datetime, newest: Summary | None, *, damaged: bool = False
) -> Division:
    """Divide what is beside the live database.

    Args:
        asides: all that is there.
        keep_retired: how long what a restore has replaced is kept.
        now: as of when.
        newest: the newest capture that can be read; without one all is kept, since it may be all that is left.
        damaged: whether there is a snapshot that cannot be read or relied on, in whose place a standby is kept.
    """
    keep: list[Verdict] = []
    remove: list[Verdict] = []
    for each in sorted(asides, key=lambda aside: (aside.made_at, aside.name), reverse=True):
        goes, why = _aside(each, keep_retired, now, newest, damaged) if newest else (False, "no capture can be read")
        (remove if goes else keep).append(Verdict(each.name, each.kind, why, each.made_at, each.bytes))
    return Division(tuple(keep), tuple(remove))


def _aside(each: Aside, keep_retired: timedelta, now: datetime, newest: Summary, damaged: bool) -> tuple[bool, str]:
    match each.kind:
        case "retired" | "retired schemas":
            age = now - each.made_at
            return age > keep_retired, f"retired {in_words(age)} ago, kept for {in_words(keep_retired)}"
        case "standby":
            return _standby(each, newest, damaged)
        case "rehearsed":
            return False, "a rehearsal was told to keep it; drop it by hand"
        case _ if each.in_use:
            return False, "another run is at work on it"
        case _:
            return True, "left by an interrupted run"


def _standby(each: Aside, newest: Summary, damaged: bool) -> tuple[bool, str]:
    """A standby may be the only copy of its snapshot that is left."""
    if newest.captured_at == each.made_at:
        return False, f"the standby of {newest.deploy_id}, the newest"
    if newest.captured_at < each.made_at:
        return False, "no newer capture can be read"
    return (False, "a snapshot is damaged") if damaged else (True, "its snapshot is not the newest")
