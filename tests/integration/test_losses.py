"""What a plan says that a rollback would lose, counted on real rows."""

from typing import Any

from tests.fix_deploys import Deploys, refusal
from tests.fix_projects import NUMBER, TEXT, Node, Project, add_field, create_model, remove_field, run_sql

FIRST: list[Node] = [("flags", "0001_initial")]
TAGS = 'models.ManyToManyField("flags.Tag")'
NOOP = "migrations.RunPython(lambda apps, editor: apps.get_model('flags', 'Flag').objects.update(name='x'), {reverse})"


def losses(plan: dict[str, Any], route: str = "unapply") -> dict[str, tuple[str, int | None]]:
    """The losses of a route: kind and rows by object."""
    return {each["object"]: (each["kind"], each["rows"]) for each in plan["losses"] if each["route"] == route}


def flags(project: Project, **fields: str) -> None:
    """An app with a model `Flag`, and a `Tag` to point at."""
    project.app("flags")
    create = create_model("Tag", name=TEXT), create_model("Flag", name=TEXT, **fields)
    project.migration("flags", "0001_initial", *create)


def fill(deploys: Deploys, rows: int = 5) -> None:
    """Give `Flag` rows, each with a tag if flags have tags."""
    deploys.database.execute(f"INSERT INTO flags_flag (name) SELECT 'flag ' || n FROM generate_series(1, {rows}) AS n")


def test_added_columns_lose_what_is_not_their_default(deploys: Deploys, project: Project) -> None:
    flags(project)
    deploys.capture()
    fill(deploys)
    project.migration(
        "flags",
        "0002_columns",
        add_field("Flag", "colour", 'models.CharField(max_length=9, default="it\'s 50%")'),
        add_field("Flag", "weight", "models.DecimalField(max_digits=9, decimal_places=3, default=1.5)"),
        add_field("Flag", "on", "models.BooleanField(default=False)"),
        add_field("Flag", "rules", "models.JSONField(default=dict)"),
        add_field("Flag", "since", "models.DateTimeField(default=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))"),
        add_field("Flag", "age", "models.DurationField(default=datetime.timedelta(days=1, hours=2))"),
        add_field("Flag", "key", "models.UUIDField(default=uuid.uuid4)"),
        add_field("Flag", "tag", 'models.ForeignKey("flags.Tag", models.CASCADE, null=True)'),
        add_field("Flag", "untouched", 'models.CharField(max_length=9, db_default="x")'),
        dependencies=FIRST,
        imports="import datetime, uuid\n",
    )
    deploys.deploy()
    assert losses(deploys.plan()) == {"public.flags_flag.key": ("column_dropped", 5)}
    deploys.database.execute(
        """
        INSERT INTO flags_tag (id, name) VALUES (1, 'a');
        UPDATE flags_flag SET colour = 'red' WHERE id = 1;
        UPDATE flags_flag SET weight = 2 WHERE id <= 2;
        UPDATE flags_flag SET "on" = true, rules = '{"a": 1}' WHERE id <= 3;
        UPDATE flags_flag SET since = now(), age = '1 hour' WHERE id <= 4;
        UPDATE flags_flag SET tag_id = 1 WHERE id = 5
        """
    )
    assert losses(deploys.plan()) == {
        "public.flags_flag.colour": ("column_dropped", 1),
        "public.flags_flag.weight": ("column_dropped", 2),
        "public.flags_flag.on": ("column_dropped", 3),
        "public.flags_flag.rules": ("column_dropped", 3),
        "public.flags_flag.since": ("column_dropped", 4),
        "public.flags_flag.age": ("column_dropped", 4),
        "public.flags_flag.tag_id": ("column_dropped", 1),
        "public.flags_flag.key": ("column_dropped", 5),
    }


