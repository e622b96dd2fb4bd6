"""The matrix: Django's operations on fields."""

from tests.fix_projects import NUMBER, TEXT, add_field, create_model, remove_field
from tests.integration.matrix import Case, Losses
from tests.integration.matrix_operations import FILL, FILL_TAGGED, FLAG, TAGGED, TO_SELF, WRITE, WRITE_NAME, flag

WIDE = "models.CharField(max_length=100, default='')"
NARROW = "models.CharField(max_length=10, default='')"


def fill(colour: str, column: str = "colour") -> str:
    """Four flags, coloured by an expression of their number `n`."""
    return f"""
        INSERT INTO flags_flag (name, size, {column})
        SELECT 'flag ' || n, n, {colour} FROM generate_series(1, 4) AS n;
    """


def write(colour: str = "DEFAULT", column: str = "colour") -> str:
    """A new flag of that colour, one that is altered, one that is deleted."""
    return WRITE.replace("size) VALUES ('new', 9)", f"size, {column}) VALUES ('new', 9, {colour})")


def add(name: str, source: str, written: str, rows: int, *, column: str = "colour", **others: object) -> Case:
    """A case that adds a field `colour`, of which people then give `rows` rows another value than the default."""
    losses: Losses = {("column_dropped", f"public.flags_flag.{column}"): (rows, "archived")} if rows else {}
    operation = add_field("Flag", "colour", source)
    return Case(f"add_field_{name}", (FLAG,), (operation,), FILL, written, losses, **others)  # type: ignore[arg-type]


def remove(name: str, source: str, colour: str, *, column: str = "colour", **others: object) -> Case:
    """A case that removes a field `colour`, which has been filled."""
    return Case(
        f"remove_field_{name}",
        (create_model("Flag", name=TEXT, size=NUMBER, colour=source),),
        (remove_field("Flag", "colour"),),
        fill(colour, column),
        WRITE,
        losses={("column_emptied", f"public.flags_flag.{column}"): (4, "refilled")},
        **others,  # type: ignore[arg-type]  # checked there
    )


def alter(name: str, old: str, new: str, colour: str, written: str, **others: object) -> Case:
    """A case that alters a field `colour` from one source to another."""
    return Case(
        f"alter_field_{name}",
        (create_model("Flag", name=TEXT, size=NUMBER, colour=old),),
        (f"migrations.AlterField('Flag', 'colour', {new})",),
        fill(colour),
        written,
        **others,  # type: ignore[arg-type]  # checked there
    )


