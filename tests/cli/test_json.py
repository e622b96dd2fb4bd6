"""`--json`: one object of the agreed shape on standard output, and nothing else, whatever happens."""

import json
from pathlib import Path
from typing import Any

import pytest

from flagsnap.cli.app import COMMANDS
from tests.fix_cli import Ended, Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA

# DESIGN.md, "Command line": the keys beside schema, command and ok.
KEYS = {
    "capture": {"deploy_id", "captured_at", "reused", "location", "migrations", "dump"},
    "list": {"snapshots"},
    "show": {"manifest", "rehearsal", "verification", "pin"},
    "pin": {"deploy_id", "pinned", "pinned_at", "reason"},
    "unpin": {"deploy_id", "pinned", "pinned_at", "reason"},
    "plan": {"plan"},
    "rollback": {
        "plan",
        "route",
        "archive",
        "refilled",
        "leftovers",
        "retired_database",
        "standby",
        "verified",
        "proven",
        "differences",
        "seconds",
    },
    "refill": {"deploy_id", "refilled", "seconds"},
    "restore": {"database", "seconds", "verified"},
    "undo": {"database", "retired_database"},
    "verify": {"checks", "drills"},
    "status": {
        "database",
        "next",
        "newest",
        "at",
        "before",
        "extra",
        "missing",
        "same_schema",
        "owed",
        "locks",
        "asides",
    },
    "doctor": {"checks"},
    "history": {"deploys", "captures", "bookkeeping_by", "gone", "way_back", "notes"},
}
PLAN_KEYS = {
    "to",
    "captured_at",
    "route",
    "extra",
    "missing",
    "bookkeeping",
    "losses",
    "archive",
    "to_archive",
    "to_refill",
    "steps",
    "refused",
}
LOSS_KEYS = {"route", "kind", "object", "rows", "remedy", "estimated", "at_most", "detail"}


def only_object(ended: Ended, command: str, *, ok: bool) -> dict[str, Any]:
    """Read the one object; the whole of standard output must be it."""
    found: dict[str, Any] = json.loads(ended.out)
    assert (found["schema"], found["command"], found["ok"]) == (1, command, ok)
    return found