def test_tables_and_columns_that_go_or_come_back_empty(deploys: Deploys, project: Project) -> None:
    flags(project, colour=TEXT, note="models.TextField(null=True)")
    project.migration("flags", "0002_old", create_model("Old", name=TEXT), dependencies=FIRST)
    deploys.project.write()
    deploys.project.migrate()
    deploys.database.execute(
        "INSERT INTO flags_old (name) SELECT 'x' FROM generate_series(1, 3);"
        "INSERT INTO flags_flag (name, colour) SELECT 'x', 'red' FROM generate_series(1, 4)"
    )
    deploys.capture()
    project.migration(
        "flags",
        "0003_change",
        "migrations.DeleteModel('Old')",
        remove_field("Flag", "colour"),
        create_model("New", name=TEXT),
        create_model("Empty", name=TEXT),
        add_field("Flag", "tags", TAGS),
        dependencies=[("flags", "0002_old")],
    )
    deploys.deploy()
    deploys.database.execute(
        """
        INSERT INTO flags_new (name) SELECT 'x' FROM generate_series(1, 7);
        INSERT INTO flags_tag (id, name) VALUES (1, 'a');
        INSERT INTO flags_flag_tags (flag_id, tag_id) SELECT id, 1 FROM flags_flag WHERE id <= 2
        """
    )
    plan = deploys.plan()
    assert losses(plan) == {
        "public.flags_old": ("table_emptied", 3),
        "public.flags_flag.colour": ("column_emptied", 4),
        "public.flags_new": ("table_dropped", 7),
        "public.flags_flag_tags": ("table_dropped", 2),
    }
    restored = losses(plan, "restore")
    assert restored["public.flags_new"] == ("written_since", 7)
    assert restored["public.flags_tag"] == ("written_since", 1)
    deploys.back()


def test_a_rename_is_no_loss(deploys: Deploys, project: Project) -> None:
    """Neither of a field nor of a model, whose many-to-many tables change their names and columns with it."""
    flags(project, colour=TEXT, tags=TAGS, others='models.ManyToManyField("self")')
    project.migration(
        "flags",
        "0002_group",
        create_model(
            "Group",
            flags='models.ManyToManyField("flags.Flag")',
            main='models.ForeignKey("flags.Flag", models.CASCADE, null=True)',
        ),
        dependencies=FIRST,
    )
    deploys.project.write()
    deploys.project.migrate()
    deploys.database.execute(
        """
        INSERT INTO flags_flag (id, name, colour) SELECT n, 'flag', 'red' FROM generate_series(1, 5) AS n;
        INSERT INTO flags_tag (id, name) VALUES (1, 'a');
        INSERT INTO flags_group (id, main_id) VALUES (1, 1);
        INSERT INTO flags_flag_tags (flag_id, tag_id) SELECT id, 1 FROM flags_flag;
        INSERT INTO flags_flag_others (from_flag_id, to_flag_id) VALUES (1, 2), (2, 1);
        INSERT INTO flags_group_flags (group_id, flag_id) SELECT 1, id FROM flags_flag
        """
    )
    deploys.capture()
    project.migration(
        "flags",
        "0003_rename",
        "migrations.RenameField('Flag', 'colour', 'paint')",
        "migrations.RenameModel('Flag', 'Feature')",
        "migrations.RenameField('Feature', 'tags', 'labels')",
        "migrations.RenameField('Group', 'main', 'first')",
        "migrations.RenameModel('Tag', 'Label')",
        "migrations.AlterModelTable('Label', 'all_labels')",
        add_field("Feature", "weight", NUMBER),
        dependencies=[("flags", "0002_group")],
    )
    deploys.deploy()
    deploys.database.execute("UPDATE flags_feature SET weight = 3 WHERE id = 1")
    plan = deploys.plan()
    assert losses(plan) == {"public.flags_feature.weight": ("column_dropped", 1)}
    assert plan["kept"] == []
    deploys.back()
    assert deploys.database.rows("SELECT count(*) FROM flags_flag_tags WHERE flag_id > 0") == [(5,)]
    assert deploys.database.rows("SELECT count(*) FROM flags_flag WHERE colour = 'red'") == [(5,)]


