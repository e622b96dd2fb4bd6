"""Deploys that leave rows behind when they are unapplied, and what is told of them."""

from tests.fix_deploys import UNAPPLY, Deploys
from tests.fix_projects import NUMBER, TEXT, Node, Project, create_model

Told = dict[str, tuple[int, int]]

FIRST: list[Node] = [("flags", "0001_initial")]
TAGS, FLAGS = "public.flags_tag", "public.flags_flag"
TYPES, PERMISSIONS = "public.django_content_type", "public.auth_permission"
OTHERS = "CREATE TABLE others (tag bigint REFERENCES flags_tag ON DELETE CASCADE)"
INSERT = "INSERT INTO flags_tag (name, colour, rank) VALUES ('sql', '', 0)"


def back(deploys: Deploys, *options: str) -> Told:
    """Roll back by unapplying; gives what stayed behind: by table the rows, and how many of them were removed."""
    ended = deploys.rollback(*UNAPPLY, "--json", *options)
    deploys.assert_back()
    return {each["table"]: (each["rows"], each["removed"]) for each in ended.json["leftovers"]}


def tags(project: Project) -> None:
    """An app with tags, whose names are unique, and flags that may have one."""
    project.app("flags")
    above = 'models.ForeignKey("flags.Tag", models.CASCADE, null=True)'
    name = "models.CharField(max_length=100, unique=True)"
    project.migration(
        "flags",
        "0001_initial",
        create_model("Tag", name=name, colour=TEXT, rank=NUMBER, above=above),
        create_model("Flag", name=TEXT, tag=above),
    )


def adds(project: Project, *lines: str, name: str = "0002_data", atomic: bool = True) -> None:
    """A migration that runs these lines, with `Tag` and `Flag` at hand, and whose reverse does nothing."""
    found = "Tag = apps.get_model('flags', 'Tag'); Flag = apps.get_model('flags', 'Flag')"
    body = "\n    ".join((found, *lines))
    last = list(project.apps["flags"].migrations)[-1]
    project.migration(
        "flags",
        name,
        "migrations.RunPython(forward, migrations.RunPython.noop)",
        dependencies=[("flags", last)],
        imports=f"\n\ndef forward(apps, editor):\n    {body}\n",
        atomic=atomic,
    )


def models(project: Project, *names: str) -> None:
    """The app's models as its code has them; its first migration makes `Old`."""
    source = "from django.db import models\n" + "".join(f"class {name}(models.Model): pass\n" for name in names)
    found = project.apps["flags"].migrations if "flags" in project.apps else {}
    project.app("flags", found, models=source)
    if not found:
        project.migration("flags", "0001_initial", create_model("Old"))


def names(deploys: Deploys) -> list[str]:
    """The tags that are there."""
    return [name for (name,) in deploys.database.rows('SELECT name FROM flags_tag ORDER BY name COLLATE "C"')]


def write(deploys: Deploys, *tags: str) -> None:
    """Users write tags, one transaction each."""
    for tag in tags:
        deploys.database.execute(f"INSERT INTO flags_tag (name, colour, rank) VALUES ('{tag}', '', 0)")
