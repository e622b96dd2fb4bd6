"""What people and programs read: results as text and as JSON."""

import io
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console

from flagsnap.errors import DifferencesFound, LossRefused
from flagsnap.loss.values import Loss
from flagsnap.migrations import Migration
from flagsnap.plan import Plan
from flagsnap.rehearsal.values import ForwardMigration, Residue, TableLock
from flagsnap.report.json import content_of, document, failure
from flagsnap.report.pieces import moment, size
from flagsnap.report.plan import price
from flagsnap.report.text import print_result, render
from flagsnap.results import PlanShown, Refilled, RefillResult, RehearsalResult, RollbackResult, SnapshotShown
from tests.unit.sample_rehearsals import SCRIPT, sample_rehearsal
from tests.unit.sample_results import ARCHIVE, DONE, LOSSLESS, MANIFEST, ODD, PLAN, RESTORE, RESULTS

STATUS = {
    *("database", "next", "newest", "at", "before", "extra", "missing", "same_schema", "rehearsal", "verified"),
    *("damaged", "owed", "locks", "asides", "problems"),
}
PRUNE_KEYS = {"keep", "remove", "databases", "confirmed", "freed", "failed", "limits"}
ROLLBACK = {
    "plan",
    "route",
    "archive",
    "refilled",
    "leftovers",
    "retired_database",
    "retired_schema",
    "verified",
    "proven",
    "differences",
    "seconds",
    "standby",
}
HISTORY = {
    *("deploys", "bookkeeping_only", "captures", "older", "bookkeeping_by", "gone", "set_back", "notes"),
    *("way_back", "further"),
}
CAPTURE_KEYS = {"deploy_id", "captured_at", "reused", "location", "migrations", "dump"}
KEYS = {
    **dict.fromkeys(("prune", "pruned", "nothing to prune"), PRUNE_KEYS),
    **dict.fromkeys(("capture", "reused"), CAPTURE_KEYS),
    **dict.fromkeys(("capture and prune", "capture and no prune"), CAPTURE_KEYS | {"pruned"}),
    "list": {"snapshots", "damaged"},
    "empty list": {"snapshots", "damaged"},
    "list of archives": {"snapshots", "damaged"},
    "list of verified ones": {"snapshots", "damaged"},
    "show": {"manifest", "rehearsal", "verification", "pin"},
    "archive": {"manifest", "rehearsal", "verification", "pin"},
    "show rehearsed": {"manifest", "rehearsal", "verification", "pin"},
    "show verified": {"manifest", "rehearsal", "verification", "pin"},
    "pin": {"deploy_id", "pinned", "pinned_at", "reason"},
    "unpin": {"deploy_id", "pinned", "pinned_at", "reason"},
    "plan": {"plan"},
    "lossless plan": {"plan"},
    "restore plan": {"plan"},
    "plan by time": {"plan"},
    "plan by time alone": {"plan"},
    **dict.fromkeys(("rollback", "rollback by time alone"), ROLLBACK),
    "refill": {"deploy_id", "refilled", "seconds"},
    "restore": {"database", "seconds", "verified"},
    "undo": {"database", "retired_database", "retired_schema"},
    "verify": {"checks", "drills"},
    "verify all": {"checks", "drills"},
    "doctor": {"checks"},
    "status": STATUS,
    "status of nothing": STATUS,
    "history": HISTORY,
    "history of nothing": HISTORY,
    "commands": {"deploy_id", "commands", "notes"},
    "no commands": {"deploy_id", "commands", "notes"},
    "sql": {"deploy_id", "sql"},
    "rehearse": {"rehearsal", "accepted", "database", "seconds"},
}


RESIDUE = (
    Residue(table="public.a", added=30, removed=0, changed=0),
    Residue(table="public.b", added=0, removed=1, changed=2),
    Residue(table="public.c", added=0, removed=0, changed=8),
)


def text_of(result: object, width: int = 80) -> str:
    stream = io.StringIO()
    print_result(Console(file=stream, width=width, highlight=False, markup=False, emoji=False), result)
    return stream.getvalue()


