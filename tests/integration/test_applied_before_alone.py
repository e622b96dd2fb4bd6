"""`--applied-before` without any snapshot: unapplying alone, its losses still told, and only what is known proven."""

import pytest

from tests.fix_deploys import UNAPPLY, Deploys, names, refusal, steps
from tests.fix_projects import TEXT, Node, Project, add_field, create_model, migration, remove_field, run_sql
from tests.integration.moments import FIRST, SECOND, Dated

INITIAL: Node = ("flags", "0001_initial")
COLOUR: Node = ("flags", "0002_colour")
LATE = "2024-05-08 12:00:00"
ACCEPT = ("--on-loss", "accept")
NARROWED = ("type_narrowed", "public.sorts_sort.f", 1, "archived")
CAST = ("type_cast", "public.sorts_sort.f", None, "lost")


@pytest.fixture
def dated(deploys: Deploys, project: Project) -> Dated:
    """A first deploy, with a table and rows."""
    dated = Dated(deploys)
    fields = {"name": TEXT, "size": TEXT, "note": "models.CharField(max_length=9, null=True)"}
    project.app("flags", {"0001_initial": migration(create_model("Flag", **fields), initial=True)})
    dated.deploy(FIRST)
    deploys.database.execute("INSERT INTO flags_flag (name, size, note) VALUES ('a', 'large', NULL), ('b', '', 'x')")
    return dated


def second(dated: Dated, *operations: str, applied: str = SECOND, **attributes: object) -> None:
    """A second deploy, of one migration."""
    project = dated.deploys.project
    attributes = {"dependencies": [INITIAL], **attributes}
    project.migration("flags", "0002_colour", *operations, **attributes)
    dated.deploy(applied)


def losses(dated: Dated, time: str = SECOND) -> set[tuple[str, str, int | None, str]]:
    """What the plan says that unapplying costs."""
    found = dated.plan(time, *ACCEPT)["losses"]
    assert {each["route"] for each in found} <= {"unapply"}
    return {(each["kind"], each["object"], each["rows"], each["remedy"]) for each in found}


def test_back_to_what_was_applied_before(deploys: Deploys, dated: Dated) -> None:
    schema = deploys.schema()
    second(dated, add_field("Flag", "colour"), create_model("Tag", name=TEXT))
    deploys.database.execute("UPDATE flags_flag SET colour = 'red'; INSERT INTO flags_tag (name) VALUES ('t')")
    assert dated.text(SECOND)[:2] == [
        f"unapply 1 migration, back to what was applied before {SECOND} UTC: nothing is lost",
        "no snapshot recorded that state: nothing can be refilled or restored, and the schema is not compared",
    ]
    assert losses(dated) == {
        ("column_dropped", "public.flags_flag.colour", 2, "archived"),
        ("table_dropped", "public.flags_tag", 1, "archived"),
    }
    ended = dated.rollback(SECOND)
    assert (deploys.schema(), deploys.names()) == (schema, {"flags.0001_initial"})
    first, proven, behind, archived, command = ended.out.splitlines()
    assert first.startswith(f"back to what was applied before {SECOND} UTC: unapplied 1 migration in ")
    assert proven == "proven: the applied migrations; the schema was not recorded, so it was not compared"
    assert behind == "rows of the deploy that stayed behind, such as permissions, were not looked for"
    archive = command.split()[-1]
    assert archive.startswith("applied-before-20240507T095537.123456Z-archive-")
    assert archive in archived

    again = dated.rollback(SECOND, "--json").json
    assert (again["route"], again["verified"], again["proven"]) == (None, False, ["migrations"])
    assert dated.text(SECOND)[0] == f"nothing to do: the applied migrations are what was applied before {SECOND} UTC"

    deploys.deploy()
    deploys.flagsnap.within("refill", "--from", archive)
    assert deploys.database.rows("SELECT name, colour FROM flags_flag") == [("a", "red"), ("b", "red")]
    assert deploys.database.rows("SELECT name FROM flags_tag") == [("t",)]


def test_what_the_deploy_destroyed_is_a_loss_of_unknown_size(deploys: Deploys, project: Project, dated: Dated) -> None:
    project.app("tags", {"0001_initial": migration(create_model("Tag", name=TEXT), initial=True)})
    dated.deploy(FIRST)
    project.migration("tags", "0002_gone", "migrations.DeleteModel('Tag')", dependencies=[("tags", "0001_initial")])
    second(
        dated,
        remove_field("Flag", "size"),
        "migrations.AlterField('Flag', 'note', models.CharField(max_length=9, default='-'))",
        add_field("Flag", "passing"),
        remove_field("Flag", "passing"),
    )
    lost = {
        ("column_emptied", "public.flags_flag.size", None, "lost"),
        ("table_emptied", "public.tags_tag", None, "lost"),
        ("type_cast", "public.flags_flag.note", 1, "lost"),
    }
    assert losses(dated) == lost
    with deploys.untouched():
        ended = dated.rollback(SECOND, code=4)
    assert "public.flags_flag.size (rows unknown)" in refusal(ended).error
    assert "--on-loss accept" in refusal(ended).hint
    assert "restore" not in refusal(ended).hint
    assert dated.plan(SECOND)["refused"]
    dated.rollback(SECOND, *ACCEPT)
    assert deploys.names() == {"flags.0001_initial", "tags.0001_initial"}


