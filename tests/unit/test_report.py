"""What people and programs read: results as text and as JSON."""

import io
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console

from flagsnap.errors import DifferencesFound, LossRefused
from flagsnap.report.json import content_of, document, failure
from flagsnap.report.text import moment, print_result, render, size
from tests.unit.sample_results import MANIFEST, ODD, RESULTS

KEYS = {
    "capture": {"deploy_id", "captured_at", "reused", "location", "migrations", "dump"},
    "reused": {"deploy_id", "captured_at", "reused", "location", "migrations", "dump"},
    "list": {"snapshots", "damaged"},
    "empty list": {"snapshots", "damaged"},
    "show": {"manifest"},
    "plan": {"plan"},
    "rollback": {
        "plan",
        "route",
        "archive",
        "refilled",
        "retired_database",
        "retired_schema",
        "verified",
        "differences",
        "seconds",
    },
    "restore": {"database", "seconds", "verified"},
    "undo": {"database", "retired_database", "retired_schema"},
    "verify": {"checks"},
}


def text_of(result: object, width: int = 80) -> str:
    stream = io.StringIO()
    print_result(Console(file=stream, width=width, highlight=False, markup=False, emoji=False), result)
    return stream.getvalue()


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_is_one_json_object_with_the_agreed_keys(name: str) -> None:
    found: dict[str, Any] = json.loads(document(name, content_of(RESULTS[name])))
    assert set(found) == KEYS[name] | {"schema", "command", "ok"}
    assert (found["schema"], found["command"], found["ok"]) == (1, name, True)


def test_json_of_a_plan() -> None:
    plan = content_of(RESULTS["plan"])["plan"]
    assert plan["to"] == MANIFEST.deploy_id
    assert plan["captured_at"] == "2026-11-22T14:02:00+00:00"
    assert plan["extra"] == [{"app": "features", "name": "0003_x"}, {"app": "[app]", "name": ODD}]
    assert plan["losses"][-1] == {
        "route": "restore",
        "kind": "written_since",
        "object": "public.[x]",
        "rows": None,
        "remedy": "lost",
    }
    assert [(step["segment"], step["atomic"], len(step["migrations"])) for step in plan["steps"]] == [
        (1, True, 20),
        (2, False, 1),
    ]
    assert plan["refused"] == "it would lose data"


def test_json_of_a_failure() -> None:
    refused = json.loads(failure("rollback", LossRefused("it would lose data", "--on-loss accept")))
    assert refused == {
        "schema": 1,
        "command": "rollback",
        "ok": False,
        "error": {
            "kind": "loss_refused",
            "message": "it would lose data",
            "hint": "--on-loss accept",
            "exit_code": 4,
        },
    }
    different = json.loads(failure("rollback", DifferencesFound("not equal", ("a", "b"))))
    assert different["differences"] == ["a", "b"]


@pytest.mark.parametrize("name", RESULTS)
def test_text_has_no_escape_codes_outside_of_a_terminal_and_keeps_odd_names(name: str) -> None:
    text = text_of(RESULTS[name], width=400)
    assert "\x1b" not in text
    assert text.strip()
    if name in {"list", "show", "plan", "verify"}:
        assert ODD in text


@pytest.mark.parametrize("name", RESULTS)
def test_tables_fit_in_80_columns_and_sentences_stay_whole(name: str) -> None:
    sentences = {str(piece).replace("\n", "") for piece in render(RESULTS[name])}
    for line in text_of(RESULTS[name]).splitlines():
        assert len(line) <= 80 or line in sentences


def test_text_of_a_capture() -> None:
    assert text_of(RESULTS["capture"]) == (
        "captured 2.265.0: 2 migrations, 2.0 kB, in 1.2 s\n"
        "  /store/2.265.0\n"
        "  to come back: flagsnap rollback --to 2.265.0\n"
    )
    assert "the recorded state is the live one still" in text_of(RESULTS["reused"])


def test_text_of_a_plan_begins_with_what_the_id_means() -> None:
    first, second = text_of(RESULTS["plan"]).splitlines()[:2]
    assert first == "back to the state before deploy 2.265.0, captured 2026-11-22 14:02:00 UTC"
    assert second == "by unapplying 21 migrations in 2 segments"


def test_text_of_an_empty_store() -> None:
    assert text_of(RESULTS["empty list"]) == "no snapshots\n"


def test_text_of_a_failed_check_names_all_that_was_found() -> None:
    text = text_of(RESULTS["verify"], width=400)
    assert "ok      manifest: 2.265.0" in text
    assert "failed  files: 2.265.0" in text
    assert "dumps/default/1.dat.gz is missing" in text


def test_an_unknown_result_is_a_defect() -> None:
    for render_one in (render, content_of):
        with pytest.raises(TypeError, match="for str"):
            render_one("x")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_650_000_000, "1.6 GB"), (10**16, "10000.0 TB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_times_are_in_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert moment(datetime(2026, 1, 1, 2, 0, tzinfo=there)) == "2025-12-31 20:30:00 UTC"