def lines_of(plan: Plan) -> list[str]:
    return text_of(PlanShown(plan), width=400).splitlines()


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
        "estimated": False,
        "at_most": False,
        "detail": "",
    }
    assert plan["losses"][-4] == {
        "route": "unapply",
        "kind": "column_dropped",
        "object": "public.keyless.b",
        "rows": 40,
        "remedy": "lost",
        "estimated": False,
        "at_most": False,
        "detail": "no key to match by",
    }
    assert plan["archive"] == "affected"
    assert plan["to_archive"] == [
        {"object": f"public.t.{ODD}", "table": "public.t", "columns": [ODD], "key": ["id"]},
    ]
    assert plan["to_refill"] == [{"object": "public.t.a", "table": "public.t", "columns": ["a"], "key": ["id"]}]
    assert [(step["segment"], step["atomic"], len(step["migrations"])) for step in plan["steps"]] == [
        (1, True, 20),
        (2, False, 1),
    ]
    assert plan["refused"] == "it would lose data"


def test_json_of_a_rollback_tells_what_was_archived_refilled_and_left() -> None:
    found = content_of(DONE)
    assert found["archive"] == "2.265.0-archive-20261122T140200Z"
    first = {"object": "public.t.a", "rows": 1_204, "replaced": 3, "skipped": 2, "detail": "2 rows were deleted since"}
    assert found["refilled"][0] == first
    assert found["leftovers"][0] == {"table": "public.auth_permission", "rows": 32, "removed": 0}
    assert content_of(RESULTS["refill"])["refilled"] == found["refilled"]


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


def test_names_of_a_usual_length_are_not_folded_for_others_to_have_room() -> None:
    name = "public." + "t" * 29
    refilled = replace(DONE, refilled=(Refilled(name, 1_234_567, 3, 2, "a detail that takes more room than there is"),))
    text = text_of(refilled)
    assert any(line.startswith(f"{name}  1,234,567") for line in text.splitlines())
    assert "more room than there is" in " ".join(line[65:].strip() for line in text.splitlines()[3:9])
    losses = (Loss("unapply", "column_emptied", name, 1, "refilled", detail="a detail that takes more room"),)
    row = next(line for line in text_of(PlanShown(replace(PLAN, losses=losses))).splitlines() if line.startswith(name))
    assert row.endswith("refilled")


def test_text_of_a_capture() -> None:
    assert text_of(RESULTS["capture"]) == (
        "captured 2.265.0: 2 migrations, 2.0 kB, in 1.2 s\n"
        "  /store/2.265.0\n"
        "  to come back: flagsnap rollback --to 2.265.0\n"
    )
    assert "the recorded state is the live one still" in text_of(RESULTS["reused"])


def test_a_plan_begins_with_its_verdict() -> None:
    """What is done, to which state, and what is lost, the worst first."""
    assert lines_of(PLAN)[0] == (
        "unapply 21 migrations, back to the state before deploy 2.265.0: "
        "LOSES 40 values of 1 column that nothing brings back, MAY LOSE more (1 reverse cannot be read), "
        "what 1 migration did to rows stays behind"
    )
    assert lines_of(PLAN)[1] == "captured 2026-11-22 14:02:00 UTC"
    assert lines_of(LOSSLESS)[0].endswith(" 2.265.0: nothing is lost")
    assert "unapply, as chosen: 3 values of 1 column are archived" in lines_of(LOSSLESS)
    assert lines_of(replace(LOSSLESS, losses=()))[0].endswith(" 2.265.0: nothing is lost")
    assert lines_of(RESTORE)[0] == (
        "restore the snapshot, back to the state before deploy 2.265.0: "
        "LOSES an unknown number of rows of 1 table written since the capture"
    )


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ((Loss("unapply", "rows_deleted", "public.t", 1, "archived"),), "1 row of 1 table is archived"),
        (
            (Loss("unapply", "type_narrowed", "t.a", 1, "lost"), Loss("unapply", "type_narrowed", "t.b", None, "lost")),
            "LOSES at least 1 value of 2 columns that nothing brings back",
        ),
        (
            (Loss("unapply", "table_emptied", "public.t", 1, "refilled"),),
            "1 row of 1 table comes back from the snapshot",
        ),
        ((Loss("unapply", "column_dropped", "t.a", 0, "archived"),), "nothing is lost"),
        (
            (
                Loss("unapply", "statement_unknown", "a.1: CALL x()", None, "lost"),
                Loss("unapply", "reverse_runs_code", "a.2", None, "lost"),
                Loss("unapply", "rows_deleted", "public.t", 2, "archived"),
            ),
            "MAY LOSE rows (2 reverses cannot be read), 2 rows of 1 table are archived",
        ),
        (
            (
                Loss("unapply", "reverse_does_nothing", "a.1", None, "kept"),
                Loss("restore", "written_since", "t", 9, "lost"),
            ),
            "what 1 migration did to rows stays behind",
        ),
    ],
)
def test_the_price_of_a_route(losses: tuple[Loss, ...], said: str) -> None:
    assert price(replace(PLAN, losses=losses), "unapply") == said


