"""Rollbacks that archive what goes and put back what the deploy had destroyed: exact, refused, failing, killed."""

import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fix_deploys import Deploys, refusal
from tests.fix_projects import NUMBER, TEXT, Node, Project, add_field, create_model, migration, remove_field
from tests.integration.captures import drafts, wait_for

FIRST: Node = ("flags", "0001_initial")
STUCK = "migrations.RunSQL('SELECT 1', 'SELECT 1 / (SELECT count(*) - 1 FROM guard)')"
OWED = "SELECT to_regclass('flagsnap_owed_refill') IS NOT NULL"
# A table that says whether a row of `flags_flag` may be written and how long that takes. Triggers do not fire in a
# refill, but what a CHECK calls is called.
GUARD = """
CREATE TABLE guard (refused boolean NOT NULL, seconds int NOT NULL);
CREATE FUNCTION is_allowed(name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(seconds) FROM guard;
    RETURN NOT EXISTS (SELECT FROM guard WHERE refused);
END $$;
ALTER TABLE flags_flag ADD CONSTRAINT guarded CHECK (is_allowed(name)) NOT VALID;
"""
WITHOUT_GUARD = "ALTER TABLE flags_flag DROP CONSTRAINT guarded; DROP FUNCTION is_allowed; DROP TABLE guard"


@pytest.fixture
def destroyed(deploys: Deploys, project: Project) -> Deploys:
    """A captured project whose deploy has dropped a column and a table with rows; more was written since."""
    tag = 'models.ForeignKey("flags.Tag", models.CASCADE, null=True)'
    create = create_model("Tag", name=TEXT), create_model("Flag", name=TEXT, colour=TEXT, size=NUMBER, tag=tag)
    project.app("flags", {"0001_initial": migration(*create, create_model("Note", flag=NUMBER, text=TEXT))})
    guard = f"migrations.RunSQL({GUARD!r}, {WITHOUT_GUARD!r})"
    project.migration("flags", "0002_guard", guard, dependencies=[FIRST])
    deploys.deploy()
    deploys.database.execute(
        """
        INSERT INTO flags_tag (name) VALUES ('one'), ('two');
        INSERT INTO flags_flag (name, colour, size, tag_id)
        SELECT 'flag ' || n, 'colour ' || n, n, 1 + n % 2 FROM generate_series(1, 20) n;
        INSERT INTO flags_note (flag, text) SELECT n, repeat('x', n) FROM generate_series(1, 7) n;
        """
    )
    deploys.capture()
    project.migration(
        "flags",
        "0003_less",
        remove_field("Flag", "colour"),
        "migrations.DeleteModel('Note')",
        dependencies=[("flags", "0002_guard")],
    )
    deploys.deploy()
    deploys.database.execute(
        "DELETE FROM flags_flag WHERE id = 3; INSERT INTO flags_flag (name, size) VALUES ('new', 9)"
    )
    return deploys


@pytest.fixture
def added(deploys: Deploys, project: Project) -> Deploys:
    """A captured project whose deploy has added a column and a table, in which somebody has written since."""
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name) SELECT 'flag ' || n FROM generate_series(1, 20) n")
    deploys.capture()
    project.migration(
        "flags", "0002_more", add_field("Flag", "colour"), create_model("Note", text=TEXT), dependencies=[FIRST]
    )
    deploys.deploy()
    deploys.database.execute(
        "UPDATE flags_flag SET colour = 'colour ' || id WHERE id % 2 = 0;"
        "INSERT INTO flags_note (text) SELECT repeat('x', n) FROM generate_series(1, 7) n"
    )
    return deploys


FLAGS = "SELECT id, name, colour, size, tag_id FROM flags_flag ORDER BY id"
NOTES = "SELECT id, flag, text FROM flags_note ORDER BY id"
REFILLED_FLAGS = [(n, f"flag {n}", f"colour {n}", n, 1 + n % 2) for n in range(1, 21) if n != 3]
REFILLED_NOTES = [(n, n, "x" * n) for n in range(1, 8)]


