"""Where in a script a live database is."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flagsnap.catalog import Catalog, CatalogObject, Identity
from flagsnap.migrations import Migration
from flagsnap.rehearsal.place import Place, find_place
from flagsnap.rehearsal.recording import Session
from flagsnap.rehearsal.script import Part, Script, ScriptSegment
from flagsnap.rehearsal.values import Rehearsal

ZERO, ONE, TWO, THREE = (Migration("flags", name) for name in ("0000", "0001", "0002", "0003"))
ALL = {ZERO, ONE, TWO, THREE}
INDEX = Identity("index", "public", "flags_flag", "by_name")
CREATE, DROP = "CREATE INDEX CONCURRENTLY by_name ON flags_flag (name)", 'DROP INDEX CONCURRENTLY IF EXISTS "by_name"'


def catalog(*columns: str, **indexes: bool) -> Catalog:
    """A table's columns and its indexes, each valid or not."""
    return Catalog(
        (
            *(CatalogObject(Identity("column", "public", "flags_flag", name), {}) for name in columns),
            *(
                CatalogObject(INDEX._replace(name=name), {} if valid else {"invalid": True})
                for name, valid in indexes.items()
            ),
        )
    )


MIGRATED = catalog("a", "b", "c", by_name=True)
BEHIND = (catalog("a", "b", by_name=True), catalog("a", "b"), catalog("a"))
RECORDED = BEHIND[-1]


def rehearsal(*segments: ScriptSegment, obstacles: tuple[str, ...] = (), migrated: Catalog = MIGRATED) -> Rehearsal:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return Rehearsal(
        deploy_id="v2",
        captured_at=now,
        rehearsed_at=now,
        flagsnap_version="1",
        schema_only=False,
        tidy=False,
        verdict="exact",
        migrated=migrated.to_json(),
        applied=(ZERO, ONE, TWO, THREE),
        script=Script(Session("app", {}), segments, obstacles),
    )


def segment(behind: Catalog, *parts: Part, atomic: bool = True) -> ScriptSegment:
    return ScriptSegment(atomic, parts, behind.fingerprint)


SEGMENTS = (
    segment(BEHIND[0], Part(THREE, ("ALTER TABLE flags_flag DROP COLUMN c",), (THREE,))),
    segment(BEHIND[1], Part(TWO, (DROP,)), atomic=False),
    segment(BEHIND[2], Part(TWO, (), (TWO,)), Part(ONE, ("ALTER TABLE flags_flag DROP COLUMN b",), (ONE,))),
)
REHEARSAL = rehearsal(*SEGMENTS)


@pytest.mark.parametrize(
    ("applied", "live", "place"),
    [
        (ALL, MIGRATED, Place(0)),
        (ALL - {THREE}, BEHIND[0], Place(1)),
        (ALL - {THREE}, BEHIND[1], Place(2)),
        ({ZERO}, BEHIND[2], Place(3)),
        # DROP INDEX CONCURRENTLY first makes the index invalid; interrupted, it leaves it so
        (ALL - {THREE}, catalog("a", "b", by_name=False), Place(2, (INDEX,))),
    ],
)
def test_before_the_first_segment_or_behind_any(applied: set[Migration], live: Catalog, place: Place) -> None:
    assert find_place(REHEARSAL, RECORDED, applied, live) == place


def test_an_index_that_was_not_built_to_its_end() -> None:
    """It goes, and is built again."""
    segments = (segment(catalog("a", by_name=True), Part(ONE, (CREATE,)), atomic=False),)
    building = rehearsal(*segments, segment(catalog("a", by_name=True), Part(ONE, (), (ONE,))), migrated=catalog("a"))
    assert find_place(building, catalog("a"), ALL, catalog("a", by_name=False)) == Place(0, (INDEX,))


def test_an_index_that_was_not_valid_when_it_was_recorded_is_left() -> None:
    live = catalog("a", "b", "c", by_name=True, other=False)
    assert find_place(REHEARSAL, catalog("a", other=False), ALL, live) == Place(0)


@pytest.mark.parametrize("name", ["other", "by_name_too", "by", "name"])
def test_an_index_of_somebody_else_that_is_not_valid(name: str) -> None:
    why = find_place(REHEARSAL, RECORDED, ALL, catalog("a", "b", "c", by_name=True, **{name: False}))
    assert why == f"the live index public.flags_flag.{name} is not valid, which was not rehearsed"


@pytest.mark.parametrize(
    ("applied", "live", "why"),
    [
        (
            ALL | {Migration("flags", "0004")},
            MIGRATED,
            "the applied migrations are not the rehearsed ones: flags.0004",
        ),
        (ALL - {ONE}, MIGRATED, "the applied migrations are not the rehearsed ones: flags.0001"),
        (
            ALL,
            catalog("a", "b", "d", by_name=True, more=True),
            (
                "the schema is not the rehearsed one: column public.flags_flag.c is not there;"
                " column public.flags_flag.d was not recorded; index public.flags_flag.more was not recorded"
            ),
        ),
        (
            ALL,
            catalog("d", "e"),
            (
                "the schema is not the rehearsed one: column public.flags_flag.a is not there;"
                " column public.flags_flag.b is not there; column public.flags_flag.c is not there; and 3 more"
            ),
        ),
        (ALL - {THREE}, MIGRATED, "the schema is not the one that the rehearsal had at this point"),
        ({ZERO}, MIGRATED, "the schema is not the one that the rehearsal had at this point"),
    ],
)
def test_why_there_is_none(applied: set[Migration], live: Catalog, why: str) -> None:
    assert find_place(REHEARSAL, RECORDED, applied, live) == why


def test_what_may_not_be_replayed_has_none() -> None:
    assert find_place(rehearsal(*SEGMENTS, obstacles=("this", "that")), RECORDED, ALL, MIGRATED) == "this; that"
    irreversible = REHEARSAL.model_copy(update={"script": None, "reason": "flags.0003 is irreversible"})
    assert find_place(irreversible, RECORDED, ALL, MIGRATED) == "flags.0003 is irreversible"


def test_what_was_never_replayed_has_one_at_its_start_only() -> None:
    fresh = rehearsal(*(replace(each, fingerprint="") for each in SEGMENTS))
    assert find_place(fresh, RECORDED, ALL, MIGRATED) == Place(0)
    assert isinstance(find_place(fresh, RECORDED, {ZERO}, RECORDED), str)


@pytest.mark.parametrize(
    ("statement", "is_place"),
    [
        ("UPDATE flags_flag SET a = a - 1", False),
        ("DELETE FROM flags_flag", False),
        ("SELECT own_function()", False),
        ("LOCK TABLE flags_flag", True),
        ("ALTER TABLE flags_flag ALTER a SET STATISTICS 10", True),
        ("VACUUM flags_flag", True),
    ],
)
def test_rows_are_not_changed_twice(statement: str, is_place: bool) -> None:
    """Neither the schema nor the applied migrations tell whether this segment is done."""
    silent = segment(MIGRATED, Part(THREE, (statement,)))
    drop = segment(catalog("a", "b", "c"), Part(THREE, (DROP,)), atomic=False)
    script = rehearsal(silent, drop, segment(RECORDED, Part(THREE, (), (THREE, TWO, ONE))))
    found = find_place(script, RECORDED, ALL, MIGRATED)
    if is_place:
        assert found == Place(0)
    else:
        assert found == (
            "flags.0003: whether an interrupted run has changed its rows already cannot be told from the schema"
        )
    assert find_place(script, RECORDED, ALL, catalog("a", "b", "c")) == Place(2)