@pytest.mark.parametrize(
    ("before", "after", "value", "lost"),
    [
        ("CharField(max_length=3)", "TextField()", "'longer'", {NARROWED}),
        ("SmallIntegerField(default=1)", "BigIntegerField(default=1)", "7", set()),
        # what the deploy has cut, nobody can tell
        ("DecimalField(max_digits=9, decimal_places=2)", "FloatField()", "0.125", {NARROWED, CAST}),
        ("IntegerField(default=1)", "IntegerField(null=True)", "NULL", {NARROWED}),
        ("TimeField()", "TimeField(null=True, help_text='x')", "'10:00'", set()),
        ("CharField(max_length=9)", "CharField(max_length=9, help_text='x')", "'longer'", set()),
    ],
)
def test_a_type_that_the_project_tells_of(
    deploys: Deploys, dated: Dated, before: str, after: str, value: str, lost: object
) -> None:
    """Nothing recorded the type before; Django's state of the models has it."""
    altered(dated, before, after)
    deploys.database.execute(f"INSERT INTO sorts_sort (f) VALUES ({value})")
    assert losses(dated) == lost


def test_a_type_that_the_values_have_outgrown(deploys: Deploys, dated: Dated) -> None:
    altered(dated, "CharField(max_length=3)", "CharField(max_length=9)")
    deploys.database.execute("INSERT INTO sorts_sort (f) VALUES ('longer')")
    said = dated.refused(SECOND)
    assert "the reverse of the type change of public.sorts_sort.f fails" in said.error
    assert said.hint.startswith("change the rows, or restore a backup of your own")


def altered(dated: Dated, before: str, after: str) -> None:
    """An app with a field that a second deploy has altered."""
    project = dated.deploys.project
    project.app("sorts", {"0001_initial": migration(create_model("Sort", f=f"models.{before}"), initial=True)})
    dated.deploy(FIRST)
    alter = f"migrations.AlterField('Sort', 'f', models.{after})"
    project.migration("sorts", "0002_altered", alter, dependencies=[("sorts", "0001_initial")])
    dated.deploy(SECOND)


def test_a_type_that_nobody_knows(deploys: Deploys, dated: Dated, project: Project) -> None:
    project.app("tags", {"0001_initial": migration(create_model("Tag", name=TEXT), initial=True)})
    dated.deploy(FIRST)
    reference = add_field("Flag", "tag", "models.ForeignKey('tags.Tag', models.CASCADE, null=True, db_column='tag')")
    project.migration("flags", "0001_more", reference, dependencies=[INITIAL, ("tags", "0001_initial")])
    dated.deploy(FIRST)
    second(
        dated,
        "migrations.AlterField('Flag', 'tag', models.IntegerField(null=True))",
        run_sql("ALTER TABLE flags_flag ALTER name TYPE text", "ALTER TABLE flags_flag ALTER name TYPE varchar(100)"),
        dependencies=[("flags", "0001_more")],
    )
    assert {each for each in losses(dated) if each[2] is None} == {
        ("type_narrowed", "public.flags_flag.tag", None, "lost"),
        ("ran_forward", "ALTER TABLE flags_flag ALTER name TYPE text", None, "lost"),
        ("statement_unknown", "flags.0002_colour: ALTER … TYPE", None, "lost"),
    }


def test_renamed_things_are_followed(deploys: Deploys, dated: Dated) -> None:
    schema = deploys.schema()
    second(
        dated,
        "migrations.RenameField('Flag', 'name', 'title')",
        "migrations.RenameModel('Flag', 'Switch')",
        add_field("Switch", "colour"),
        "migrations.RenameField('Switch', 'colour', 'shade')",
        remove_field("Switch", "size"),
    )
    deploys.database.execute("UPDATE flags_switch SET shade = 'red' WHERE title = 'a'")
    assert losses(dated) == {
        ("column_dropped", "public.flags_switch.shade", 1, "archived"),
        ("column_emptied", "public.flags_flag.size", None, "lost"),
    }
    dated.rollback(SECOND, *ACCEPT)
    assert deploys.schema() == schema