def assert_refilled(deploys: Deploys, new_size: int = 9) -> None:
    """The recorded state, the rows that the deploy had destroyed, and what was written since."""
    deploys.assert_back()
    assert deploys.database.rows(FLAGS) == [*REFILLED_FLAGS, (21, "new", "", new_size, None)]
    assert deploys.database.rows(NOTES) == REFILLED_NOTES
    assert deploys.database.rows(OWED) == [(False,)]


def test_what_the_deploy_destroyed_is_there_again(destroyed: Deploys) -> None:
    ended = destroyed.rollback("--json").json
    assert_refilled(destroyed)
    assert ended["archive"] is None
    assert {each["object"]: each["rows"] for each in ended["refilled"]} == {
        "public.flags_flag.colour": 19,
        "public.flags_note": 7,
    }
    assert [each["remedy"] for each in ended["plan"]["losses"] if each["route"] == "unapply"] == ["refilled"] * 2
    destroyed.database.execute("INSERT INTO flags_note (flag, text) VALUES (1, 'the sequence goes on')")


def test_what_goes_is_archived_and_comes_back_with_the_next_deploy(added: Deploys) -> None:
    flags, notes = "SELECT id, name, colour FROM flags_flag ORDER BY id", "SELECT id, text FROM flags_note ORDER BY id"
    before = [added.database.rows(query) for query in (flags, notes)]
    ended = added.rollback("--json").json
    added.assert_back()
    assert ended["archive"].startswith("v2-archive-")
    assert {(each["object"], each["rows"], each["remedy"]) for each in ended["plan"]["losses"]} >= {
        ("public.flags_flag.colour", 10, "archived"),
        ("public.flags_note", 7, "archived"),
    }
    added.deploy()
    added.flagsnap("refill", "--from", ended["archive"])
    assert [added.database.rows(query) for query in (flags, notes)] == before


def test_on_loss_restore_unapplies_what_comes_back_and_restores_what_does_not(destroyed: Deploys) -> None:
    plan = destroyed.plan("--on-loss", "restore", "--no-refill")
    assert (plan["route"], plan["refused"]) == ("restore", "")
    assert destroyed.rollback("--on-loss", "restore", "--json").json["route"] == "unapply"
    assert_refilled(destroyed)


def test_on_loss_restore_with_what_is_archived(added: Deploys) -> None:
    assert added.plan("--on-loss", "restore", "--archive", "none")["route"] == "restore"
    ended = added.rollback("--on-loss", "restore", "--json").json
    assert (ended["route"], bool(ended["archive"])) == ("unapply", True)
    added.assert_back()


def test_without_an_archive_what_goes_needs_consent(added: Deploys) -> None:
    said = added.refused("--archive", "none", code=4)
    assert "public.flags_flag.colour (10 rows)" in said.error
    assert stored(added) == ["v2"]
    ended = added.rollback("--archive", "none", "--on-loss", "accept", "--json").json
    assert ended["archive"] is None
    assert stored(added) == ["v2"]
    added.assert_back()


def test_without_a_refill_what_comes_back_empty_needs_consent(destroyed: Deploys) -> None:
    said = destroyed.refused("--no-refill", code=4)
    assert "public.flags_flag.colour (20 rows)" in said.error
    ended = destroyed.rollback("--no-refill", "--on-loss", "accept", "--json").json
    assert ended["refilled"] == []
    destroyed.assert_back()
    assert destroyed.database.rows("SELECT DISTINCT colour FROM flags_flag") == [("",)]
    assert destroyed.database.rows(OWED) == [(False,)]


def test_a_refused_plan_archives_nothing(added: Deploys, project: Project) -> None:
    update = "lambda apps, editor: apps.get_model('flags', 'Flag').objects.update(name='x')"
    noop = f"migrations.RunPython({update}, migrations.RunPython.noop)"
    project.migration("flags", "0003_noop", noop, dependencies=[("flags", "0002_more")])
    added.deploy()
    said = added.refused("--on-loss", "refuse", code=4)
    assert "flags.0003_noop" in said.error
    assert stored(added) == ["v2"]
    assert drafts(added.flagsnap) == []


