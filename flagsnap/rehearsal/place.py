"""Where in a script a live database is: before its first segment, or behind any of them after an interrupted run."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from flagsnap.catalog import Catalog, Identity, differences
from flagsnap.loss.statements import classify
from flagsnap.migrations import Migration, difference
from flagsnap.rehearsal.script import Script, ScriptSegment
from flagsnap.rehearsal.values import Rehearsal

_SHOWN = 3
_VACUUM = re.compile(r"\s*VACUUM\b", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """The segment to go on with.

    Attributes:
        to_drop: indexes that PostgreSQL left invalid when a statement of the script was interrupted (CREATE INDEX,
            "Building Indexes Concurrently"); they go first.
    """

    segment: int
    to_drop: tuple[Identity, ...] = ()


def find_place(rehearsal: Rehearsal, recorded: Catalog, applied: Collection[Migration], live: Catalog) -> Place | str:
    """The place of a live database; why there is none, in words, if it is not one that was rehearsed."""
    script = rehearsal.script
    if script is None or rehearsal.obstacles:
        return "; ".join(rehearsal.obstacles)
    broken = _invalid(live) - _invalid(recorded)
    strange = [each for each in sorted(broken) if not _is_of(script, each)]
    if strange:
        return f"the live {strange[0]} is not valid, which was not rehearsed"
    fingerprint = live.restorable().fingerprint
    here = [number for number, left in enumerate(_left_applied(rehearsal, script)) if left == set(applied)]
    known = [rehearsal.migrated_catalog.fingerprint, *(segment.fingerprint for segment in script.segments)]
    places = [number for number in here if known[number] == fingerprint]
    if not places:
        return _why_not(rehearsal, applied, live, here)
    if again := _done_again(script.segments[places[0] : places[-1]]):
        return f"{again}: whether an interrupted run has changed its rows already cannot be told from the schema"
    return Place(places[0], tuple(sorted(broken)))


def _done_again(segments: Sequence[ScriptSegment]) -> str:
    """A migration whose rows these segments change, which must not be done twice; empty if there is none."""
    for part in (part for segment in segments for part in segment.parts):
        verbs = {each.verb for statement in part.statements for each in classify(statement)}
        if not _VACUUM.match(" ".join(part.statements)) and verbs - {"schema", "harmless"}:
            return str(part.migration)
    return ""


def _left_applied(rehearsal: Rehearsal, script: Script) -> Iterator[set[Migration]]:
    """What is applied before the first segment, and behind each."""
    left = set(rehearsal.applied)
    yield set(left)
    for segment in script.segments:
        left -= segment.rows
        yield set(left)


def _why_not(rehearsal: Rehearsal, applied: Collection[Migration], live: Catalog, here: list[int]) -> str:
    if not here:
        found = difference(rehearsal.applied, tuple(applied))
        some = ", ".join(map(str, (*found.extra, *found.missing)[:_SHOWN]))
        return f"the applied migrations are not the rehearsed ones: {some}"
    if 0 not in here:
        return "the schema is not the one that the rehearsal had at this point"
    found_differences = differences(rehearsal.migrated_catalog, live.restorable())
    more = len(found_differences) - _SHOWN
    named = "; ".join(map(str, found_differences[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
    return f"the schema is not the rehearsed one: {named}"


def _invalid(catalog: Catalog) -> set[Identity]:
    return {
        each.identity for each in catalog.objects if each.identity.kind == "index" and each.attributes.get("invalid")
    }


def _is_of(script: Script, index: Identity) -> bool:
    alone = (part for segment in script.segments if not segment.atomic for part in segment.parts)
    name = re.compile(rf"(?<![\w$]){re.escape(index.name)}(?![\w$])")
    return any(name.search(statement) for part in alone for statement in part.statements)
