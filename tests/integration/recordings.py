"""Ways back that are recorded, and replayed by hand on a copy of the database."""

import re
import subprocess
from dataclasses import dataclass, field

import psycopg
import pytest

from flagsnap.bridge.project import Project as Bridge
from flagsnap.bridge.project import UnapplyListener, UnapplyOrder
from flagsnap.migrations import Migration, difference, resolve
from flagsnap.rehearsal.recording import RecordedMigration, RecordedOperation, Session
from tests.fix_databases import Database
from tests.fix_projects import (
    TEXT,
    Node,
    Project,
    create_model,
    migration,
)

FIRST: Node = ("flags", "0001_initial")
SECOND: Node = ("flags", "0002_deploy")
NOOP = "migrations.RunPython.noop"
DRIVERS = pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])


@dataclass
class Way:
    """The way back as it was told, in order."""

    sessions: list[Session] = field(default_factory=list)
    migrations: list[RecordedMigration] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)

    @property
    def operations(self) -> list[RecordedOperation]:
        """Those of the only migration."""
        (only,) = self.migrations
        return list(only.operations)

    @property
    def operation(self) -> RecordedOperation:
        """The only one."""
        (only,) = self.operations
        return only


def ready(project: Project, driver: str = "psycopg", **fields: str) -> None:
    """Write and migrate an app with two models, one pointing to the other, with rows."""
    fields = {"name": TEXT, "tag": 'models.ForeignKey("flags.Tag", models.CASCADE, null=True)', **fields}
    create = create_model("Tag", name=TEXT), create_model("Flag", **fields)
    project.app("flags", {"0001_initial": migration(*create)})
    deploy(project, driver)
    project.database.execute(
        "INSERT INTO flags_tag (id, name) VALUES (1, 'one'), (2, '2%');"
        "INSERT INTO flags_flag (name, tag_id) SELECT 'flag', 1 FROM generate_series(1, 3)"
    )


def deploy(project: Project, driver: str = "psycopg") -> None:
    """Write and migrate; Django takes psycopg2 where psycopg cannot be had."""
    project.write()
    if driver == "psycopg2":
        project.preloaded = False
        manage = project.folder / "manage.py"
        manage.write_text(f"import sys\nsys.modules['psycopg'] = None\n{manage.read_text()}")
    project.migrate()


def back(project: Project, *, replay: bool = True) -> Way:
    """Unapply all but the first migration, recorded; what was recorded does the same to a copy."""
    database = project.database
    copy = Database(database.server, f"{database.name}_copy")
    with psycopg.connect(database.server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {copy.name} TEMPLATE {database.name}".encode())
    bridge = Bridge(project.manage_command, 60)
    applied = [Migration(*each) for each in project.applied()]
    recorded = [each for each in applied if each == FIRST or each.app != "flags"]
    graph = bridge.describe(recorded).graph
    segments = resolve(recorded, difference(recorded, applied), graph).segments
    order = UnapplyOrder(database.name, None, recorded, applied, segments, 1, 10_000, record=True)
    way = Way()
    listener = UnapplyListener(
        lambda _: None,
        lambda: None,
        lambda _: None,
        way.committed.append,
        way.sessions.append,
        way.migrations.append,
    )
    bridge.unapply(order, listener)
    if replay:
        replayed(way, copy)
        assert dump(copy) == dump(database)
    return way


def replayed(way: Way, copy: Database) -> None:
    """Run what was recorded."""
    (session,) = way.sessions
    for each in way.migrations:
        with psycopg.connect(copy.url, autocommit=not each.atomic) as connection:
            for name, value in session.settings.items():
                connection.execute("SELECT set_config(%s, %s, false)", [name, value])
            for operation in each.operations:
                for statement in operation.statements:
                    connection.execute(statement.encode())
            for row in each.rows:
                connection.execute("DELETE FROM django_migrations WHERE app = %s AND name = %s", row)


def dump(database: Database) -> str:
    """All that pg_dump prints."""
    argv = [str(database.server.bin_dir / "pg_dump"), "--dbname", database.url]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def code(body: str, project: Project, driver: str = "psycopg", *, atomic: bool = True, imports: str = "") -> None:
    """Deploy a migration whose reverse is this code."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    source = f"{imports}\ndef back(apps, schema_editor):\n    connection = schema_editor.connection\n{indented}\n"
    run = f"migrations.RunPython({NOOP}, back)"
    project.migration("flags", "0002_deploy", run, dependencies=[FIRST], imports=source, atomic=atomic)
    deploy(project, driver)