def test_a_full_archive_is_made_whatever_goes(destroyed: Deploys) -> None:
    live = destroyed.database.rows("SELECT id, name FROM flags_flag ORDER BY id")
    archive = destroyed.rollback("--archive", "full", "--json").json["archive"]
    assert_refilled(destroyed)
    copy = f"{destroyed.database.name}_copy"
    destroyed.flagsnap("restore", archive, "--into", copy)
    assert destroyed.database.rows("SELECT id, name FROM flags_flag ORDER BY id", copy) == live


@pytest.mark.parametrize("tidy", [True, False])
def test_what_stays_behind_is_told_and_what_tidy_removes_is_archived(
    deploys: Deploys, project: Project, tidy: bool
) -> None:
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name) VALUES ('kept')")
    deploys.capture()
    project.migration(
        "flags",
        "0002_data",
        "migrations.RunPython(forward, migrations.RunPython.noop)",
        dependencies=[FIRST],
        imports="\n\ndef forward(apps, editor):\n    apps.get_model('flags', 'Flag').objects.create(name='left')\n",
    )
    deploys.deploy()
    ended = deploys.rollback(*(["--tidy"] if tidy else []), "--on-loss", "accept", "--json").json
    deploys.assert_back()
    assert ended["leftovers"] == [{"table": "public.flags_flag", "rows": 1, "removed": int(tidy)}]
    assert deploys.database.rows("SELECT name FROM flags_flag") == [("kept",), *([] if tidy else [("left",)])]
    assert bool(ended["archive"]) is tidy
    if tidy:
        assert deploys.snapshots.get(ended["archive"]).database.rows_of("public", "flags_flag") == 2


@pytest.mark.parametrize("scope", ["affected", "full"])
def test_the_archive_of_a_restore(added: Deploys, scope: str) -> None:
    options = ("--strategy", "restore", "--on-loss", "restore", "--archive", scope, "--json")
    ended = added.rollback(*options).json
    assert bool(ended["archive"]) is (scope == "full")
    assert stored(added) == sorted(filter(None, ["v2", ended["archive"]]))
    added.assert_back()


def test_an_archive_that_cannot_be_made_stops_the_rollback(added: Deploys, tmp_path: Path) -> None:
    pg_dump = "echo 'pg_dump: error: could not write: No space left on device' >&2; exit 1"
    said = added.refused("--pg-bin", str(clients(added, tmp_path, pg_dump)), code=1)
    assert said.error.startswith("what goes could not be archived, so nothing was done: the dump failed: ")
    assert "free space" in said.hint
    assert "--archive none" in said.hint
    assert stored(added) == ["v2"]
    assert drafts(added.flagsnap) == []
    added.rollback("--json")
    added.assert_back()


def test_migrations_that_run_during_the_archive_stop_the_rollback(added: Deploys, tmp_path: Path) -> None:
    deploy = (
        f"[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; "
        f"psql -q -c \"INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0003_other', now())\" "
        f"{added.database.url}; }}"
    )
    said = refusal(added.rollback("--pg-bin", str(clients(added, tmp_path, deploy)), code=1))
    assert "migrations ran during the capture" in said.error
    assert "flags.0002_more" in added.names()
    assert stored(added) == ["v2"]


def test_a_refill_that_fails_leaves_the_unapplied_database_and_is_finished_later(destroyed: Deploys) -> None:
    destroyed.database.execute("INSERT INTO guard VALUES (true, 0)")
    said = refusal(destroyed.rollback("--on-loss", "restore", code=7))
    assert said.error.startswith(
        "unapplied and proven, but not refilled: public.flags_flag.colour, public.flags_note; "
    )
    assert "guarded" in said.error
    assert "`flagsnap refill --to v2`" in said.hint
    assert_unapplied_and_owed(destroyed)
    assert refusal(destroyed.rollback("--on-loss", "restore", code=7)).error.startswith("proven, but not refilled: ")
    destroyed.database.execute("DELETE FROM guard")
    destroyed.flagsnap("refill", "--to", "v2")
    assert_refilled(destroyed)