ADDED = (
    add(
        "with_a_default",
        TEXT,
        write("''") + "UPDATE flags_flag SET colour = 'red' WHERE id = 4",
        1,
        defaults={"public.flags_flag.colour": ""},
    ),
    add("null", "models.TextField(null=True)", write("''"), 1),
    add(
        "with_a_callable_default",
        "models.UUIDField(default=uuid.uuid4)",
        write("gen_random_uuid()"),
        4,
        imports="import uuid\n",
    ),
    add("foreign_key", TO_SELF, write("1", "colour_id"), 1, column="colour_id"),
    add("unique", "models.CharField(max_length=9, null=True, unique=True)", write("'red'"), 1),
    add(
        "with_a_default_of_the_database",
        "models.CharField(max_length=9, db_default='blue')",
        write() + "UPDATE flags_flag SET colour = 'red' WHERE id <= 2",
        2,
        defaults={"public.flags_flag.colour": "blue"},
    ),
    add(
        "generated",
        "models.GeneratedField(expression=models.F('size') + 1, output_field=models.IntegerField(), db_persist=True)",
        write(),
        0,
    ),
    flag(
        "add_field_many_to_many",
        create_model("Tag", name=TEXT),
        add_field("Flag", "tags", "models.ManyToManyField('flags.Tag')"),
        write="""
            INSERT INTO flags_tag (name) VALUES ('a'), ('b');
            INSERT INTO flags_flag_tags (flag_id, tag_id) VALUES (1, 1), (1, 2), (2, 1);
        """,
        losses={
            ("table_dropped", "public.flags_tag"): (2, "archived"),
            ("table_dropped", "public.flags_flag_tags"): (3, "archived"),
        },
    ),
)
REMOVED = (
    remove("null", "models.TextField(null=True)", "nullif('red ' || n, 'red 2')"),
    remove("with_a_default", TEXT, "'red ' || n"),
    remove("with_a_default_of_the_database", "models.CharField(max_length=9, db_default='blue')", "'red ' || n"),
    remove("foreign_key", TO_SELF, "nullif(n % 3, 0)", column="colour_id"),
    remove("unique", "models.CharField(max_length=9, null=True, unique=True)", "'red ' || n"),
    Case(
        "remove_field_not_null_without_a_default",
        (create_model("Flag", name=TEXT, size=NUMBER, colour="models.IntegerField()"),),
        (remove_field("Flag", "colour"),),
        fill("n"),
        WRITE,
        closed="adds public.flags_flag.colour NOT NULL without a default, and the table has 4 rows",
    ),
    Case(
        "remove_field_many_to_many",
        TAGGED,
        (remove_field("Flag", "tags"),),
        FILL_TAGGED,
        "INSERT INTO flags_flag (name) VALUES ('new'); DELETE FROM flags_flag WHERE id = 3",
        losses={("table_emptied", "public.flags_flag_tags"): (4, "refilled")},
    ),
    Case(
        "remove_field_generated",
        (
            create_model(
                "Flag",
                name=TEXT,
                size=NUMBER,
                next="models.GeneratedField(expression=models.F('size') + 1, output_field=models.IntegerField(), "
                "db_persist=True)",
            ),
        ),
        (remove_field("Flag", "next"),),
        FILL,
        WRITE,
    ),
)
ALTERED = (
    alter("that_widens", NARROW, WIDE, "'red'", write("'blue'")),
    alter(
        "that_widens_and_is_used",
        NARROW,
        WIDE,
        "'red'",
        write("'a colour that is long'") + "UPDATE flags_flag SET colour = 'a colour that is long' WHERE id = 1;",
        closed="public.flags_flag.colour fails: no character varying(10) in 2 rows",
    ),
    alter("that_narrows", WIDE, NARROW, "'red'", write("'blue'")),
    alter(
        "from_null_to_not_null",
        "models.CharField(max_length=9, null=True)",
        "models.CharField(max_length=9, default='none')",
        "nullif('red ' || n, 'red 1')",
        write("'blue'"),
        losses={("type_cast", "public.flags_flag.colour"): (1, "refilled")},
    ),
    alter(
        "from_not_null_to_null",
        NARROW,
        "models.CharField(max_length=10, null=True)",
        "'red'",
        write("'blue'") + "UPDATE flags_flag SET colour = NULL WHERE id = 1;",
        losses={("type_narrowed", "public.flags_flag.colour"): (1, "archived")},
    ),
    alter(
        "that_casts",
        TEXT,
        NUMBER,
        "'00' || n",
        write("7") + "UPDATE flags_flag SET colour = 77 WHERE id = 2;",
        losses={("type_cast", "public.flags_flag.colour"): (4, "refilled")},
    ),
    alter(
        "to_a_foreign_key",
        "models.BigIntegerField(null=True)",
        TO_SELF,
        "nullif(n % 3, 0)",
        write("4", "colour_id"),
    ),
    Case(
        "alter_field_that_renames_the_column",
        (FLAG,),
        ("migrations.AlterField('Flag', 'name', models.CharField(max_length=100, default='', db_column='title'))",),
        FILL,
        WRITE.replace("name", "title"),
    ),
    Case(
        "alter_field_primary_key_to_a_wider_type",
        (FLAG.replace("BigAutoField", "AutoField"),),
        ("migrations.AlterField('Flag', 'id', models.BigAutoField(primary_key=True))",),
        FILL,
        WRITE,
    ),
    Case(
        "rename_field",
        (FLAG,),
        ("migrations.RenameField('Flag', 'name', 'title')", remove_field("Flag", "size")),
        FILL,
        WRITE_NAME.replace("name", "title"),
        losses={("column_emptied", "public.flags_flag.size"): (4, "refilled")},
    ),
)
CASES = (*ADDED, *REMOVED, *ALTERED)