def test_a_plan_prices_both_routes_one_above_the_other() -> None:
    text = "\n".join(lines_of(LOSSLESS))
    assert (
        text.index("unapply, as chosen") < text.index("restore, with --strategy restore: LOSES") < text.index("steps")
    )
    text = "\n".join(lines_of(replace(RESTORE, closed=())))
    assert text.index("restore, as chosen") < text.index("unapply, with --strategy unapply: LOSES 40 values")
    assert "restore, with" not in "\n".join(lines_of(PLAN)), "a closed route has no price"


def test_the_table_of_a_route_has_the_lost_first_and_then_the_largest() -> None:
    lines = lines_of(PLAN)
    start = next(number for number, line in enumerate(lines) if line.startswith("object"))
    rows = [line.split()[:2] for line in lines[start + 1 : start + 13]]
    assert rows[:3] == [["features.0019_step", "?"], ["public.keyless.b", "40"], ["features.0018_step", "?"]]
    assert rows[3:11] == [[f"public.t{number}", "1,000,000"] for number in range(8)]
    assert rows[11] == ["and", "8"]
    assert lines[start + 12].split() == ["and", "8", "more", "6,001,207"]
    assert "values of a column that goes: no key to match by" in lines[start + 2]
    restore = lines_of(replace(RESTORE, losses=(replace(PLAN.losses[-1], rows=3, detail="2 inserted, 1 deleted"),)))
    assert any(line.split() == ["public.[x]", "3", "2", "inserted,", "1", "deleted", "lost"] for line in restore)
    few = lines_of(replace(PLAN, losses=PLAN.losses[-6:]))
    assert any(line.split()[:3] == ["public.t.a", "≈", "1,204"] for line in few)


def test_numbers_that_are_not_exact_are_marked() -> None:
    few = [replace(loss, at_most=loss.kind == "column_emptied") for loss in PLAN.losses[-6:]]
    lines = lines_of(replace(PLAN, losses=tuple(few)))
    assert any("up to 1,204 values of 1 column come back from the snapshot" in line for line in lines)
    assert any(line.split()[:3] == ["public.t.a", "≤", "1,204"] for line in lines)


def test_a_sum_with_something_unknown_is_at_least_what_is_certain() -> None:
    exact = Loss("unapply", "column_emptied", "public.t.a", 3, "refilled")
    unknown = replace(exact, object="public.t.b", rows=None)
    vague = [
        replace(exact, object="public.t.c", rows=1_000, at_most=True),
        replace(exact, object="public.t.d", rows=1_000, estimated=True),
    ]
    for losses, said in (
        ((exact, unknown, *vague), "at least 3 values of 4 columns come back"),
        ((unknown, *vague), "an unknown number of values of 3 columns come back"),
    ):
        assert said in price(replace(PLAN, losses=losses), "unapply")


def test_the_steps_are_in_the_order_in_which_they_are_done() -> None:
    steps = [line.split()[0] for line in lines_of(PLAN)[lines_of(PLAN).index("steps") + 1 :]]
    assert steps[:5] == ["archive", "unapply", "unapply", "prove", "refill"]
    whole = lines_of(replace(PLAN, archive="full"))
    assert "archive  the whole database" in " ".join(whole)
    restore = lines_of(RESTORE)
    assert [line.split()[0] for line in restore[restore.index("steps") + 1 :]][:2] == ["restore", "prove"]