def test_every_command_tells_its_result_as_one_object(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    copy = f"{database.name}_copy"
    found: dict[str, dict[str, Any]] = {}

    def run(*arguments: str) -> None:
        found[arguments[0]] = only_object(flagsnap.within(*arguments, "--json"), arguments[0], ok=True)

    run("capture", "--deploy-id", "v2", "--label", "a=b")
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x'); CREATE TABLE x (id int)")
    run("pin", "v2", "--reason", "a test")
    run("list")
    run("show", "v2")
    run("unpin", "v2")
    run("plan", "--to", "v2")
    run("restore", "v2", "--into", copy)
    run("rollback", "--to", "v2", "--on-loss", "accept")
    run("verify", "--expect", "v2")
    run("undo")
    run("refill", "--to", "v2")
    run("status")
    run("doctor")
    run("history")
    run("prune", "--keep-last", "1")
    assert set(found) == set(COMMANDS) - {"demo", "rehearse"}  # test_rehearse.py has the project that it needs
    for command, keys in KEYS.items():
        assert keys <= set(found[command]), command
    assert set(found["capture"]["dump"]) == {"bytes", "files", "seconds", "compression"}
    assert set(found["list"]["snapshots"][0]) == {
        "deploy_id",
        "captured_at",
        "bytes",
        "migrations",
        "labels",
        "archive_of",
        "state",
        "pinned",
        "verified",
    }
    for command in ("plan", "rollback"):
        assert set(found[command]["plan"]) >= PLAN_KEYS
        assert all(set(loss) == LOSS_KEYS for loss in found[command]["plan"]["losses"])
    assert found["plan"]["plan"]["extra"] == [{"app": "features", "name": "0003_x"}]
    assert found["plan"]["plan"]["route"] == found["rollback"]["route"] == "restore"
    assert found["rollback"]["verified"] is True
    assert found["rollback"]["retired_database"] in database.relatives() or found["undo"]["retired_database"]
    assert found["restore"] | {"seconds": 0} == {
        "schema": 1,
        "command": "restore",
        "ok": True,
        "database": copy,
        "seconds": 0,
        "verified": True,
    }
    assert set(found["verify"]["checks"][0]) == {"name", "subject", "ok", "checked", "detail", "said"}


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_errors_are_objects_too(flagsnap: Flagsnap, command: str) -> None:
    for arguments in (("--json", command, "--nonsense"), (command, "--nonsense", "--json")):
        ended = flagsnap.within(*arguments, code=2)
        error = only_object(ended, command, ok=False)["error"]
        assert error["kind"] == "usage_error"
        assert "no such option: --nonsense" in error["message"]
        assert error["hint"] == f"flagsnap {command} --help"
        assert error["exit_code"] == 2
        assert ended.err.startswith("error: no such option: --nonsense")


@pytest.mark.parametrize(
    ("arguments", "command", "kind", "code"),
    [
        ((), "flagsnap", "usage_error", 2),
        (("nonsense",), "flagsnap", "usage_error", 2),
        (("show",), "show", "usage_error", 2),
        (("show", "../x"), "show", "usage_error", 2),
        (("show", "v9"), "show", "snapshot_missing", 5),
        (("plan",), "plan", "usage_error", 2),
        (("plan", "--to", "v9", "--to-running", "v9"), "plan", "usage_error", 2),
        (("rollback", "--to", "v9"), "rollback", "snapshot_missing", 5),
        (("restore", "v9", "--into", "x"), "restore", "snapshot_missing", 5),
        (("verify", "v9"), "verify", "snapshot_missing", 5),
        (("undo",), "undo", "usage_error", 2),
        (("capture", "--deploy-id", "latest"), "capture", "usage_error", 2),
        (("capture", "--if-exists", "perhaps"), "capture", "usage_error", 2),
        (("list", "--jobs", "many"), "list", "usage_error", 2),
        (("list", "--store", "s3://x"), "list", "usage_error", 2),
        (("--store", "capture", "list", "--config", "/none"), "list", "usage_error", 2),
        (("capture", "--database-url", "postgresql://x@127.0.0.1:1/x"), "capture", "connection_failed", 1),
    ],
)
def test_failures_are_objects_too(
    flagsnap: Flagsnap, arguments: tuple[str, ...], command: str, kind: str, code: int
) -> None:
    ended = flagsnap.within("--json", *arguments, code=code)
    error = only_object(ended, command, ok=False)["error"]
    assert set(error) == {"kind", "message", "hint", "exit_code"}
    assert (error["kind"], error["exit_code"]) == (kind, code)
    assert f"error: {error['message']}\n" in ended.err
    assert f"hint: {error['hint']}\n" in ended.err or not error["hint"]


def test_the_command_is_the_command_and_not_a_value(
    flagsnap: Flagsnap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert only_object(flagsnap.within("--store", "show", "--json", "list"), "list", ok=True)["snapshots"] == []
    ended = flagsnap.within("capture", "--deploy-id", "list", "--json")
    assert only_object(ended, "capture", ok=True)["deploy_id"] == "list"


def test_differences_come_with_the_error_and_failed_checks_with_the_result(
    flagsnap: Flagsnap, database: Database
) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.execute("ALTER TABLE feature DROP COLUMN enabled")
    found = only_object(flagsnap.within("verify", "--expect", "v2", "--json", code=3), "verify", ok=False)
    assert [check["ok"] for check in found["checks"]] == [True, False]


def test_refused_plans_and_refusals(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.execute("CREATE TABLE x (id int); INSERT INTO x VALUES (1)")
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('x', '0001')")
    plan = only_object(flagsnap.within("plan", "--to", "v2", "--json"), "plan", ok=True)["plan"]
    assert plan["refused"]
    refused = only_object(flagsnap.within("rollback", "--to", "v2", "--json", code=4), "rollback", ok=False)
    assert refused["error"]["kind"] == "loss_refused"
    dry = only_object(flagsnap.within("rollback", "--to", "v2", "--dry-run", "--json"), "rollback", ok=True)
    assert dry["plan"] == plan
    unapply = flagsnap.within("rollback", "--to", "v2", "--strategy", "unapply", "--json", code=2)
    assert only_object(unapply, "rollback", ok=False)["error"]["kind"] == "route_closed"
