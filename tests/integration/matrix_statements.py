"""The matrix: RunSQL and RunPython, as people write them."""

from tests.fix_projects import NUMBER, TEXT, add_field, create_model, remove_field, run_sql
from tests.integration.matrix import Case
from tests.integration.matrix_operations import FILL, FLAG, WRITE, WRITE_NAME, flag

NOOP = "migrations.RunSQL.noop"
OLD = create_model("Old", name=TEXT)
FILL_OLD = "INSERT INTO flags_old (name) VALUES ('a'), ('b'), ('c');"
CODE = "migrations.RunPython(forward, back)"

SQL = (
    flag(
        "sql_insert_and_delete",
        run_sql(
            "INSERT INTO flags_flag (name, size) VALUES ('made', 1), ('made', 2)",
            "DELETE FROM flags_flag WHERE name = 'made'",
        ),
        write="INSERT INTO flags_flag (name, size) VALUES ('made', 3);",
        losses={("rows_deleted", "public.flags_flag"): (3, "archived")},
        stays=("public.flags_flag: no row 8",),
        again=("public.flags_flag: new row 10", "public.flags_flag: new row 9"),
    ),
    flag(
        "sql_update_and_update",
        run_sql(
            "UPDATE flags_flag SET size = size + 10 WHERE size < 10",
            "UPDATE flags_flag SET size = size - 10 WHERE size > 10",
        ),
        losses={("rows_updated", "public.flags_flag"): (3, "archived")},
        again=("public.flags_flag: size of 5 is 19, not 9",),
    ),
    flag(
        "sql_delete_with_a_condition",
        run_sql("SELECT 1", "DELETE FROM flags_flag WHERE size > 3"),
        losses={("rows_deleted", "public.flags_flag"): (2, "archived")},
        stays=("public.flags_flag: no row 4", "public.flags_flag: no row 5"),
    ),
    Case(
        "sql_reverse_truncates",
        (FLAG, OLD),
        (run_sql("INSERT INTO flags_old (name) VALUES ('made')", "TRUNCATE flags_old"),),
        FILL + FILL_OLD,
        WRITE + "INSERT INTO flags_old (name) VALUES ('new');",
        losses={("rows_deleted", "public.flags_old"): (5, "archived")},
        stays=tuple(f"public.flags_old: no row {number}" for number in (1, 2, 3, 5)),
        again=("public.flags_old: new row 6",),
    ),
    Case(
        "sql_truncates_and_its_reverse_does_nothing",
        (FLAG, OLD),
        (run_sql("TRUNCATE flags_old", ""),),
        FILL + FILL_OLD,
        WRITE,
        losses={("reverse_does_nothing", "flags.0002_deploy"): (None, "kept")},
        stays=tuple(f"public.flags_old: no row {number}" for number in (1, 2, 3)),
    ),
    Case(
        "sql_renames_a_column",
        (FLAG,),
        (
            run_sql(
                "ALTER TABLE flags_flag RENAME COLUMN name TO title",
                "ALTER TABLE flags_flag RENAME COLUMN title TO name",
            ),
        ),
        FILL,
        WRITE.replace("name", "title"),
    ),
    Case(
        "sql_drops_a_column",
        (FLAG,),
        (
            run_sql(
                "ALTER TABLE flags_flag DROP COLUMN size",
                "ALTER TABLE flags_flag ADD COLUMN size integer NOT NULL DEFAULT 0;"
                "ALTER TABLE flags_flag ALTER COLUMN size DROP DEFAULT",
            ),
        ),
        FILL,
        WRITE_NAME,
        losses={("column_emptied", "public.flags_flag.size"): (4, "refilled")},
    ),
    Case(
        "sql_drops_a_table",
        (FLAG, run_sql("CREATE TABLE flags_by_hand (id serial PRIMARY KEY, name text)", "DROP TABLE flags_by_hand")),
        (run_sql("DROP TABLE flags_by_hand", "CREATE TABLE flags_by_hand (id serial PRIMARY KEY, name text)"),),
        FILL + "INSERT INTO flags_by_hand (name) VALUES ('a'), ('b');",
        WRITE,
        losses={("table_emptied", "public.flags_by_hand"): (2, "refilled")},
    ),
    flag(
        "sql_do_block",
        run_sql("SELECT 1", "DO $$ BEGIN DELETE FROM flags_flag WHERE size > 3; END $$"),
        losses={("rows_deleted", "public.flags_flag"): (2, "archived")},
        stays=("public.flags_flag: no row 4", "public.flags_flag: no row 5"),
    ),
    flag(
        "sql_do_block_that_nobody_can_read",
        run_sql("SELECT 1", "DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'flags_flag WHERE size > 3'; END $$"),
        losses={
            ("statement_unknown", "flags.0002_deploy: EXECUTE 'DELETE FROM ' || 'flags_flag WHERE size > 3'"): (
                None,
                "lost",
            )
        },
        unknown={("rows", "public.flags_flag"): 2},
        stays=("public.flags_flag: no row 4", "public.flags_flag: no row 5"),
    ),
    flag(
        "sql_reverse_does_nothing",
        f"migrations.RunSQL(\"UPDATE flags_flag SET name = 'x' WHERE id = 1\", {NOOP})",
        losses={("reverse_does_nothing", "flags.0002_deploy"): (None, "kept")},
        stays=("public.flags_flag: name of 1 is x, not flag 1",),
    ),
    flag("sql_without_a_reverse", run_sql("SELECT 1"), closed="irreversible: flags.0002_deploy"),
    flag(
        "sql_creates_a_view",
        run_sql("CREATE VIEW flags_view AS SELECT * FROM flags_flag", "DROP VIEW flags_view"),
    ),
    flag(
        "sql_creates_a_table",
        run_sql("CREATE TABLE flags_by_hand (id serial PRIMARY KEY, name text)", "DROP TABLE flags_by_hand"),
        write="INSERT INTO flags_by_hand (name) VALUES ('a'), ('b');",
        losses={("table_dropped", "public.flags_by_hand"): (2, "archived")},
    ),
)
PYTHON = (
    flag(
        "code_whose_reverse_does_nothing",
        "migrations.RunPython(forward, migrations.RunPython.noop)",
        imports="""
def forward(apps, editor):
    apps.get_model("flags", "Flag").objects.filter(size=1).update(name="x")
""",
        losses={("reverse_does_nothing", "flags.0002_deploy"): (None, "kept")},
        stays=("public.flags_flag: name of 1 is x, not flag 1",),
    ),
    flag(
        "code_with_a_reverse",
        CODE,
        imports="""
def forward(apps, editor):
    apps.get_model("flags", "Flag").objects.filter(size__lt=10).update(size=models.F("size") + 10)

def back(apps, editor):
    apps.get_model("flags", "Flag").objects.filter(size__gt=10).update(size=models.F("size") - 10)
""",
        losses={("reverse_runs_code", "flags.0002_deploy"): (None, "lost")},
        unknown={("changed", "public.flags_flag"): 3},
    ),
    flag(
        "code_without_a_reverse",
        "migrations.RunPython(migrations.RunPython.noop)",
        closed="irreversible: flags.0002_deploy",
    ),
    flag(
        "code_that_creates_rows",
        "migrations.RunPython(forward, migrations.RunPython.noop)",
        imports="""
def forward(apps, editor):
    for name in ("flag 1", "made"):
        apps.get_model("flags", "Flag").objects.get_or_create(name=name)
""",
        losses={("reverse_does_nothing", "flags.0002_deploy"): (None, "kept")},
        stays=("public.flags_flag: new row 5",),
    ),
    Case(
        "code_that_moves_a_column",
        (FLAG,),
        (add_field("Flag", "title"), CODE, remove_field("Flag", "name")),
        FILL,
        WRITE.replace("name", "title"),
        imports="""
def forward(apps, editor):
    apps.get_model("flags", "Flag").objects.update(title=models.F("name"))

def back(apps, editor):
    apps.get_model("flags", "Flag").objects.update(name=models.F("title"))
""",
        losses={
            ("column_dropped", "public.flags_flag.title"): (4, "archived"),
            ("column_emptied", "public.flags_flag.name"): (4, "refilled"),
            ("reverse_runs_code", "flags.0002_deploy"): (None, "lost"),
        },
        defaults={"public.flags_flag.title": ""},
    ),
    Case(
        "code_that_splits_a_table",
        (FLAG,),
        (
            create_model("Size", flag='models.ForeignKey("flags.Flag", models.CASCADE)', size=NUMBER),
            "migrations.RunPython(forward, migrations.RunPython.noop)",
            remove_field("Flag", "size"),
        ),
        FILL,
        "INSERT INTO flags_flag (name) VALUES ('new'); INSERT INTO flags_size (flag_id, size) VALUES (5, 9)",
        imports="""
def forward(apps, editor):
    Size = apps.get_model("flags", "Size")
    for flag in apps.get_model("flags", "Flag").objects.order_by("id"):
        Size.objects.create(flag=flag, size=flag.size)
""",
        losses={
            ("table_dropped", "public.flags_size"): (5, "archived"),
            ("column_emptied", "public.flags_flag.size"): (4, "refilled"),
            ("reverse_does_nothing", "flags.0002_deploy"): (None, "kept"),
        },
    ),
    Case(
        "code_that_merges_tables",
        (FLAG, OLD),
        ("migrations.RunPython(forward, back)", "migrations.DeleteModel('Old')"),
        FILL + FILL_OLD,
        WRITE,
        imports="""
def forward(apps, editor):
    for old in apps.get_model("flags", "Old").objects.order_by("id"):
        apps.get_model("flags", "Flag").objects.create(name=old.name, size=100)

def back(apps, editor):
    for flag in apps.get_model("flags", "Flag").objects.filter(size=100).order_by("id"):
        apps.get_model("flags", "Old").objects.create(name=flag.name + " of the reverse")
        flag.delete()
""",
        losses={
            ("table_emptied", "public.flags_old"): (3, "refilled"),
            ("reverse_runs_code", "flags.0002_deploy"): (None, "lost"),
        },
        unknown={("rows", "public.flags_flag"): 3},
    ),
)
CASES = (*SQL, *PYTHON)
