"""Which rows lie before a time, and what is said of the time."""

from datetime import UTC, datetime, timedelta

from flagsnap.migrations import AppliedMigration
from flagsnap.snapshot import is_deploy_id
from flagsnap.target import AppliedBefore, Target, WithinDeploy, split, within_deploy

START = datetime(2026, 11, 22, 9, 55, 37, 123456, tzinfo=UTC)


def row(name: str, seconds: float) -> AppliedMigration:
    return AppliedMigration("flags", name, START + timedelta(seconds=seconds))


def test_a_row_of_that_very_time_is_not_before_it() -> None:
    rows = [row("late", 9), row("first", -1), row("at", 0), row("squashed", -0.000001)]
    before, rest = split(rows, START)
    assert [each.name for each in before] == ["first", "squashed"]
    assert [each.name for each in rest] == ["at", "late"]


def test_people_type_seconds_and_rows_have_microseconds() -> None:
    assert split([row("at", 0)], START.replace(microsecond=0)) == ((), (row("at", 0),))


def test_a_time_within_a_deploy() -> None:
    rows = [row(f"{number:04}", 3600 + number * 60) for number in range(5)]
    rows = [*rows, row("before", 0), row("after", 7200)]
    moment = START + timedelta(seconds=3600 + 120)
    assert within_deploy(rows, moment) == WithinDeploy(START + timedelta(seconds=3600), 2, 5)
    for seconds in (0, 1, 3600, 3600 + 241, 7200, 9999):
        assert within_deploy(rows, START + timedelta(seconds=seconds)) is None


def test_its_name_is_in_the_form_of_a_deploy_id() -> None:
    before = AppliedBefore(START)
    assert before.name == "applied-before-20261122T095537.123456Z"
    assert AppliedBefore(START.replace(microsecond=0)).name == "applied-before-20261122T095537Z"
    assert is_deploy_id(before.name)
    assert Target((), None, before).name == before.name