def test_a_table_that_no_migration_made_is_kept(deploys: Deploys, project: Project) -> None:
    flags(project)
    deploys.capture()
    project.migration("flags", "0002_new", create_model("New", name=TEXT), dependencies=FIRST)
    project.migration(
        "flags",
        "0003_sql",
        run_sql("CREATE TABLE flags_summary (id int)", "DROP TABLE flags_summary"),
        dependencies=[("flags", "0002_new")],
    )
    deploys.deploy()
    deploys.database.execute(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        "CREATE FOREIGN TABLE far (n int) SERVER s;"
        "CREATE TABLE cache (key text); CREATE INDEX by_key ON cache (key); INSERT INTO cache VALUES ('x');"
        "INSERT INTO flags_summary VALUES (1), (2)"
    )
    plan = deploys.plan()
    assert [each["object"] for each in plan["kept"]] == ["s", "public.cache", "public.far"]
    assert losses(plan) == {"public.flags_summary": ("table_dropped", 2)}
    assert losses(plan, "restore") == {
        "public.flags_summary": ("written_since", 2),
        "public.cache": ("made_by_no_migration", 1),
    }
    ended = deploys.rollback()
    assert "public.cache" in ended.out
    assert deploys.database.rows("SELECT key FROM cache") == [("x",)]
    assert deploys.names() == {"flags.0001_initial"}
    assert deploys.plan()["route"] is None


def test_models_that_share_a_table_with_a_recorded_one(deploys: Deploys, project: Project) -> None:
    """Proxies, models that are not managed, and a model and a field that are deleted and made anew."""
    flags(project, tags=TAGS)
    deploys.deploy()
    fill(deploys, 3)
    deploys.database.execute("INSERT INTO flags_tag (name) VALUES ('a'), ('b')")
    deploys.capture()
    project.migration(
        "flags",
        "0002_models",
        create_model("Unmanaged", "{'managed': False, 'db_table': 'flags_flag'}", name=TEXT),
        "migrations.CreateModel('Proxy', [], options={'proxy': True}, bases=('flags.flag',))",
        "migrations.RenameModel('Unmanaged', 'Foreign')",
        "migrations.RenameModel('Proxy', 'Deputy')",
        "migrations.DeleteModel('Deputy')",
        "migrations.DeleteModel('Flag')",
        create_model("Flag", name=TEXT, tags=TAGS),
        remove_field("Tag", "name"),
        add_field("Tag", "name", NUMBER),
        dependencies=FIRST,
    )
    deploys.deploy()
    fill(deploys)
    deploys.database.execute("UPDATE flags_tag SET name = 1 WHERE id = 1")
    plan = deploys.plan("--strategy", "unapply")
    assert (plan["route"], plan["kept"]) == ("unapply", [])
    assert {(each["kind"], each["object"], each["rows"]) for each in plan["losses"] if each["route"] == "unapply"} == {
        ("table_emptied", "public.flags_flag", 3),
        ("table_dropped", "public.flags_flag", 5),
        ("column_emptied", "public.flags_tag.name", 2),
        ("column_dropped", "public.flags_tag.name", 1),
    }
    deploys.back()


