"""Types that a deploy has changed: what the recorded type cannot carry, told before, and what Django then does."""

import pytest

from tests.fix_deploys import Deploys
from tests.fix_projects import NUMBER, TEXT, Project, run_sql
from tests.fix_servers import ALL_MAJORS
from tests.integration.test_losses import FIRST, flags, losses


def alter(field: str, source: str) -> str:
    return f"migrations.AlterField('Flag', {field!r}, {source})"


def reverse(deploys: Deploys) -> str:
    """What Django says when it goes back by itself, and cannot."""
    done = deploys.project.try_manage("migrate", "flags", "0001")
    assert done.returncode == 1
    return done.stderr


def test_what_a_narrower_type_cuts(deploys: Deploys, project: Project) -> None:
    decimal = "models.DecimalField(max_digits=9, decimal_places={}, null=True)"
    flags(project, free=TEXT, price=decimal.format(2), day="models.DateField(null=True)", count=NUMBER)
    deploys.capture()
    project.migration(
        "flags",
        "0002_wider",
        alter("free", "models.TextField(default='')"),
        alter("price", decimal.format(4)),
        alter("day", "models.DateTimeField(null=True)"),
        alter("count", "models.FloatField(default=0)"),
        alter("name", "models.CharField(max_length=200, default='', null=True)"),
        dependencies=FIRST,
    )
    deploys.deploy()
    deploys.database.execute(
        """
        INSERT INTO flags_flag (name, free, price, day, count) VALUES
            ('a', repeat('f', 101), 1.2345, '2024-05-06 07:08Z', 1.5),
            ('b', repeat('é', 100), 1.23, '2024-05-06 00:00Z', 2),
            (NULL, '', 99999.991, NULL, -3.25)
        """
    )
    plan = deploys.plan("--strategy", "unapply")
    assert losses(plan) == {
        "public.flags_flag.free": ("type_narrowed", 1),
        "public.flags_flag.price": ("type_narrowed", 2),
        "public.flags_flag.day": ("type_narrowed", 1),
        "public.flags_flag.count": ("type_narrowed", 2),
        "public.flags_flag.name": ("type_narrowed", 1),
    }
    assert {each["remedy"] for each in plan["losses"] if each["route"] == "unapply"} == {"archived"}
    deploys.back()
    assert deploys.database.rows(
        "SELECT name, length(free), price::text, day::text, count FROM flags_flag ORDER BY id"
    ) == [
        ("a", 100, "1.23", "2024-05-06", 2),
        ("b", 100, "1.23", "2024-05-06", 2),
        ("", 0, "99999.99", None, -3),
    ]


@pytest.mark.parametrize(
    ("source", "other", "values", "reason"),
    [
        (NUMBER, "models.BigIntegerField(default=0)", "5000000000, -2147483649, 7", "no integer in 2 rows"),
        (
            TEXT, "models.CharField(max_length=200, default='')", "repeat('n', 101), repeat('n', 100), ''",
            "no character varying(100) in 1 row",
        ),
        (NUMBER, "models.CharField(max_length=9, default='')", "'x', '1', '1.5'", "no integer in 2 rows"),
        (
            "models.DecimalField(max_digits=5, decimal_places=2, default=0)",
            "models.DecimalField(max_digits=9, decimal_places=2, default=0)", "1000, 999.99, -1000",
            "no numeric(5,2) in 2 rows",
        ),
        ("models.UUIDField(default=None)", "models.TextField(default='')", "'x', gen_random_uuid()::text, ''",
         "no uuid in 2 rows"),
    ],
)  # fmt: skip
def test_what_a_narrower_type_refuses_closes_the_route(
    deploys: Deploys, project: Project, source: str, other: str, values: str, reason: str
) -> None:
    flags(project, code=source)
    deploys.capture()
    project.migration("flags", "0002_other", alter("code", other), dependencies=FIRST)
    deploys.deploy()
    deploys.database.execute(f"INSERT INTO flags_flag (name, code) SELECT '', v FROM unnest(ARRAY[{values}]) AS v")
    said = deploys.refused()
    assert said.error == (
        f"cannot roll back by unapply: the reverse of the type change of public.flags_flag.code fails: {reason}"
    )
    assert said.hint == "change the rows, or --strategy restore takes the snapshot instead"
    assert deploys.plan()["route"] == "restore"
    with deploys.untouched():
        assert "django.db.utils.DataError" in reverse(deploys)


def test_a_column_that_cannot_come_back_among_rows_closes_the_route(deploys: Deploys, project: Project) -> None:
    """The deploy dropped a column that may not be NULL and has no default."""
    flags(project, size="models.IntegerField()")
    deploys.capture()
    project.migration("flags", "0002_less", "migrations.RemoveField('Flag', 'size')", dependencies=FIRST)
    deploys.deploy()
    deploys.back()
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name) SELECT '' FROM generate_series(1, 5)")
    assert deploys.refused().error == (
        "cannot roll back by unapply: the reverse adds public.flags_flag.size NOT NULL without a default,"
        " and the table has 5 rows"
    )
    with deploys.untouched():
        assert "contains null values" in reverse(deploys)


def test_values_that_the_deploy_cut_come_back(deploys: Deploys, project: Project) -> None:
    """Those of rows that nobody has touched since."""
    flags(project, code="models.TextField(default='')")
    deploys.deploy()
    deploys.database.execute(
        "INSERT INTO flags_flag (name, code) SELECT '', repeat('x', n) FROM generate_series(4, 7) AS n"
    )
    deploys.capture()
    project.migration(
        "flags", "0002_short", alter("code", "models.CharField(max_length=5, default='')"), dependencies=FIRST
    )
    deploys.deploy()
    deploys.database.execute("UPDATE flags_flag SET code = 'new' WHERE id = 4")
    plan = deploys.plan()
    assert losses(plan) == {"public.flags_flag.code": ("type_cast", 4)}
    told = [(each["remedy"], each["at_most"]) for each in plan["losses"] if each["route"] == "unapply"]
    assert told == [("refilled", True)], "the deploy has cut two of the four"
    deploys.back()
    assert deploys.database.rows("SELECT code FROM flags_flag ORDER BY id") == [
        ("xxxx",),
        ("xxxxx",),
        ("xxxxxx",),
        ("new",),
    ]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_types_that_sql_changed(deploys: Deploys, project: Project) -> None:
    """The project's own SQL casts as it likes, so what Django's cast would refuse is lost, and the route stays open."""
    flags(project, mood="models.TextField(default='')", code=NUMBER)
    project.migration(
        "flags",
        "0002_mood",
        run_sql("CREATE TYPE mood AS ENUM ('good', 'bad')", "DROP TYPE mood"),
        dependencies=FIRST,
    )
    deploys.capture()
    project.migration(
        "flags",
        "0003_types",
        run_sql(
            "ALTER TABLE flags_flag ALTER mood DROP DEFAULT, ALTER mood TYPE mood USING mood::mood,"
            " ALTER code TYPE bigint",
            "ALTER TABLE flags_flag ALTER mood TYPE text, ALTER code TYPE int USING least(code, 9)",
        ),
        dependencies=[("flags", "0002_mood")],
    )
    deploys.deploy()
    deploys.database.execute(
        "INSERT INTO flags_flag (name, mood, code) VALUES ('', 'good', 5), ('', 'bad', 5000000000)"
    )
    assert losses(deploys.plan()) == {"public.flags_flag.code": ("type_narrowed", 1)}
    deploys.back()
    assert deploys.database.rows("SELECT mood, code FROM flags_flag ORDER BY id") == [("good", 5), ("bad", 9)]