def test_a_rollback_tells_what_was_refilled_archived_and_left() -> None:
    text = text_of(DONE, width=200)
    lines = text.splitlines()
    assert lines[0] == "back to the state before deploy 2.265.0: unapplied 1 migration in 1.5 s"
    assert "refilled 1,205 rows from 2.265.0:" in lines
    assert ["public.t.a", "1,204", "3", "2", "2", "rows", "were", "deleted", "since"] in [
        line.split() for line in lines
    ]
    assert "  flagsnap refill --from 2.265.0-archive-20261122T140200Z" in lines
    assert "40 rows of the deploy stayed behind; --tidy removes those that nothing refers to:" in lines
    assert ["public.auth_permission", "32", "0"] in [line.split() for line in lines]
    there = replace(DONE, refilled=(Refilled("public.t.b", 0), Refilled("public.t.c", 0, 0, 2)))
    assert [line.rstrip().endswith(" all was there already") for line in text_of(there).splitlines()[4:6]] == [
        True,
        False,
    ]
    tidied = replace(DONE, leftovers=(replace(DONE.leftovers[0], removed=30),))
    assert "32 rows of the deploy stayed behind, of which 30 were removed:" in text_of(tidied)
    plain = text_of(RollbackResult(LOSSLESS, None, None, verified=True, seconds=1.0))
    assert "refill" not in plain
    assert "stayed behind" not in plain


def test_a_refill_begins_with_how_much_it_was() -> None:
    first = text_of(RESULTS["refill"]).splitlines()[0]
    assert first == "refilled 1,205 rows from 2.265.0-archive-20261122T140200Z in 3.2 s"
    assert text_of(RefillResult("v2", (), 0.1)) == "nothing to refill from v2\n"


def test_archives_are_told_from_captures() -> None:
    assert "archive of 2.265.0" in text_of(RESULTS["list of archives"], width=200)
    assert "archive of" not in text_of(RESULTS["list"], width=200) + text_of(RESULTS["show"], width=200)
    assert "archive of     2.265.0: public.t." in text_of(RESULTS["archive"])
    whole = ARCHIVE.model_copy(
        update={"archive": ARCHIVE.archive and ARCHIVE.archive.model_copy(update={"whole": True})}
    )
    assert "archive of     2.265.0: the whole database" in text_of(SnapshotShown(whole))


@pytest.mark.parametrize(
    ("other", "row"),
    [
        ({}, "exact, 2026-11-22 14:30:00 UTC, back in 0.1 s by replay"),
        (
            {"verdict": "residue", "residue": RESIDUE, "replay_seconds": None},
            "residue: 41 rows of 3 tables, 2026-11-22 14:30:00 UTC, back in 58.0 s",
        ),
        (
            {
                "verdict": "irreversible",
                "reason": "a.0003 has no way back",
                "replay_seconds": None,
                "back_seconds": None,
            },
            "irreversible: a.0003 has no way back, 2026-11-22 14:30:00 UTC",
        ),
        (
            {"schema_only": True, "again": "a.0003 fails"},
            "exact, without rows, 2026-11-22 14:30:00 UTC, back in 0.1 s by replay, the deploy after it fails",
        ),
    ],
)
def test_a_snapshot_tells_of_its_rehearsal(other: dict[str, Any], row: str) -> None:
    rehearsal = sample_rehearsal(MANIFEST, **other)
    lines = [" ".join(line.split()) for line in text_of(SnapshotShown(MANIFEST, rehearsal), width=200).splitlines()]
    assert f"rehearsed {row}" in lines
    assert "rehearsed" not in text_of(SnapshotShown(MANIFEST), width=200)
    told = content_of(SnapshotShown(MANIFEST, rehearsal))["rehearsal"]
    assert told == {
        "verdict": rehearsal.verdict,
        "reason": rehearsal.reason,
        "rehearsed_at": "2026-11-22T14:30:00+00:00",
        "schema_only": rehearsal.schema_only,
        "residue": [{"table": each.table, "rows": each.rows} for each in rehearsal.residue],
        "again": rehearsal.again,
        "back_seconds": rehearsal.back_seconds,
        "replay_seconds": rehearsal.replay_seconds,
    }
    assert content_of(SnapshotShown(MANIFEST))["rehearsal"] is None