def test_the_same_command_finishes_a_refill_too(destroyed: Deploys) -> None:
    destroyed.database.execute("INSERT INTO guard VALUES (true, 0)")
    destroyed.rollback("--on-loss", "restore", code=7)
    destroyed.database.execute("DELETE FROM guard")
    ended = destroyed.rollback("--on-loss", "restore", "--json").json
    assert ended["route"] is None
    assert len(ended["refilled"]) == 2
    assert_refilled(destroyed)


def test_where_a_refill_never_succeeds_the_snapshot_can_still_be_restored(destroyed: Deploys) -> None:
    destroyed.database.execute("INSERT INTO guard VALUES (true, 0)")
    destroyed.rollback("--on-loss", "restore", code=7)
    ended = destroyed.rollback("--strategy", "restore", "--on-loss", "restore", "--json").json
    assert ended["route"] == "restore"
    destroyed.assert_back()
    assert destroyed.database.rows("SELECT count(*), count(DISTINCT colour) FROM flags_flag") == [(20, 20)]
    assert destroyed.database.rows(OWED) == [(False,)]


def test_differences_are_told_and_nothing_is_refilled(destroyed: Deploys) -> None:
    destroyed.database.execute("ALTER TABLE flags_tag ALTER name DROP NOT NULL")
    ended = destroyed.rollback("--on-loss", "restore", code=3)
    assert "column public.flags_tag.name" in ended.err
    assert "the refill was not tried" in ended.err
    assert destroyed.database.rows("SELECT DISTINCT colour FROM flags_flag") == [("",)]
    destroyed.database.execute("ALTER TABLE flags_tag ALTER name SET NOT NULL")
    destroyed.rollback("--on-loss", "restore")
    assert_refilled(destroyed)


def test_an_unapply_that_fails_at_once_owes_nothing(destroyed: Deploys, project: Project) -> None:
    project.migration("flags", "0004_stuck", STUCK, dependencies=[("flags", "0003_less")])
    destroyed.deploy()
    destroyed.database.execute("INSERT INTO guard VALUES (false, 0)")
    said = destroyed.refused("--on-loss", "accept", code=1)
    assert "division by zero" in said.error
    assert destroyed.database.rows(OWED) == [(False,)]
    destroyed.database.execute("DELETE FROM guard")
    destroyed.rollback("--on-loss", "accept")
    assert_refilled(destroyed)


def test_an_unapply_that_stops_half_way_owes_what_it_did(destroyed: Deploys, project: Project) -> None:
    """The second run finds no trace of what came back empty in the first one: it is written down."""
    less = remove_field("Flag", "colour"), "migrations.DeleteModel('Note')"
    project.migration("flags", "0003_less", *less, STUCK, dependencies=[("flags", "0002_guard")])
    size = remove_field("Flag", "size")
    project.migration("flags", "0004_size", size, dependencies=[("flags", "0003_less")], atomic=False)
    destroyed.deploy()
    destroyed.database.execute("INSERT INTO guard VALUES (false, 0)")
    assert "stopped half-way: 1 of 2" in refusal(destroyed.rollback("--on-loss", "accept", code=7)).error
    assert destroyed.database.rows("SELECT DISTINCT size FROM flags_flag") == [(0,)]
    assert destroyed.database.rows(OWED) == [(True,)]
    destroyed.database.execute("DELETE FROM guard")
    destroyed.rollback("--on-loss", "accept")
    assert_refilled(destroyed, new_size=0)