def test_reverse_code_that_does_nothing_is_told(deploys: Deploys, project: Project) -> None:
    update = "'UPDATE flags_flag SET name = name'"
    does_nothing = {
        "noop": NOOP.format(reverse="migrations.RunPython.noop"),
        "empty": NOOP.format(reverse="lambda apps, editor: None"),
        "sql_noop": f"migrations.RunSQL({update}, migrations.RunSQL.noop)",
        "sql_empty": f"migrations.RunSQL({update}, '')",
        "sql_list": f"migrations.RunSQL({update}, [])",
        "inside": f"migrations.SeparateDatabaseAndState([migrations.RunSQL({update}, migrations.RunSQL.noop)])",
    }
    does_something = {
        "real": NOOP.format(reverse="lambda apps, editor: apps.get_model('flags', 'Flag').objects.update(name='y')"),
        "sql": f"migrations.RunSQL({update}, {update})",
    }
    nothing_to_do = {
        "both_noop": "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)",
        "both_sql_noop": "migrations.RunSQL(migrations.RunSQL.noop, migrations.RunSQL.noop)",
    }
    flags(project)
    deploys.capture()
    last = FIRST
    for name, operation in (does_nothing | does_something | nothing_to_do).items():
        project.migration("flags", name, operation, dependencies=last)
        last = [("flags", name)]
    deploys.deploy()
    told = {f"flags.{name}": ("reverse_does_nothing", None) for name in does_nothing}
    assert losses(deploys.plan()) == told | {"flags.real": ("reverse_runs_code", None)}


def test_consent(deploys: Deploys, project: Project) -> None:
    """Refused without it, also where nobody can be asked; `restore` takes the snapshot; `accept` goes ahead."""
    flags(project)
    deploys.capture()
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=FIRST)
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('new', 'red'), ('newer', '')")
    for options in (
        [],
        ["--on-loss", "ask"],
        ["--on-loss", "refuse"],
        ["--strategy", "unapply", "--on-loss", "restore"],
    ):
        with deploys.untouched():
            said = refusal(deploys.flagsnap("rollback", "--to", "v2", "--archive", "none", *options, code=4))
        assert "public.flags_flag.colour (1 row)" in said.error
        assert "--on-loss accept" in said.hint
        assert "--archive affected keeps a copy" in said.hint
    plan = deploys.plan("--on-loss", "restore", "--archive", "none")
    assert plan["route"] == "restore"
    assert plan["refused"] == ""
    ended = deploys.flagsnap("rollback", "--to", "v2", "--on-loss", "restore", "--archive", "none", "--json")
    assert ended.json["route"] == "restore"
    deploys.assert_back()
    assert deploys.database.rows("SELECT count(*) FROM flags_flag") == [(0,)]
    deploys.flagsnap("undo")
    assert deploys.database.rows("SELECT name, colour FROM flags_flag ORDER BY id") == [("new", "red"), ("newer", "")]
    plan = deploys.back("--on-loss", "accept")
    assert plan["route"] == "unapply"
    assert deploys.database.rows("SELECT name FROM flags_flag ORDER BY id") == [("new",), ("newer",)]


def test_what_is_archived_or_refilled_needs_no_consent(deploys: Deploys, project: Project) -> None:
    flags(project, colour=TEXT)
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name, colour) SELECT 'flag', 'red' FROM generate_series(1, 5)")
    deploys.capture()
    project.migration(
        "flags", "0002_size", add_field("Flag", "size"), remove_field("Flag", "colour"), dependencies=FIRST
    )
    deploys.deploy()
    deploys.database.execute("UPDATE flags_flag SET size = 'small' WHERE id <= 2")
    plan = deploys.plan("--on-loss", "restore")
    assert (plan["route"], plan["refused"]) == ("unapply", "")
    assert {each["object"]: each["remedy"] for each in plan["losses"] if each["route"] == "unapply"} == {
        "public.flags_flag.size": "archived",
        "public.flags_flag.colour": "refilled",
    }
    with deploys.untouched():
        said = refusal(deploys.flagsnap("rollback", "--to", "v2", "--no-refill", code=4))
    assert "public.flags_flag.colour (5 rows)" in said.error
    assert said.hint.startswith("without --no-refill the snapshot brings back what it has, --on-loss accept")


def test_no_loss_needs_no_consent(deploys: Deploys, project: Project) -> None:
    flags(project)
    deploys.capture()
    fill(deploys)
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=FIRST)
    deploys.deploy()
    plan = deploys.back("--on-loss", "restore")
    assert (plan["route"], losses(plan)) == ("unapply", {})
    assert losses(plan, "restore") == {"public.flags_flag": ("written_since", 5)}
