"""The matrix: tables of odd shapes, with columns dropped and added."""

from tests.fix_projects import run_sql
from tests.integration.matrix import Case


def drop(table: str, column: str, definition: str) -> str:
    """The operation that drops a column, and whose reverse adds it."""
    return run_sql(f"ALTER TABLE {table} DROP COLUMN {column}", f"ALTER TABLE {table} ADD COLUMN {column} {definition}")


def add(table: str, column: str, definition: str) -> str:
    """The operation that adds a column, and whose reverse drops it."""
    return run_sql(f"ALTER TABLE {table} ADD COLUMN {column} {definition}", f"ALTER TABLE {table} DROP COLUMN {column}")


def shape(name: str, create: str, deploy: tuple[str, ...], fill: str, write: str = "", **others: object) -> Case:
    """A case on tables made by SQL."""
    return Case(name, (run_sql(create),), deploy, fill, write, **others)  # type: ignore[arg-type]  # checked there


PAIRS = "CREATE TABLE pairs (a int, b text, c text, PRIMARY KEY (b, a))"
FILL_PAIRS = "INSERT INTO pairs SELECT n, 'b' || n % 2, 'c' || n FROM generate_series(1, 6) AS n"
WRITE_PAIRS = "DELETE FROM pairs WHERE a = 1; INSERT INTO pairs (a, b) VALUES (9, 'b')"
POINTS = (
    "CREATE TABLE points (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, "
    "twice int GENERATED ALWAYS AS (x * 2) STORED)"
)
CASES = (
    shape(
        "type_that_the_deploy_narrows",
        "CREATE TABLE notes (id int PRIMARY KEY, note varchar(20))",
        (
            run_sql(
                "ALTER TABLE notes ALTER COLUMN note TYPE varchar(4) USING left(note, 4)",
                "ALTER TABLE notes ALTER COLUMN note TYPE varchar(20)",
            ),
        ),
        "INSERT INTO notes VALUES (1, 'long note'), (2, 'note'), (3, 'another'), (4, 'deleted')",
        "UPDATE notes SET note = 'new' WHERE id = 3; DELETE FROM notes WHERE id = 4",
        losses={("type_cast", "public.notes.note"): (4, "refilled")},
    ),
    shape(
        "type_that_the_reverse_narrows",
        "CREATE TABLE notes (id int PRIMARY KEY, note varchar(4))",
        (
            run_sql(
                "ALTER TABLE notes ALTER COLUMN note TYPE varchar(20)",
                "ALTER TABLE notes ALTER COLUMN note TYPE varchar(4) USING left(note, 4)",
            ),
        ),
        "INSERT INTO notes VALUES (1, 'old'), (2, 'note')",
        "UPDATE notes SET note = 'a long note' WHERE id = 1; INSERT INTO notes VALUES (3, 'a new note'), (4, 'new')",
        losses={("type_narrowed", "public.notes.note"): (2, "archived")},
        stays=("public.notes: note of 3 is a ne, not a new note",),
    ),
    shape(
        "key_of_two_columns_and_a_dropped_column",
        PAIRS,
        (drop("pairs", "c", "text"),),
        FILL_PAIRS,
        WRITE_PAIRS,
        losses={("column_emptied", "public.pairs.c"): (6, "refilled")},
    ),
    shape(
        "key_of_two_columns_and_an_added_column",
        PAIRS,
        (add("pairs", "d", "text"),),
        FILL_PAIRS,
        f"{WRITE_PAIRS}; UPDATE pairs SET d = 'd' WHERE a > 4",
        losses={("column_dropped", "public.pairs.d"): (3, "archived")},
    ),
    shape(
        "key_of_uuids",
        "CREATE TABLE things (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, note text)",
        (drop("things", "name", "text"), add("things", "title", "text NOT NULL DEFAULT 'none'")),
        "INSERT INTO things (name) SELECT 'thing ' || n FROM generate_series(1, 5) AS n",
        "UPDATE things SET title = 'new'; INSERT INTO things (note) VALUES ('new')",
        losses={
            ("column_emptied", "public.things.name"): (5, "refilled"),
            ("column_dropped", "public.things.title"): (5, "archived"),
        },
        defaults={"public.things.title": "none"},
    ),
    shape(
        "no_key_and_a_dropped_table",
        "CREATE TABLE log (at int, line text)",
        (run_sql("DROP TABLE log", "CREATE TABLE log (at int, line text)"),),
        "INSERT INTO log VALUES (1, 'a'), (1, 'a'), (2, NULL)",
        losses={("table_emptied", "public.log"): (3, "refilled")},
    ),
    shape(
        "no_key_and_a_created_table",
        "CREATE TABLE other (id int PRIMARY KEY)",
        (run_sql("CREATE TABLE log (at int, line text)", "DROP TABLE log"),),
        "INSERT INTO other VALUES (1)",
        "INSERT INTO log VALUES (1, 'a'), (1, 'a'), (2, NULL)",
        losses={("table_dropped", "public.log"): (3, "archived")},
    ),
    shape(
        "no_key_and_a_dropped_column",
        "CREATE TABLE log (at int, line text)",
        (drop("log", "line", "text"),),
        "INSERT INTO log VALUES (1, 'a'), (2, 'b')",
        losses={("column_emptied", "public.log.line"): (2, "lost")},
        stays=(
            "public.log: no row 1, a",
            "public.log: no row 2, b",
            "public.log: new row 1, None",
            "public.log: new row 2, None",
        ),
    ),
    shape(
        "no_key_and_an_added_column",
        "CREATE TABLE log (at int, line text)",
        (add("log", "level", "int"),),
        "INSERT INTO log VALUES (1, 'a'), (2, 'b')",
        "UPDATE log SET level = 3 WHERE at = 1",
        losses={("column_dropped", "public.log.level"): (1, "lost")},
    ),
    shape(
        "enums_arrays_and_json",
        """
        CREATE TYPE mood AS ENUM ('sad', 'it''s "fine"');
        CREATE TABLE people (id int PRIMARY KEY, mood mood, moods mood[], words text[], data jsonb, raw bytea)
        """,
        (
            run_sql(
                "ALTER TABLE people DROP COLUMN mood, DROP COLUMN moods, DROP COLUMN words, "
                "DROP COLUMN data, DROP COLUMN raw",
                "ALTER TABLE people ADD COLUMN mood mood, ADD COLUMN moods mood[], ADD COLUMN words text[], "
                "ADD COLUMN data jsonb, ADD COLUMN raw bytea",
            ),
        ),
        r"""
        INSERT INTO people VALUES
            (1, 'it''s "fine"', '{sad,"it''s \"fine\""}', '{a,NULL,"b,c"}', '{"a": [1]}', '\x00ff'),
            (2, NULL, '{}', NULL, 'null', NULL)
        """,
        losses={
            ("column_emptied", f"public.people.{column}"): (2, "refilled")
            for column in ("mood", "moods", "words", "data", "raw")
        },
    ),
    shape(
        "table_that_points_to_itself",
        "CREATE TABLE other (id int PRIMARY KEY)",
        (
            run_sql(
                "CREATE TABLE tree (id int PRIMARY KEY, parent int NOT NULL REFERENCES tree, name text)",
                "DROP TABLE tree",
            ),
        ),
        "INSERT INTO other VALUES (1)",
        "INSERT INTO tree VALUES (3, 1, 'c'), (1, 2, 'a'), (2, 2, 'b')",
        losses={("table_dropped", "public.tree"): (3, "archived")},
    ),
    shape(
        "identity_and_generated_columns",
        POINTS,
        (
            run_sql(
                "DROP TABLE points",
                POINTS,
            ),
        ),
        "INSERT INTO points (x) SELECT n FROM generate_series(1, 5) AS n; DELETE FROM points WHERE id = 2",
        losses={("table_emptied", "public.points"): (4, "refilled")},
    ),
    shape(
        "dropped_identity_and_generated_columns",
        "CREATE TABLE points (id int PRIMARY KEY, x int, n int GENERATED BY DEFAULT AS IDENTITY, "
        "twice int GENERATED ALWAYS AS (x * 2) STORED)",
        (
            drop("points", "twice", "int GENERATED ALWAYS AS (x * 2) STORED"),
            drop("points", "n", "int GENERATED BY DEFAULT AS IDENTITY"),
        ),
        "INSERT INTO points (id, x, n) SELECT n, n, n * 100 FROM generate_series(1, 3) AS n",
        losses={("column_emptied", "public.points.n"): (3, "refilled")},
    ),
    shape(
        "partitions",
        """
        CREATE TABLE events (id int, at int, name text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (0) TO (10);
        CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (10) TO (20)
        """,
        (drop("events", "name", "text"),),
        "INSERT INTO events SELECT n, n, 'event ' || n FROM generate_series(5, 14) AS n",
        "DELETE FROM events WHERE id = 5; INSERT INTO events VALUES (15, 15)",
        losses={
            ("column_emptied", "public.events_old.name"): (5, "refilled"),
            ("column_emptied", "public.events_new.name"): (5, "refilled"),
        },
    ),
    shape(
        "names_that_must_be_quoted",
        'CREATE TABLE "Odd ""table" ("Key" int PRIMARY KEY, "a ""column" text, "select" text)',
        (
            drop('"Odd ""table"', '"a ""column"', "text"),
            add('"Odd ""table"', '"from"', "text"),
        ),
        'INSERT INTO "Odd ""table" VALUES (1, $$a$$, $$b$$), (2, $$c$$, NULL)',
        'UPDATE "Odd ""table" SET "from" = $$x$$ WHERE "Key" = 1',
        losses={
            ("column_emptied", 'public.Odd "table.a "column'): (2, "refilled"),
            ("column_dropped", 'public.Odd "table.from'): (1, "archived"),
        },
    ),
)
