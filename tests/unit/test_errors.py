"""Errors: their exit codes and names are an interface, and their words are for people."""

import pytest

from flagsnap import errors
from flagsnap.errors import ChildFailed, FlagsnapError, last_words

CODES = {
    "FlagsnapError": 1,
    "ConnectionFailed": 1,
    "ChildFailed": 1,
    "RestoreFailed": 1,
    "BridgeFailed": 1,
    "MigrationFailed": 1,
    "UsageError": 2,
    "StoreFailed": 1,
    "RouteClosed": 2,
    "SnapshotExists": 2,
    "DifferencesFound": 3,
    "LossRefused": 4,
    "SnapshotMissing": 5,
    "SnapshotDamaged": 5,
    "Locked": 6,
    "HalfWay": 7,
    "Interrupted": 130,
}


def test_every_error_has_its_exit_code_and_stands_in_the_tree() -> None:
    found = {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, FlagsnapError)
    }
    assert found == CODES
    tree = str(errors.__doc__)
    assert all(name in tree for name in CODES)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.SnapshotMissing("x"), "snapshot_missing"),
        (errors.UsageError("x"), "usage_error"),
        (errors.HalfWay("x"), "half_way"),
        (errors.Locked("x"), "locked"),
    ],
)
def test_kinds(error: FlagsnapError, kind: str) -> None:
    assert error.kind == kind


def test_a_failed_child_says_how_it_ended_and_why() -> None:
    tail = "pg_dump: last built-in OID is 16383\npg_dump: error: connection lost\npg_dump: detail: more"
    assert str(ChildFailed("pg_dump", 1, tail)) == "pg_dump ended with exit code 1: pg_dump: error: connection lost"
    assert str(ChildFailed("pg_dump", -9, "")) == "pg_dump was killed by signal 9"


def test_last_words_are_the_first_error_else_the_last_line() -> None:
    assert last_words("a\nb: error: first\nc: error: second\nd") == "b: error: first"
    assert last_words("  one\n two \n\n") == "two"
    assert last_words("") == ""
