"""What a person sees: progress on standard error, questions before anything is done, colours only where wanted."""

import re
from pathlib import Path

import pytest

from tests.cli.terminals import on_a_terminal
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import TEXT, Project, add_field, create_model, migration
from tests.integration.captures import SCHEMA

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7]")


@pytest.fixture
def deployed(flagsnap: Flagsnap, database: Database) -> Flagsnap:
    """A captured database on which a deploy has run since."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    database.execute("CREATE TABLE added (id int)")
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('features', '0003_added')")
    return flagsnap


def test_bars_are_drawn_on_standard_error_only(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    ended = on_a_terminal(flagsnap, "capture", "--deploy-id", "v2")
    assert ended.code == 0, ended.err
    assert "dump" in ended.err
    assert "━" in ended.err
    assert "\x1b[?25h" in ended.err.rpartition("\x1b[?25l")[2], "the cursor must come back"
    assert ended.out.startswith("captured v2: 2 migrations")
    assert ESCAPE not in ended.out


def test_quiet_draws_nothing(flagsnap: Flagsnap) -> None:
    ended = on_a_terminal(flagsnap, "capture", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("captured ")


def test_json_on_a_terminal_asks_nothing_and_draws_beside(deployed: Flagsnap) -> None:
    ended = on_a_terminal(deployed, "rollback", "--to", "v2", "--json")
    assert ended.json["ok"] is (ended.code == 0)
    assert "go ahead?" not in ended.err


def test_no_color_means_no_colours(deployed: Flagsnap) -> None:
    coloured = on_a_terminal(deployed, "rollback", "--to", "v2", answers={"go ahead?": "n\n"})
    plain = on_a_terminal(deployed, "rollback", "--to", "v2", answers={"go ahead?": "n\n"}, NO_COLOR="1")
    assert ESCAPE in coloured.err
    assert not COLOUR.search(plain.err)


@pytest.mark.parametrize("command", [("list",), ("show", "v2"), ("plan", "--to", "v2"), ("verify", "--expect", "v2")])
def test_without_a_terminal_there_is_no_escape_code_and_tables_fit(
    deployed: Flagsnap, command: tuple[str, ...]
) -> None:
    ended = deployed(*command, code=None, TERM="xterm-256color")
    assert ESCAPE not in ended.out + ended.err
    first = ended.out.splitlines()[0]
    assert first
    assert all(len(line) <= 80 or " " in line for line in ended.out.splitlines())


def test_a_plan_is_shown_and_nothing_is_done_without_a_yes(deployed: Flagsnap, database: Database) -> None:
    ended = on_a_terminal(deployed, "rollback", "--to", "v2", answers={"go ahead?": "n\n"})
    assert ended.code == 130
    assert ended.err.index("back to the state before deploy v2") < ended.err.index("go ahead?")
    assert "error: not agreed; nothing was done" in ended.err
    assert ended.out == ""
    _assert_untouched(deployed, database)


@pytest.mark.parametrize("key", ["\x03", "\x04", "\n"])
def test_leaving_the_question_is_a_no(deployed: Flagsnap, database: Database, key: str) -> None:
    """Ctrl-C, the end of the input, and the default."""
    ended = on_a_terminal(deployed, "rollback", "--to", "v2", answers={"go ahead?": key})
    assert ended.code == 130
    assert "Traceback" not in ended.err
    _assert_untouched(deployed, database)


def test_a_yes_goes_ahead(deployed: Flagsnap, database: Database) -> None:
    ended = on_a_terminal(deployed, "rollback", "--to", "v2", answers={"go ahead?": "y\n"})
    assert ended.code == 0, ended.err
    assert "proven" in ended.out
    deployed.within("verify", "--expect", "v2")
    assert len(database.relatives()) == 2


def test_a_loss_is_asked_about_first(deployed: Flagsnap, database: Database) -> None:
    database.execute("INSERT INTO project (name) VALUES ('written since')")
    question = "restore: LOSES 1 row of 1 table written since the capture\r\naccept or no? [no]"
    for answer in ("no\n", "\n", "yes\n"):
        ended = on_a_terminal(deployed, "rollback", "--to", "v2", answers={question: answer})
        assert ended.code == 130, answer
        assert "error: not agreed; nothing was done" in ended.err
        _assert_untouched(deployed, database)
    ended = on_a_terminal(deployed, "rollback", "--to", "v2", answers={question: "accept\n"})
    assert ended.code == 0, ended.err
    deployed.within("verify", "--expect", "v2")


@pytest.fixture
def coloured(deploys: Deploys, project: Project) -> Deploys:
    """A project whose deploy has added a column, in which somebody has written since."""
    project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.capture()
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[("flags", "0001_initial")])
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('a', 'red'), ('b', 'blue'), ('c', '')")
    return deploys


def test_the_question_shows_both_prices(coloured: Deploys) -> None:
    question = (
        "unapply: LOSES 2 values of 1 column that nothing brings back\r\n"
        "restore: LOSES 3 rows of 1 table written since the capture\r\n"
        "accept, restore or no? [no]"
    )
    with coloured.untouched():
        ended = on_a_terminal(
            coloured.flagsnap, "rollback", "--to", "v2", "--archive", "none", answers={question: "no\n"}
        )
    assert ended.code == 130
    ended = on_a_terminal(
        coloured.flagsnap, "rollback", "--to", "v2", "--archive", "none", answers={question: "restore\n"}
    )
    assert ended.code == 0, ended.err
    assert coloured.database.rows("SELECT count(*) FROM flags_flag") == [(0,)]


def test_what_is_archived_is_no_question_of_its_own(coloured: Deploys) -> None:
    ended = on_a_terminal(coloured.flagsnap, "rollback", "--to", "v2", answers={"go ahead? [y/N]": "y\n"})
    assert ended.code == 0, ended.err
    assert "accept" not in ended.err
    assert coloured.database.rows("SELECT name FROM flags_flag ORDER BY 1") == [("a",), ("b",), ("c",)]


def test_undo_is_asked_about(deployed: Flagsnap, database: Database) -> None:
    deployed.within("rollback", "--to", "v2", "--yes", "--on-loss", "accept")
    live = database.relatives()
    ended = on_a_terminal(deployed, "undo", answers={"with its retired database?": "n\n"})
    assert ended.code == 130
    assert database.relatives() == live
    ended = on_a_terminal(deployed, "undo", answers={"with its retired database?": "y\n"})
    assert ended.code == 0, ended.err
    assert database.rows("SELECT count(*) FROM added") == [(0,)]


def test_odd_names_are_shown_as_they_are(flagsnap: Flagsnap) -> None:
    flagsnap.within("capture", "--deploy-id", "v2", "--label", "note=[/bold] [red]x :smile:")
    for command in (("list",), ("show", "v2")):
        out = flagsnap(*command, COLUMNS="200").out
        assert "note=[/bold] [red]x :smile:" in out


def test_a_reader_that_goes_away_is_no_defect(flagsnap: Flagsnap, tmp_path: Path) -> None:
    flagsnap.within("capture", "--deploy-id", "v2")
    process = flagsnap.start("show", "v2", "--json")
    assert process.stdout
    process.stdout.close()
    assert process.wait() in {0, 1}
    assert process.stderr
    with process.stderr as stream:
        assert "Traceback" not in stream.read()


def _assert_untouched(flagsnap: Flagsnap, database: Database) -> None:
    assert database.relatives() == [database.name]
    assert database.rows("SELECT count(*) FROM django_migrations") == [(3,)]
    flagsnap.within("verify", "--expect", "v2", code=3)
