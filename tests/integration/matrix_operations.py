"""The matrix: Django's operations on models, tables, indexes and constraints."""

from tests.fix_projects import NUMBER, TEXT, add_field, create_model, remove_field
from tests.integration.matrix import Case

FLAG = create_model("Flag", name=TEXT, size=NUMBER)
FILL = "INSERT INTO flags_flag (name, size) SELECT 'flag ' || n, n FROM generate_series(1, 4) AS n;"
WRITE = """
    INSERT INTO flags_flag (name, size) VALUES ('new', 9);
    UPDATE flags_flag SET name = 'mended' WHERE id = 2;
    DELETE FROM flags_flag WHERE id = 3;
"""
WRITE_NAME = WRITE.replace(", size", "").replace(", 9", "")
TO_FLAG = 'models.ForeignKey("flags.Flag", models.CASCADE, null=True)'
TO_SELF = 'models.ForeignKey("self", models.CASCADE, null=True)'
TREE = create_model("Node", name=TEXT, parent=TO_SELF, flag=TO_FLAG)
FILL_TREE = """
    INSERT INTO flags_node (name, parent_id, flag_id) VALUES ('root', NULL, 1), ('twig', 3, 2), ('branch', 1, NULL);
"""
TAGGED = create_model("Tag", name=TEXT), create_model("Flag", name=TEXT, tags='models.ManyToManyField("flags.Tag")')
FILL_TAGGED = """
    INSERT INTO flags_flag (name) SELECT 'flag ' || n FROM generate_series(1, 4) AS n;
    INSERT INTO flags_tag (name) VALUES ('a'), ('b');
    INSERT INTO flags_flag_tags (flag_id, tag_id) VALUES (1, 1), (1, 2), (2, 1), (4, 2);
"""


def flag(name: str, *deploy: str, fill: str = "", write: str = "", **others: object) -> Case:
    """A case on the table of flags, which people write to before and afterwards."""
    return Case(name, (FLAG,), deploy, FILL + fill, WRITE + write, **others)  # type: ignore[arg-type]  # checked there