def test_a_squashed_row_of_the_deploy_is_bookkeeping(deploys: Deploys, project: Project, dated: Dated) -> None:
    """The documented query would unapply what it replaces, with all that stands on that."""
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=[INITIAL])
    dated.deploy(SECOND)
    schema = deploys.schema()
    squashed = "0001_squashed_0002_colour"
    model = create_model("Flag", name=TEXT, size=TEXT, note="models.CharField(max_length=9, null=True)", colour=TEXT)
    project.migration("flags", squashed, model, replaces=[INITIAL, COLOUR], initial=True)
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR])
    dated.deploy(LATE)
    plan = dated.plan(LATE)
    assert (plan["to"], steps(plan), names(plan["bookkeeping"])) == (
        None,
        [(True, ["flags.0003_label"])],
        [f"flags.{squashed}"],
    )
    dated.rollback(LATE)
    assert deploys.schema() == schema
    assert deploys.names() == {"flags.0001_initial", "flags.0002_colour"}


def test_a_squashed_row_that_no_longer_says_what_it_replaces(deploys: Deploys, project: Project, dated: Dated) -> None:
    """Its date is that of the deploy, and what it stands for is older: to unapply it would drop the table."""
    squashed = "0001_squashed_0002_colour"
    model = create_model("Flag", name=TEXT, size=TEXT, note="models.CharField(max_length=9, null=True)")
    project.migration("flags", squashed, model, replaces=[INITIAL], initial=True)
    dated.deploy(SECOND)
    project.migration("flags", squashed, model, initial=True)
    project.remove("flags", "0001_initial")
    project.app("tags", {"0001_initial": migration(create_model("Tag", name=TEXT), initial=True)})
    dated.deploy(SECOND)
    dated.date("0001_initial", FIRST)
    project.migrate("flags", "--prune")
    said = dated.refused(SECOND)
    assert said.error.endswith(
        f"older migrations are no longer in the code, and may be what is squashed in flags.{squashed}"
    )


def test_what_stays_depends_on_what_goes(project: Project, dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"))
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR])
    dated.deploy(SECOND)
    dated.date("0003_label", FIRST)
    said = dated.refused(SECOND)
    assert said.error == (
        "cannot roll back by unapply: flags.0003_label was applied before that time and depends on flags.0002_colour,"
        " which was not"
    )
    assert said.hint == "restore a backup of your own: no snapshot recorded that state"


def test_a_time_within_a_deploy(deploys: Deploys, project: Project, dated: Dated) -> None:
    """Done as asked, and said."""
    second(dated, add_field("Flag", "colour"))
    for number, (name, second_) in enumerate((("0003_label", 40), ("0004_hue", 43)), 2):
        before = ("flags", ("0002_colour", "0003_label")[number - 2])
        project.migration("flags", name, add_field("Flag", name[5:]), dependencies=[before])
        dated.deploy(f"2024-05-07 09:55:{second_}")
    lines = dated.text("2024-05-07T09:55:43Z")
    assert lines[2] == (
        "that time lies within a deploy: 2 of the 3 migrations that were applied from 2024-05-07 09:55:37 UTC on stay"
    )
    plan = dated.plan("2024-05-07 11:55:38 Europe/Berlin")
    assert names(plan["extra"]) == ["flags.0003_label", "flags.0004_hue"]
    assert plan["within_deploy"] == {"began": "2024-05-07T09:55:37.123456+00:00", "stay": 1, "total": 3}
    assert dated.plan("2024-05-07 09:55:37")["within_deploy"] is None
    dated.rollback("2024-05-07 09:55:40.000001")
    assert deploys.names() == {"flags.0001_initial", "flags.0002_colour", "flags.0003_label"}


def test_rows_have_microseconds_and_people_type_seconds(dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"))
    for time in ("2024-05-07 09:55:37", "2024-05-07 09:55:37.123456", "2024-05-07T11:55:37+02:00"):
        assert names(dated.plan(time)["extra"]) == ["flags.0002_colour"], time
    for time in ("2024-05-07 09:55:38", "2024-05-07 09:55:37.123457", "2024-05-07 11:55:38 Europe/Berlin"):
        assert dated.plan(time)["route"] is None, time


def test_the_lines_to_run_by_hand(deploys: Deploys, project: Project, dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"))
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR])
    dated.deploy(LATE)
    ended = deploys.flagsnap.within("plan", "--commands", "--applied-before", LATE)
    assert "python manage.py migrate flags 0002_colour" in ended.out.splitlines()


