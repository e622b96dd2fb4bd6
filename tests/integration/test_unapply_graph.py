"""Unapplying takes back exactly the extra migrations, in an order that their graph allows."""

from itertools import pairwise

import pytest

from tests.fix_deploys import Deploys, names, steps
from tests.fix_projects import AUTH, CONTENT_TYPES, NUMBER, TEXT, Node, Project, add_field, create_model
from tests.fix_servers import ALL_MAJORS

CONCURRENTLY = "from django.contrib.postgres.operations import AddIndexConcurrently"
USER_MODEL = """
from django.contrib.auth.models import AbstractUser

class User(AbstractUser):
    pass
"""
CREATE_USER = """migrations.CreateModel("User", [
            ("id", models.BigAutoField(primary_key=True)),
            ("username", models.CharField(max_length=150, unique=True)),
            ("groups", models.ManyToManyField("auth.Group", related_name="user_set")),
            ("user_permissions", models.ManyToManyField("auth.Permission", related_name="user_set")),
        ])"""


def chain(project: Project, app: str, *names: str) -> None:
    """Add migrations to an app, each on the last one: the first creates a model, the others add a column."""
    if app not in project.apps:
        project.app(app)
    last = list(project.apps[app].migrations)[-1:]
    for name in names:
        operation = add_field("Thing", f"by_{name}") if last else create_model("Thing", name=TEXT)
        project.migration(app, name, operation, dependencies=[(app, each) for each in last])
        last = [name]


def test_names_say_nothing(deploys: Deploys, project: Project) -> None:
    apps = {
        "two_of_one_number": (["0001_initial", "0002_left"], ["0002_right", "0003_top"]),
        "gaps": (["0001_initial", "0004_gap"], ["0009_wider", "0100_widest"]),
        "no_numbers": (["initial", "zebra"], ["aardvark", "2nd_thoughts"]),
        "backwards": (["0002_a", "0003_b"], ["0001_c", "0000_d"]),
        "new": ([], ["0001_initial", "0002_more"]),
        "untouched": (["0001_initial", "0009_last"], []),
    }
    for app, (recorded, _) in apps.items():
        chain(project, app, *recorded)
    deploys.capture()
    for app, (_, extra) in apps.items():
        chain(project, app, *extra)
    deploys.deploy()
    plan = deploys.back()
    ((atomic, unapplied),) = steps(plan)
    assert atomic
    for app, (_, extra) in apps.items():
        of_app = [name for name in unapplied if name.startswith(f"{app}.")]
        assert of_app == [f"{app}.{name}" for name in reversed(extra)]
    assert set(names(plan["extra"])) == set(unapplied)
    assert plan["bookkeeping"] == []


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_two_leaves_merged_later(deploys: Deploys, project: Project) -> None:
    chain(project, "flags", "0001_initial", "0002_left")
    deploys.capture()
    project.migration("flags", "0002_right", add_field("Thing", "right"), dependencies=[("flags", "0001_initial")])
    both = [("flags", "0002_left"), ("flags", "0002_right")]
    project.migration("flags", "0003_merge", dependencies=both)
    chain(project, "flags", "0004_after")
    deploys.deploy()
    plan = deploys.back()
    assert steps(plan) == [(True, ["flags.0004_after", "flags.0003_merge", "flags.0002_right"])]


def test_dependencies_across_apps_and_run_before(deploys: Deploys, project: Project) -> None:
    chain(project, "flags", "0001_initial")
    chain(project, "users", "0001_initial")
    deploys.capture()
    flag = 'models.ForeignKey("flags.Thing", models.CASCADE, null=True)'
    user = 'models.ForeignKey("users.Thing", models.CASCADE, null=True)'
    project.migration(
        "flags", "0002_owner", add_field("Thing", "owner", user), dependencies=[first("flags"), first("users")]
    )
    project.migration(
        "users",
        "0002_favourite",
        add_field("Thing", "favourite", flag),
        dependencies=[first("users"), ("flags", "0002_owner")],
    )
    # Must run before the others, though nothing in their own files says so, and its name comes last.
    project.app("zones")
    project.migration("zones", "0001_initial", create_model("Zone"), run_before=[("flags", "0002_owner")])
    project.migration(
        "zones",
        "0002_of",
        add_field("Zone", "of", user),
        dependencies=[("zones", "0001_initial"), ("users", "0002_favourite")],
    )
    deploys.deploy()
    plan = deploys.back()
    assert steps(plan) == [
        (True, ["zones.0002_of", "users.0002_favourite", "flags.0002_owner", "zones.0001_initial"]),
    ]


