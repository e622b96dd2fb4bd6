"""`plan --commands`: the lines are run by a real manage.py, and held against those of Flagsmith's documented query."""

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from flagsnap.by_hand import lines_back
from flagsnap.migrations import Graph, Migration
from tests.fix_databases import Database
from tests.fix_deploys import Deploys, refusal
from tests.fix_projects import Project, add_field, create_model, migration, run_sql
from tests.integration.documented_query import documented_lines
from tests.unit.test_by_hand import WAY, executed
from tests.unit.test_migrations import FLAGSMITH, applied_in, flagsmith_graph

COMMANDS = ("plan", "--commands", "--to", "v2")
THING = create_model("Thing")


def grown(project: Project, label: str, *names: str) -> None:
    """An app with a chain of migrations, or the same with more at its end."""
    if label not in project.apps:
        project.app(label)
    before: str | None = None
    for number, name in enumerate(names):
        operation = add_field("Thing", f"field{number}") if number else THING
        below = [(label, before)] if before else []
        project.migration(label, name, operation, dependencies=below, initial=not number)
        before = name


def run_by_a_shell(deploys: Deploys, lines: str, tmp_path: Path) -> None:
    """Pipe the lines to a shell, in the project's folder."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e"],
        cwd=deploys.project.folder,
        env=environment,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def commands(out: str) -> list[str]:
    return [line for line in out.splitlines() if not line.startswith("#")]


def test_lines_where_the_documented_query_goes_wrong(deploys: Deploys, project: Project, tmp_path: Path) -> None:
    grown(project, "doubled", "0001_initial", "0002_first")
    grown(project, "twice", "0001_initial", "0002_first", "0002_second")
    grown(project, "gaps", "0001_initial", "0003_label")
    grown(project, "plain", "base", "colour")
    grown(project, "squashed", "0001_initial", "0002_colour")
    grown(project, "simple", "0001_initial")
    deploys.capture("v2")
    since = datetime.now(UTC)
    grown(project, "doubled", "0001_initial", "0002_first", "0002_second", "0003_third")
    grown(project, "twice", "0001_initial", "0002_first", "0002_second", "0003_third")
    grown(project, "gaps", "0001_initial", "0003_label", "0005_more")
    grown(project, "plain", "base", "colour", "label")
    replaced = [("squashed", "0001_initial"), ("squashed", "0002_colour")]
    fields = create_model("Thing", field1='models.CharField(max_length=100, default="")')
    project.migration("squashed", "0001_squashed_0002_colour", fields, replaces=replaced, initial=True)
    grown(project, "newcomer", "0001_initial", "0002_more")
    project.migration("simple", "0002_more", add_field("Thing", "x"), dependencies=[("simple", "0001_initial")])
    deploys.deploy()

    connection = deploys.database.connect()
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        documented_lines(connection, since)  # a name without a number
    with connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM django_migrations WHERE app = 'plain'")
        documented = documented_lines(connection, since)
    assert documented == [
        "python manage.py migrate doubled 0001",
        "python manage.py migrate gaps 0004",
        "python manage.py migrate newcomer zero",
        "python manage.py migrate simple 0001",
        "python manage.py migrate squashed zero",
        "python manage.py migrate twice 0002",
    ]
    # It would unapply what was applied long before, or leads nowhere.
    assert "doubled.0002_first" in project.migrate("doubled", "0001", "--plan")
    assert "Undo Create model Thing" in project.migrate("squashed", "zero", "--plan")
    assert "Cannot find a migration matching '0004'" in project.try_manage("migrate", "gaps", "0004").stderr
    assert "More than one migration matches '0002'" in project.try_manage("migrate", "twice", "0002").stderr

    with deploys.untouched():
        ended = deploys.flagsnap.within(*COMMANDS)
    assert sorted(commands(ended.out)) == [
        "python manage.py migrate doubled 0002_first",
        "python manage.py migrate gaps 0003_label",
        "python manage.py migrate newcomer zero",
        "python manage.py migrate plain colour",
        "python manage.py migrate simple 0001_initial",
        "python manage.py migrate twice 0002_second",
    ]
    bookkeeping = "squashed.0001_squashed_0002_colour"
    assert f"# bookkeeping rows that stay and stand for no schema change: {bookkeeping}\n" in ended.out
    assert "flagsnap plan --to v2" in ended.err
    run_by_a_shell(deploys, ended.out, tmp_path)
    recorded, schema = deploys.recorded["v2"]
    assert deploys.names() == {*recorded, bookkeeping}
    assert deploys.schema() == schema
    again = deploys.flagsnap.within(*COMMANDS, "--json").json
    assert again["commands"] == []
    assert "no line is needed" in again["notes"][0]


def test_apps_that_depend_on_each_other(deploys: Deploys, project: Project, tmp_path: Path) -> None:
    grown(project, "base", "0001_initial")
    grown(project, "top", "0001_initial")
    deploys.capture("v1")
    grown(project, "base", "0001_initial", "0002_x")
    deploys.capture("v2")
    more = {"dependencies": [("top", "0001_initial"), ("base", "0002_x")]}
    project.migration("top", "0002_on_base", add_field("Thing", "y"), **more)
    more = {"dependencies": [("base", "0002_x"), ("top", "0002_on_base")]}
    project.migration("base", "0003_on_top", add_field("Thing", "z"), **more)
    deploys.deploy()
    document = deploys.flagsnap.within("plan", "--commands", "--to-running", "v1", "--json").json
    assert (document["command"], document["deploy_id"]) == ("plan", "v2")
    assert document["notes"][0].startswith("back to the state before deploy v2, captured 20")
    run_by_a_shell(deploys, "\n".join(document["commands"]), tmp_path)
    deploys.assert_back("v2")
    # Unapplied by mistake: recorded, and to be applied again.
    project.migrate("base", "zero")
    project.migrate("top", "zero")
    found = deploys.flagsnap.within(*COMMANDS).out
    assert commands(found) == ["python manage.py migrate base 0002_x", "python manage.py migrate top 0001_initial"] or (
        commands(found) == ["python manage.py migrate top 0001_initial", "python manage.py migrate base 0002_x"]
    )
    run_by_a_shell(deploys, found, tmp_path)
    assert deploys.names() == set(deploys.recorded["v2"][0])


def test_where_no_lines_lead_back_the_rollback_does(deploys: Deploys, project: Project) -> None:
    """A branch was recorded; its sibling came with the deploy, and `migrate` cannot unapply the one alone."""
    grown(project, "flags", "0001_initial", "0002_first")
    deploys.capture("v2")
    project.migration("flags", "0002_other", add_field("Thing", "x"), dependencies=[("flags", "0001_initial")])
    project.migration("flags", "0003_merge", dependencies=[("flags", "0002_first"), ("flags", "0002_other")])
    deploys.deploy()
    with deploys.untouched():
        said = refusal(deploys.flagsnap.within(*COMMANDS, code=2))
    assert "`migrate flags 0001_initial`, which unapplies flags.0002_other, unapplies flags.0002_first" in said.error
    assert "`flagsnap rollback --to v2`" in said.hint
    plan = project.migrate("flags", "0001_initial", "--plan")
    assert "flags.0002_first" in plan
    deploys.back()


def test_a_name_that_begins_another_is_ambiguous_for_migrate(deploys: Deploys, project: Project) -> None:
    grown(project, "flags", "0001_flag")
    deploys.capture("v2")
    grown(project, "flags", "0001_flag", "0001_flag_colour")
    deploys.deploy()
    assert "More than one migration matches" in project.try_manage("migrate", "flags", "0001_flag").stderr
    said = refusal(deploys.flagsnap.within(*COMMANDS, code=2))
    assert "`migrate` takes flags.0001_flag for flags.0001_flag_colour too" in said.error
    deploys.back()


def test_irreversible_and_unknown_ones(deploys: Deploys, project: Project) -> None:
    grown(project, "flags", "0001_initial")
    deploys.capture("v2")
    project.migration("flags", "0002_sql", run_sql("SELECT 1"), dependencies=[("flags", "0001_initial")])
    deploys.deploy()
    said = refusal(deploys.flagsnap.within(*COMMANDS, code=2))
    assert said.error.endswith("irreversible: flags.0002_sql")
    assert "--strategy restore" in said.hint
    project.remove("flags", "0002_sql")
    project.write()
    said = refusal(deploys.flagsnap.within(*COMMANDS, code=2))
    assert "not known to the project's code: flags.0002_sql" in said.error
    assert "newer version" in said.hint


def test_a_recorded_table_is_not_dropped_by_a_line(deploys: Deploys, project: Project) -> None:
    """The deploy's migration is another form of what had made the table."""
    made = create_model("Check", "{'db_table': 'health_check'}")
    project.app("health_check_db", {"0001_initial": migration(made)})
    deploys.capture("v2")
    del project.apps["health_check_db"]
    project.app("db", {"0001_initial": migration(made, replaces=[("health_check_db", "0001_initial")])})
    deploys.deploy()
    assert "db.0001_initial" in deploys.flagsnap.within(*COMMANDS).out
    project.migration("db", "0001_initial", made)
    deploys.deploy()
    said = refusal(deploys.flagsnap.within(*COMMANDS, code=2))
    assert "creates health_check, which was recorded" in said.error


