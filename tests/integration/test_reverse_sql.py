"""What a plan says that reverse SQL would take, counted on real rows."""

from tests.fix_deploys import Deploys
from tests.fix_projects import NUMBER, TEXT, Project, create_model, run_sql

REVERSE = {
    "all": "DELETE FROM flags_gone",
    "some": "DELETE FROM ONLY public.\"flags_flag\" AS f WHERE f.size > 7 AND lower(f.name) LIKE '%1%' -- ten",
    "several": "SET LOCAL jit = off; UPDATE flags_tag SET size = 0 WHERE size < 3; DELETE FROM flags_tag WHERE id = 1",
    "cte": "WITH gone AS (DELETE FROM flags_tag WHERE id = 2 RETURNING id) SELECT count(*) FROM gone",
    "block": "DO $$ BEGIN UPDATE flags_old SET name = '' WHERE name <> ''; END $$",
    "anew": "DROP TABLE flags_anew; CREATE TABLE flags_anew (id int PRIMARY KEY)",
    "cascade": "DELETE FROM flags_parent WHERE id <= 2",
    "nothing": "UPDATE flags_gone SET size = 3 WHERE size = 3000; INSERT INTO flags_tag (name) VALUES ('new')",
    "bookkeeping": "DELETE FROM django_migrations WHERE app = 'flags' AND name = 'none'",
    "unknown": "SELECT pg_stat_reset()",
    "broken": "DELETE FROM flags_flag WHERE no_column = 1",
}


def test_reverse_sql_is_counted(deploys: Deploys, project: Project) -> None:
    project.app("flags")
    models = [create_model(name, name=TEXT, size=NUMBER) for name in ("Flag", "Tag", "Gone", "Old")]
    tables = run_sql(
        "CREATE TABLE flags_anew (id int PRIMARY KEY); CREATE TABLE flags_parent (id int PRIMARY KEY);"
        "CREATE TABLE flags_child (id int PRIMARY KEY, parent int REFERENCES flags_parent ON DELETE CASCADE)"
    )
    project.migration("flags", "first", *models, tables)
    deploys.capture()
    last = "first"
    for name, sql in REVERSE.items():
        project.migration("flags", name, run_sql("SELECT 1", sql), dependencies=[("flags", last)])
        last = name
    deploys.deploy()
    for table in ("flag", "tag", "gone", "old"):
        deploys.database.execute(
            f"INSERT INTO flags_{table} (name, size) SELECT 'row ' || n, n FROM generate_series(1, 12) AS n"
        )
    deploys.database.execute(
        "INSERT INTO flags_anew VALUES (1), (2); INSERT INTO flags_parent VALUES (1), (2), (3);"
        "INSERT INTO flags_child SELECT n, 1 + n % 3 FROM generate_series(1, 9) AS n"
    )
    losses = [each for each in deploys.plan("--archive", "none")["losses"] if each["route"] == "unapply"]
    assert sorted((each["kind"], each["object"], each["rows"]) for each in losses if each["rows"] is not None) == [
        ("rows_deleted", "public.flags_anew", 2),
        ("rows_deleted", "public.flags_child", 6),
        ("rows_deleted", "public.flags_flag", 3),
        ("rows_deleted", "public.flags_gone", 12),
        ("rows_deleted", "public.flags_parent", 2),
        ("rows_deleted", "public.flags_tag", 1),
        ("rows_deleted", "public.flags_tag", 1),
        ("rows_updated", "public.flags_old", 12),
        ("rows_updated", "public.flags_tag", 2),
    ]
    assert sorted((each["kind"], each["object"]) for each in losses if each["rows"] is None) == [
        ("rows_deleted", "public.flags_flag"),
        ("statement_unknown", "flags.unknown: SELECT pg_stat_reset()"),
    ]
    assert {each["remedy"] for each in losses} == {"lost"}
    remedies = {each["object"]: each["remedy"] for each in deploys.plan()["losses"] if each["route"] == "unapply"}
    assert remedies["public.flags_gone"] == remedies["public.flags_parent"] == "archived"
    assert remedies["public.flags_child"] == "lost"