def rehearsed(accepted: bool = True, **fields: Any) -> str:
    return text_of(RehearsalResult(sample_rehearsal(MANIFEST, **fields), accepted, None, 12.0), width=400)


def test_a_rehearsal_says_how_long_each_way_takes() -> None:
    assert "back: 58.0 s by the project, 0.06 s by replay" in rehearsed()
    without = rehearsed(replay_seconds=None, script=replace(SCRIPT, obstacles=("a.0003: its reverse is Python",)))
    assert "back: 58.0 s by the project\nno replay: a.0003: its reverse is Python\n" in without


@pytest.mark.parametrize(
    ("fields", "accepted", "said"),
    [
        ({}, True, "the deploy may go ahead"),
        ({"verdict": "residue", "residue": RESIDUE}, True, "may go ahead: its residue is acceptable, as declared"),
        ({"verdict": "residue", "residue": RESIDUE}, False, "the deploy should not go ahead"),
        ({"verdict": "irreversible", "reason": "irreversible: a.0003"}, False, "irreversible: a.0003"),
        ({"verdict": "fails", "reason": "a.0003 fails"}, False, "the deploy cannot be migrated to"),
        ({"again": "the second deploy fails: x"}, False, "the second deploy fails: x"),
        ({"forward": ()}, True, "there was nothing to migrate: if that is a surprise, --manage does not run the new"),
        ({"again_differs": ("public.a",)}, True, "with other rows than the first time in public.a"),
        ({"not_digested": ("public.a",)}, False, "the recorded state again, as far as rows were compared"),
        ({"schema_only": True}, True, "rehearsed deploy 2.265.0, without rows, in 12.0 s"),
    ],
)
def test_a_rehearsals_verdict(fields: dict[str, Any], accepted: bool, said: str) -> None:
    assert said in rehearsed(accepted, **fields)


def test_what_a_deploy_blocks_the_longest_first() -> None:
    forward = tuple(
        ForwardMigration(
            migration=Migration("a", name),
            seconds=seconds,
            atomic=True,
            locks=(TableLock(table=f"public.{name}", mode=mode, seconds=seconds),),
            rewritten=(f"public.{name}",) if seconds > 1 else (),
        )
        for name, mode, seconds in (
            ("short", "ShareLock", 0.01),
            ("shared", "ShareLock", 0.5),
            ("all", "AccessExclusiveLock", 2.0),
        )
    )
    text = rehearsed(forward=forward)
    assert [line for line in text.splitlines() if line.startswith("  public.")] == [
        "  public.all     2.00 s  reads and writes  a.all",
        "  public.shared  0.50 s  writes            a.shared",
    ]
    assert "tables that the deploy rewrites: public.all" in text
    assert "locks no table for longer than 0.05 s" in rehearsed(forward=forward[:1])


def test_text_of_an_empty_store() -> None:
    assert text_of(RESULTS["empty list"]) == "no snapshots\n"


def test_text_of_a_failed_check_names_all_that_was_found() -> None:
    text = text_of(RESULTS["verify"], width=400)
    assert "ok         manifest: 2.265.0\n" in text
    assert "failed     files: 2.265.0\n           dumps/default/1.dat.gz is missing\n" in text


def test_text_of_many_snapshots_has_a_line_for_each_that_is_well() -> None:
    lines = text_of(RESULTS["verify all"], width=400).splitlines()
    drilled = "restored and proven in 12.3 s (210.0 MB) on the live server: that is the time to recover"
    assert lines == [
        f"ok         manifest, files, toc, drill: 2.265.0: {drilled}; kept as flags_2",
        "ok         manifest: 2.264.0",
        "unchecked  files: 2.264.0",
        "           could not check it: no time left",
        "ok         age: /store: the newest capture, 2.265.0, is 4 h old",
    ]


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