def test_without_a_project_the_rehearsal_has_the_graph(deploys: Deploys, project: Project, tmp_path: Path) -> None:
    grown(project, "flags", "0001_initial")
    deploys.capture("v2")
    grown(project, "flags", "0001_initial", "0002_more")
    project.write()
    manage = deploys.flagsnap.environment.pop("FLAGSNAP_MANAGE")
    said = refusal(deploys.flagsnap.within(*COMMANDS, code=2))
    assert "no project was named, and deploy v2 was not rehearsed" in said.error
    deploys.flagsnap.within("rehearse", "v2", "--schema-only", FLAGSNAP_MANAGE=manage)
    deploys.deploy()
    out = deploys.flagsnap.within(*COMMANDS).out
    assert commands(out) == ["python manage.py migrate flags 0001_initial"]
    run_by_a_shell(deploys, out, tmp_path)
    deploys.assert_back()


def test_lines_to_a_time(deploys: Deploys, project: Project, tmp_path: Path) -> None:
    """As the documented query is told of it; a snapshot of that state, or none."""
    grown(project, "flags", "0001_initial", "0002_more")
    deploys.deploy()
    before, schema, moment = deploys.names(), deploys.schema(), datetime.now(UTC).isoformat()
    grown(project, "flags", "0001_initial", "0002_more", "0003_label")
    deploys.deploy()
    arguments = ("plan", "--commands", "--applied-before", moment)
    document = deploys.flagsnap.within(*arguments, "--json").json
    assert document["deploy_id"] is None
    assert document["notes"][0].startswith("back to what was applied before 20")
    assert document["commands"] == ["python manage.py migrate flags 0002_more"]
    run_by_a_shell(deploys, deploys.flagsnap.within(*arguments).out, tmp_path)
    assert (deploys.names(), deploys.schema()) == (before, schema)