CASES = (
    flag(
        "create_model",
        create_model("New", name=TEXT),
        write="INSERT INTO flags_new (name) VALUES ('a'), ('b'), ('c')",
        losses={("table_dropped", "public.flags_new"): (3, "archived")},
    ),
    flag("create_model_that_stays_empty", create_model("New", name=TEXT)),
    flag(
        "create_models_that_point_to_each_other",
        TREE,
        create_model("Leaf", node='models.ForeignKey("flags.Node", models.CASCADE)', name=TEXT),
        write=f"{FILL_TREE} INSERT INTO flags_leaf (name, node_id) SELECT name, id FROM flags_node",
        losses={
            ("table_dropped", "public.flags_node"): (3, "archived"),
            ("table_dropped", "public.flags_leaf"): (3, "archived"),
        },
    ),
    Case(
        "delete_model",
        (FLAG, create_model("Old", name=TEXT)),
        ("migrations.DeleteModel('Old')",),
        FILL + "INSERT INTO flags_old (name) VALUES ('a'), ('b'), ('c')",
        WRITE,
        losses={("table_emptied", "public.flags_old"): (3, "refilled")},
    ),
    Case(
        "delete_models_that_point_to_each_other",
        (FLAG, TREE, create_model("Leaf", node='models.ForeignKey("flags.Node", models.CASCADE)', name=TEXT)),
        ("migrations.DeleteModel('Leaf')", "migrations.DeleteModel('Node')"),
        f"{FILL} {FILL_TREE} INSERT INTO flags_leaf (name, node_id) SELECT name, id FROM flags_node",
        WRITE,
        losses={
            ("table_emptied", "public.flags_node"): (3, "refilled"),
            ("table_emptied", "public.flags_leaf"): (3, "refilled"),
        },
    ),
    Case(
        "delete_model_whose_rows_point_to_rows_that_people_delete_afterwards",
        (FLAG, TREE),
        ("migrations.DeleteModel('Node')",),
        FILL + FILL_TREE,
        "DELETE FROM flags_flag WHERE id = 1",
        losses={("table_emptied", "public.flags_node"): (3, "refilled")},
        stays=("public.flags_node: no row 1", "public.flags_node: no row 2", "public.flags_node: no row 3"),
    ),
    Case(
        "rename_model",
        TAGGED,
        ("migrations.RenameModel('Flag', 'Feature')", add_field("Feature", "size", NUMBER)),
        FILL_TAGGED,
        """
        UPDATE flags_feature SET name = 'mended', size = 3 WHERE id = 2;
        INSERT INTO flags_feature_tags (feature_id, tag_id) VALUES (2, 2);
        """,
        losses={("column_dropped", "public.flags_feature.size"): (1, "archived")},
        defaults={"public.flags_feature.size": "0"},
    ),
    Case(
        "rename_model_and_drop_a_column",
        TAGGED,
        ("migrations.RenameModel('Flag', 'Feature')", remove_field("Feature", "name")),
        FILL_TAGGED,
        "INSERT INTO flags_feature DEFAULT VALUES; DELETE FROM flags_feature WHERE id = 3",
        losses={("column_emptied", "public.flags_flag.name"): (4, "refilled")},
    ),
    Case(
        "alter_model_table",
        (FLAG,),
        ("migrations.AlterModelTable('Flag', 'all_flags')", remove_field("Flag", "size")),
        FILL,
        WRITE_NAME.replace("flags_flag", "all_flags"),
        losses={("column_emptied", "public.flags_flag.size"): (4, "refilled")},
    ),
    flag("alter_model_table_comment", "migrations.AlterModelTableComment('Flag', 'What can be switched')"),
    flag("alter_unique_together", "migrations.AlterUniqueTogether('Flag', {('name', 'size')})"),
    flag("alter_index_together", "migrations.AlterIndexTogether('Flag', {('name', 'size')})"),
    Case(
        "alter_order_with_respect_to",
        (FLAG, TREE),
        ("migrations.AlterOrderWithRespectTo('Node', 'flag')",),
        FILL + FILL_TREE,
        "UPDATE flags_node SET _order = 2 WHERE id = 2",
        losses={("column_dropped", "public.flags_node._order"): (1, "archived")},
        defaults={"public.flags_node._order": "0"},
    ),
    flag("alter_model_options", "migrations.AlterModelOptions('Flag', {'ordering': ['name']})"),
    flag("alter_model_managers", "migrations.AlterModelManagers('Flag', [('all_flags', models.Manager())])"),
    flag("add_index", "migrations.AddIndex('Flag', models.Index(fields=['name'], name='by_name'))"),
    Case(
        "remove_index",
        (FLAG, "migrations.AddIndex('Flag', models.Index(fields=['name'], name='by_name'))"),
        ("migrations.RemoveIndex('Flag', 'by_name')",),
        FILL,
        WRITE,
    ),
    Case(
        "rename_index",
        (FLAG, "migrations.AddIndex('Flag', models.Index(fields=['name'], name='by_name'))"),
        ("migrations.RenameIndex('Flag', new_name='by_its_name', old_name='by_name')",),
        FILL,
        WRITE,
    ),
    flag(
        "add_constraint",
        "migrations.AddConstraint('Flag', models.CheckConstraint(condition=models.Q(size__gte=0), name='positive'))",
    ),
    Case(
        "remove_constraint",
        (FLAG, "migrations.AddConstraint('Flag', models.UniqueConstraint(fields=['name'], name='one_name'))"),
        ("migrations.RemoveConstraint('Flag', 'one_name')",),
        FILL,
        WRITE,
    ),
    flag(
        "add_index_concurrently",
        "AddIndexConcurrently('Flag', models.Index(fields=['name'], name='by_name'))",
        imports="from django.contrib.postgres.operations import AddIndexConcurrently\n",
        atomic=False,
    ),
    flag(
        "separate_database_and_state",
        """migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(
                "ALTER TABLE flags_flag ADD COLUMN colour text",
                "ALTER TABLE flags_flag DROP COLUMN colour",
            )],
            [migrations.AddField("Flag", "colour", models.TextField(null=True))],
        )""",
        write="UPDATE flags_flag SET colour = 'red' WHERE id <= 2",
        losses={("column_dropped", "public.flags_flag.colour"): (2, "archived")},
    ),
    Case(
        "separate_database_and_state_that_renames_a_model_by_hand",
        (FLAG,),
        (
            """migrations.SeparateDatabaseAndState(
                [migrations.RunSQL(
                    "ALTER TABLE flags_flag RENAME TO flags_feature",
                    "ALTER TABLE flags_feature RENAME TO flags_flag",
                )],
                [migrations.RenameModel("Flag", "Feature")],
            )""",
        ),
        FILL,
        WRITE.replace("flags_flag", "flags_feature"),
    ),
)
