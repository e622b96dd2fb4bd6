"""A project that is redirected to a scratch database, and migrations that try to do what they may not."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql

from flagsnap.bridge.project import Project as Bridge
from flagsnap.bridge.project import Redirect
from flagsnap.migrations import Migration
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import TEXT, Node, create_model, migration

FIRST: Node = ("flags", "0001_initial")
NONCE = "flagsnap rehearsal 0123456789abcdef"
_STARTED = "SELECT extract(epoch FROM pg_postmaster_start_time())::text"
_TRY = """
from django.db import connection, connections, transaction


{functions}

def code(registry, schema_editor):
    global apps
    apps = registry
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE said (name text, words text)")
    for name, act_ in {table}:
        try:
            words = "done: %s" % (act_(),)
        except Exception as error:
            words = "%s: %s" % (type(error).__name__, str(error).split(chr(10))[0])
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO said VALUES (%s, %s)", [name, words])
"""


@dataclass
class Guarded:
    """A project with one applied migration, its live database, a scratch copy of it, and another database."""

    deploys: Deploys
    folder: Path
    nonce: str = NONCE
    aliases: dict[str, Any] = field(default_factory=dict)

    @property
    def live(self) -> Database:
        """The live database."""
        return self.deploys.database

    @property
    def scratch(self) -> Database:
        """Its copy."""
        return Database(self.live.server, f"{self.live.name}_scratch")

    @property
    def other(self) -> Database:
        """Another database of the server, with the table `notes`."""
        return Database(self.live.server, f"{self.live.name}_other")

    def begin(self) -> None:
        """Write the project, migrate, and make the other databases."""
        project = self.deploys.project
        project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
        self.aliases["default"] = self.settings(self.live)
        project.install(DATABASES=self.aliases)
        project.write()
        project.migrate()
        self.live.execute("INSERT INTO flags_flag (name) VALUES ('live')")
        self.other.create()
        self.other.execute("CREATE TABLE notes (text text); INSERT INTO notes VALUES ('kept')")
        self.copy()

    def copy(self) -> None:
        """Make the scratch database."""
        name, template = sql.Identifier(self.scratch.name), sql.Identifier(self.live.name)
        with self.live.connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, template))
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(self.nonce)))
        self.scratch.execute("UPDATE flags_flag SET name = 'scratch'")

    def settings(self, database: Database, **more: Any) -> dict[str, Any]:
        """An alias's settings."""
        url = database.server.url(database.name)
        user, _, address = url.removeprefix("postgresql://").partition("@")
        host, _, port = address.partition("/")[0].partition(":")
        name, _, password = user.partition(":")
        found = {"NAME": database.name, "USER": name, "PASSWORD": password, "HOST": host, "PORT": port}
        return {"ENGINE": "django.db.backends.postgresql", **found, **more}

    def bridge(self, **redirect: str) -> Bridge:
        """flagsnap's way to the redirected project."""
        facts = {
            "database": self.scratch.name,
            "nonce": NONCE,
            "live_database": self.live.name,
            "live_started": self.live.rows(_STARTED)[0][0],
        }
        return Bridge(self.deploys.project.manage_command, 60).redirected(Redirect(**{**facts, **redirect}))

    def migrate(self, **redirect: str) -> None:
        """Migrate the scratch database; see that the live one and the other one stay as they are."""
        with self.untouched():
            self.bridge(**redirect).migrate([Migration(*FIRST)], lambda _: None)

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See that the block leaves the live database and the other one as they are, and makes no role."""
        roles = self.live.rows("SELECT rolname FROM pg_roles ORDER BY 1")
        other = Deploys(type(self.deploys.project)(self.folder, self.other), self.deploys.flagsnap)
        with self.deploys.untouched(), other.untouched():
            yield
        assert self.live.rows("SELECT rolname FROM pg_roles ORDER BY 1") == roles

    def attempts(self, **acts: str) -> dict[str, str]:
        """What comes of acts, the bodies of functions, in a migration of the scratch database."""
        functions = (
            f"def {name}():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n" for name, body in acts.items()
        )
        table = "(" + "".join(f"({name!r}, {name}), " for name in acts) + ")"
        imports = _TRY.format(functions="\n\n".join(functions), table=table)
        project = self.deploys.project
        operation = "migrations.RunPython(code, migrations.RunPython.noop)"
        project.migration("flags", "0002_tries", operation, dependencies=[FIRST], imports=imports, atomic=False)
        project.write()
        self.migrate()
        return dict(self.scratch.rows("SELECT name, words FROM said"))