def first(app: str) -> Node:
    """An app's first migration."""
    return (app, "0001_initial")


def test_a_label_that_differs_from_the_folder(deploys: Deploys, project: Project) -> None:
    project.app("flags", folder="services.flag_store")
    chain(project, "flags", "0001_initial")
    deploys.capture()
    chain(project, "flags", "0002_more")
    deploys.deploy()
    assert steps(deploys.back()) == [(True, ["flags.0002_more"])]


def test_a_migration_that_is_not_atomic_makes_segments(deploys: Deploys, project: Project) -> None:
    chain(project, "flags", "0001_initial")
    deploys.capture()
    chain(project, "flags", "0002_a", "0003_b")
    project.migration(
        "flags",
        "0004_index",
        'AddIndexConcurrently("Thing", models.Index(fields=["name"], name="by_name"))',
        dependencies=[("flags", "0003_b")],
        atomic=False,
        imports=CONCURRENTLY,
    )
    project.migration(
        "flags",
        "0005_index",
        'AddIndexConcurrently("Thing", models.Index(fields=["-name"], name="by_name_down"))',
        dependencies=[("flags", "0004_index")],
        atomic=False,
        imports=CONCURRENTLY,
    )
    chain(project, "flags", "0006_c")
    deploys.deploy()
    plan = deploys.back()
    assert steps(plan) == [
        (True, ["flags.0006_c"]),
        (False, ["flags.0005_index"]),
        (False, ["flags.0004_index"]),
        (True, ["flags.0003_b", "flags.0002_a"]),
    ]


def test_djangos_own_apps_under_a_user_model_of_the_projects(deploys: Deploys, project: Project) -> None:
    project.install(CONTENT_TYPES, AUTH, AUTH_USER_MODEL="users.User")
    project.app("users", models=USER_MODEL)
    project.migration("users", "0001_initial", CREATE_USER, dependencies=[("auth", "0001_initial")])
    deploys.project.write()
    for target in (("contenttypes", "0001"), ("auth", "0005")):
        project.migrate(*target)
    deploys.capture("v2", "users", "0001")
    assert set(project.applied()) >= {("contenttypes", "0001_initial"), ("users", "0001_initial")}
    project.migration(
        "users",
        "0002_age",
        add_field("User", "age", NUMBER),
        dependencies=[("users", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")],
    )
    deploys.deploy()
    deploys.database.execute("INSERT INTO users_user (username, age) VALUES ('ada', 36)")
    plan = deploys.back()
    ((atomic, unapplied),) = steps(plan)
    assert atomic
    assert unapplied[0] == "users.0002_age"
    assert {"contenttypes.0002_remove_content_type_name", "auth.0006_require_contenttypes_0002"} <= set(unapplied)
    of_auth = [name for name in unapplied if name.startswith("auth.")]
    assert all(newer > older for newer, older in pairwise(of_auth))
    assert deploys.database.rows("SELECT username FROM users_user") == [("ada",)]


def test_two_deploys_are_taken_back_one_by_one_or_at_once(deploys: Deploys, project: Project) -> None:
    chain(project, "flags", "0001_initial")
    deploys.capture("v2")
    chain(project, "flags", "0002_two")
    deploys.capture("v3")
    chain(project, "flags", "0003_three")
    deploys.capture("v4")
    chain(project, "flags", "0004_four")
    deploys.deploy()
    deploys.rollback("--strategy", "unapply", "--on-loss", "accept", to="latest")
    deploys.assert_back("v4")
    deploys.flagsnap("rollback", "--to-running", "v2", "--on-loss", "refuse")
    deploys.assert_back("v3")
    deploys.deploy()
    plan = deploys.back(to="v2")
    assert steps(plan) == [(True, ["flags.0004_four", "flags.0003_three", "flags.0002_two"])]
    again = deploys.back(to="v2")
    assert (again["route"], again["steps"], again["extra"]) == (None, [], [])