def test_one_way_back_is_printed_at_a_time(deploys: Deploys) -> None:
    said = refusal(deploys.flagsnap.within(*COMMANDS, "--sql", code=2))
    assert said.hint == "name one of them"


def test_another_database_has_no_lines(deploys: Deploys, project: Project) -> None:
    grown(project, "flags", "0001_initial")
    deploys.capture("v2")
    grown(project, "flags", "0001_initial", "0002_more")
    deploys.deploy()
    other = Database(deploys.database.server, f"{deploys.database.name}_other")
    other.create()
    said = refusal(deploys.flagsnap.within(*COMMANDS, "--database-url", other.url, code=2))
    assert "--moved" in said.hint
    said = refusal(deploys.flagsnap.within(*COMMANDS, "--database-url", other.url, "--moved", code=2))
    assert "the project is connected to the database" in said.error
    gone = deploys.database.server.url(f"{deploys.database.name}_gone")
    refusal(deploys.flagsnap.within(*COMMANDS, "--database-url", gone, code=1))


def load_rows(connection: psycopg.Connection) -> None:
    """The rows of v2.265.0, with their ids and times."""
    text = gzip.decompress((FLAGSMITH / "v2.265.0.sql.gz").read_bytes()).decode()
    header, rest = text.split("COPY public.django_migrations ", 1)[1].split("\n", 1)
    assert header.startswith("(id, app, name, applied)")
    connection.execute("CREATE TABLE django_migrations (id bigint, app text, name text, applied timestamptz)")
    with connection.cursor().copy("COPY django_migrations FROM STDIN") as copy:
        copy.write(rest.split("\n\\.", 1)[0] + "\n")


def by_query(of: Graph, applied: set[Migration], lines: list[str]) -> set[Migration]:
    """What is applied after the documented lines, each name completed as Django does; all must be there and clear."""
    for line in lines:
        app, prefix = line.split()[3:]
        names = [each.migration.name for each in of.nodes if each.migration.app == app]
        found = ["zero"] if prefix == "zero" else [name for name in names if name.startswith(prefix)]
        assert len(found) == 1, f"{line} is not clear"
        applied = executed(of, applied, app, found[0])
    return applied


def test_real_flagsmith_against_the_documented_query(database: Database) -> None:
    """On the rows of v2.265.0 both lead to v2.240.0; where its squashed row came late, the query undoes history."""
    if not FLAGSMITH.is_dir():
        pytest.skip("the data of Flagsmith is not here")
    of = flagsmith_graph(json.loads(gzip.decompress((FLAGSMITH / "v2.265.0-graph.json.gz").read_bytes())))
    recorded, applied = (applied_in(FLAGSMITH / f"{version}.sql.gz") for version in ("v2.240.0", "v2.265.0"))
    connection = database.connect()
    load_rows(connection)
    since = datetime(2026, 11, 22, 0, 20, tzinfo=UTC)
    documented = documented_lines(connection, since)
    assert by_query(of, set(applied), documented) == set(recorded)
    ours = lines_back(WAY, recorded, applied, of)
    now = set(applied)
    for line in ours.lines:
        now = executed(of, now, line.app, line.target)
    assert now == set(recorded)
    assert (len(documented), len(ours.lines)) == (26, 25)

    # A database that is older than the squashed migration: its row is of the day on which Django first saw it whole,
    # here that of a deploy with no other migration of the app.
    squashed = next(key for key in of.replaced if key.app == "features")
    newest = Migration("features", "0067_add_feature_state_mv_hashing_salt")
    connection.execute("DELETE FROM django_migrations WHERE (app, name) = (%s, %s)", newest)
    connection.execute("UPDATE django_migrations SET applied = %s WHERE (app, name) = (%s, %s)", (since, *squashed))
    documented = documented_lines(connection, since)
    assert "python manage.py migrate features 0010" in documented
    undone = set(recorded) - by_query(of, set(applied) - {newest}, ["python manage.py migrate features 0010"])
    assert len(undone) > 60
    late = [*(each for each in recorded if each != squashed)]
    ours = lines_back(WAY, late, [each for each in applied if each != newest], of)
    assert (ours.staying, {line.app for line in ours.lines} & {"features"}) == ((squashed,), set())