def test_rows_of_a_clock_that_is_ahead(dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"), applied="2999-01-01 00:00:00.5")
    assert names(dated.plan("2999-01-01 00:00:00.5")["extra"]) == ["flags.0002_colour"]
    assert "lies ahead" in dated.refused("2999-01-01 00:00:01").error


def test_a_deploy_in_the_hour_that_the_clocks_show_twice(dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"), applied="2024-10-27 00:30:00")
    project = dated.deploys.project
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR])
    dated.deploy("2024-10-27 01:30:00")
    said = dated.refused("2024-10-27 02:30 Europe/Berlin")
    assert said.error == "the clocks of Europe/Berlin show twice 2024-10-27 02:30:00"
    assert said.hint == 'say which is meant: "2024-10-27 00:30:00 UTC" or "2024-10-27 01:30:00 UTC"'
    extra = {time: names(dated.plan(time)["extra"]) for time in ("2024-10-27 00:30:00 UTC", "2024-10-27 02:30+01:00")}
    assert list(extra.values()) == [["flags.0002_colour", "flags.0003_label"], ["flags.0003_label"]]
    assert dated.plan("2024-10-27 03:30 Europe/Berlin")["route"] is None


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["2024-05-06 07:08:09"], "no migration was applied before 2024-05-06 07:08:09 UTC: the first, ", "later time"),
        (["2024-05-05"], "the first, flags.0001_initial, was at 2024-05-06 07:08:09 UTC", "flagsnap history"),
        (["2999-01-01"], "2999-01-01 00:00:00 UTC lies ahead", "now"),
        (["last deploy"], "'last deploy' is not a time", "2026-11-22 09:55:37"),
        ([SECOND, "--to", "v2"], "name the state to go back to", "--applied-before"),
        ([SECOND, "--to-running", "v2"], "name the state to go back to", "--applied-before"),
        ([SECOND, "--tidy"], "--tidy compares with a snapshot, and none recorded that state", "leave out --tidy"),
        ([SECOND, "--strategy", "replay"], "cannot roll back by replay: no snapshot recorded that state", "unapply"),
        ([SECOND, "--strategy", "restore"], "cannot roll back by restore: no snapshot recorded", "flagsnap list"),
        ([SECOND, "--in-place"], "", ""),
    ],
)
def test_what_makes_no_sense(dated: Dated, arguments: list[str], error: str, hint: str) -> None:
    second(dated, add_field("Flag", "colour"))
    if not error:
        assert dated.plan(*arguments)["route"] == "unapply"
        return
    said = dated.refused(*arguments)
    assert error in said.error
    assert hint in said.hint


def test_nothing_was_ever_migrated(deploys: Deploys) -> None:
    said = refusal(deploys.flagsnap.within("plan", "--applied-before", SECOND, code=2))
    assert said.error.startswith("no migration is recorded in ")


def test_without_the_project_there_is_no_way(deploys: Deploys, dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"))
    deploys.flagsnap.environment["FLAGSNAP_MANAGE"] = ""
    said = dated.refused(SECOND)
    assert said.error == "cannot roll back by unapply: no project was named"
    assert said.hint.endswith(", or restore a backup of your own: no snapshot recorded that state")
    deploys.flagsnap.environment["FLAGSNAP_MANAGE"] = "false"
    for options in ((), UNAPPLY):
        said = dated.refused(SECOND, *options, code=1 if options else 2)
        assert "--strategy restore" not in said.hint


def test_the_project_fails_half_way(deploys: Deploys, project: Project, dated: Dated) -> None:
    """Nobody is told to take a snapshot that is not there; the same command goes on."""
    project.migration(
        "flags", "0002_colour", run_sql("SELECT 1", "SELECT 1 / count(*) FROM mended"), dependencies=[INITIAL]
    )
    project.migration("flags", "0003_label", add_field("Flag", "label"), dependencies=[COLOUR], atomic=False)
    deploys.database.execute("CREATE TABLE mended (id int)")
    dated.deploy(SECOND)
    said = refusal(dated.rollback(SECOND, *ACCEPT, code=7))
    assert said.error.startswith("stopped half-way: 1 of 2 extra migrations are unapplied")
    assert "restore" not in said.hint
    assert "the same command then goes on from there" in said.hint
    deploys.database.execute("INSERT INTO mended VALUES (1)")
    dated.rollback(SECOND, *ACCEPT)
    assert deploys.names() == {"flags.0001_initial"}


def test_a_dry_run_changes_nothing(deploys: Deploys, dated: Dated) -> None:
    second(dated, add_field("Flag", "colour"))
    with deploys.untouched():
        ended = dated.rollback(SECOND, "--dry-run")
    assert ended.out.splitlines()[0].startswith("unapply 1 migration, back to what was applied before")
    assert deploys.flagsnap.files() == []