@pytest.mark.parametrize("options", [(), ("--in-place",)])
def test_after_a_restore_nothing_is_owed(destroyed: Deploys, project: Project, options: tuple[str, ...]) -> None:
    less = remove_field("Flag", "colour"), "migrations.DeleteModel('Note')"
    project.migration("flags", "0003_less", *less, STUCK, dependencies=[("flags", "0002_guard")])
    size = remove_field("Flag", "size")
    project.migration("flags", "0004_size", size, dependencies=[("flags", "0003_less")], atomic=False)
    destroyed.deploy()
    destroyed.database.execute("INSERT INTO guard VALUES (false, 0)")
    destroyed.rollback("--on-loss", "accept", code=7)
    assert destroyed.database.rows(OWED) == [(True,)]
    destroyed.rollback("--strategy", "restore", "--on-loss", "restore", *options)
    destroyed.flagsnap.within("verify", "--expect", "v2")
    assert destroyed.database.rows(OWED) == [(False,)]
    assert destroyed.database.rows("SELECT colour FROM flags_flag WHERE id = 3") == [("colour 3",)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_it_archives(added: Deploys, tmp_path: Path, number: signal.Signals) -> None:
    slow = clients(added, tmp_path, f"touch {tmp_path}/begun; sleep 30")
    with added.untouched(), started(added, "--pg-bin", str(slow)) as running:
        wait_for((tmp_path / "begun").exists, running)
        running.send_signal(number)
        running.wait()
    assert stored(added) == ["v2"]
    archive = added.rollback("--json").json["archive"]
    added.assert_back()
    assert stored(added) == ["v2", archive]
    assert drafts(added.flagsnap) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_between_the_unapply_and_the_refill(destroyed: Deploys, number: signal.Signals) -> None:
    destroyed.database.execute("INSERT INTO guard VALUES (false, 1)")
    unapplied = "SELECT 1 WHERE NOT EXISTS (SELECT FROM django_migrations WHERE name = '0003_less')"
    with started(destroyed) as running:
        wait_for(lambda: destroyed.database.rows(unapplied), running)
        running.send_signal(number)
        running.wait()
    destroyed.database.execute("DELETE FROM guard")
    assert_unapplied_and_owed(destroyed)
    destroyed.rollback("--on-loss", "restore")
    assert_refilled(destroyed)


@pytest.mark.parametrize("finish", [("rollback", "--to", "v2"), ("refill", "--to", "v2")])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_refill(destroyed: Deploys, number: signal.Signals, finish: tuple[str, ...]) -> None:
    destroyed.database.execute("INSERT INTO guard VALUES (false, 30)")
    asleep = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        " AND application_name LIKE 'flagsnap %'"
    )
    with started(destroyed) as running:
        wait_for(lambda: destroyed.database.rows(asleep), running)
        running.send_signal(number)
        running.wait()
    end_sessions(destroyed)
    destroyed.database.execute("DELETE FROM guard")
    assert_unapplied_and_owed(destroyed)
    destroyed.flagsnap(*finish)
    assert_refilled(destroyed)


def assert_unapplied_and_owed(deploys: Deploys) -> None:
    """The recorded state, proven, with what came back empty still empty; and that is written down."""
    deploys.flagsnap.within("verify", "--expect", "v2")
    assert deploys.database.rows("SELECT DISTINCT colour FROM flags_flag") == [("",)]
    assert deploys.database.rows(NOTES) == []
    assert deploys.database.rows(OWED) == [(True,)]


def end_sessions(deploys: Deploys) -> None:
    """A backend that sleeps does not see at once that its client is gone."""
    deploys.database.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )


@contextmanager
def started(deploys: Deploys, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A rollback in the background, ended with the block."""
    running = deploys.flagsnap.start("rollback", "--to", "v2", "--on-loss", "restore", *options)
    try:
        yield running
    finally:
        running.kill()
        running.communicate(timeout=60)


def stored(deploys: Deploys) -> list[str]:
    """The deploy ids in the store."""
    return sorted(each["deploy_id"] for each in deploys.flagsnap.within("list", "--json").json["snapshots"])


def clients(deploys: Deploys, folder: Path, before_dump: str) -> Path:
    """PostgreSQL's programs, but pg_dump does something else before it dumps."""
    real = deploys.database.server.bin_dir
    made = folder / "bin"
    made.mkdir()
    for program in real.iterdir():
        (made / program.name).symlink_to(program)
    (made / "pg_dump").unlink()
    script = (
        f'#!/bin/sh\ncase "$*" in *--version*) ;; *) {before_dump};; esac\nexec {shlex.quote(str(real))}/pg_dump "$@"\n'
    )
    (made / "pg_dump").write_text(script)
    (made / "pg_dump").chmod(0o755)
    return made
