"""Real Django projects: `project` builds one in a folder of the test's own, on the test's database.

    project.app("features", {"0001_initial": migration(create_model("Feature", name=TEXT))})
    project.write()
    project.manage("migrate")

A release is what has been written last: change migrations with `migration` and `remove`, then `write` again.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fix_databases import Database
from tests.fix_preloaded import preloaded_django

Node = tuple[str, str]

ID = "models.BigAutoField(primary_key=True)"
TEXT = 'models.CharField(max_length=100, default="")'
NUMBER = "models.IntegerField(default=0)"
CONTENT_TYPES = "django.contrib.contenttypes"
AUTH = "django.contrib.auth"

_MANAGE = """\
import os
import sys

# A migration rewritten within one second must not be taken from its old bytecode.
sys.dont_write_bytecode = True
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""

_SETTINGS = """\
import os
from urllib.parse import unquote, urlsplit

url = urlsplit(os.environ.get("DATABASE_URL", {url!r}))
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path[1:]),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": url.hostname,
        "PORT": url.port,
    }}
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = {apps!r}
SECRET_KEY = "not a secret"
USE_TZ = True
"""

_APPS = """\
from django.apps import AppConfig


class Config(AppConfig):
    name = {folder!r}
    label = {label!r}
"""

_MIGRATION = """\
from django.db import migrations, models
{imports}

class Migration(migrations.Migration):
    {attributes}
    operations = [
        {operations}
    ]
"""


def migration(
    *operations: str,
    dependencies: Sequence[Node] = (),
    replaces: Sequence[Node] = (),
    run_before: Sequence[Node] = (),
    atomic: bool = True,
    initial: bool | None = None,
    imports: str = "",
) -> str:
    """The source of a migration; each operation is the source of one, `imports` may define functions too."""
    attributes = {
        "dependencies": list(dependencies),
        "replaces": list(replaces),
        "run_before": list(run_before),
        "atomic": atomic,
        "initial": initial,
    }
    return _MIGRATION.format(
        imports=imports,
        attributes="\n    ".join(f"{name} = {value!r}" for name, value in attributes.items()),
        operations="\n        ".join(f"{operation}," for operation in operations),
    )


def create_model(name: str, /, options: str = "{}", **fields: str) -> str:
    """The operation that creates a model with an id and these fields."""
    pairs = ", ".join(f"({field!r}, {source})" for field, source in {"id": ID, **fields}.items())
    return f"migrations.CreateModel({name!r}, [{pairs}], options={options})"


def add_field(model: str, name: str, source: str = TEXT) -> str:
    """The operation that adds a field."""
    return f"migrations.AddField({model!r}, {name!r}, {source})"


def remove_field(model: str, name: str) -> str:
    """The operation that removes a field."""
    return f"migrations.RemoveField({model!r}, {name!r})"


def run_sql(forward: str, reverse: str | None = None) -> str:
    """The operation that runs SQL; irreversible without `reverse`."""
    return f"migrations.RunSQL({forward!r}, {reverse!r})"


@dataclass
class App:
    """An app: its label, the folder (a Python package) it is in, its migrations' and its models' source."""

    label: str
    folder: str
    migrations: dict[str, str]
    models: str = ""


@dataclass
class Project:
    """A Django project in a folder; `environment` is added to that of its commands.

    They are `preloaded`, with Django and psycopg, unless the project is to come without one of them.
    """

    folder: Path
    database: Database
    apps: dict[str, App] = field(default_factory=dict)
    installed: list[str] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    preloaded: bool = True

    @property
    def manage_command(self) -> str:
        """The command line for flagsnap's `--manage`."""
        return shlex.join([sys.executable, str(self.folder / "manage.py")])

    @property
    def quick_command(self) -> str:
        """The same with Django loaded; a signal does not reach it, but kills it."""
        if sys.platform != "linux":
            return self.manage_command
        return preloaded_django().command(str(self.folder / "manage.py"))

    def install(self, *apps: str, **settings: object) -> None:
        """Add other people's apps to INSTALLED_APPS, and settings such as AUTH_USER_MODEL."""
        self.installed += apps
        self.settings |= settings

    def app(
        self,
        label: str,
        migrations: Mapping[str, str] | None = None,
        *,
        folder: str | None = None,
        models: str = "",
    ) -> App:
        """Add an app, or replace it; its folder is its label unless told otherwise."""
        self.apps[label] = App(label, folder or label, dict(migrations or {}), models)
        return self.apps[label]

    def migration(self, label: str, name: str, *operations: str, **attributes: object) -> None:
        """Add a migration, or replace it: operations and attributes as for the function `migration`."""
        source = migration(*operations, **attributes)  # type: ignore[arg-type]  # checked there
        self.apps[label].migrations[name] = source

    def remove(self, label: str, *names: str) -> None:
        """Remove migrations."""
        for name in names:
            del self.apps[label].migrations[name]

    def write(self) -> None:
        """Write all as it is now, as a release; what was written before is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)
        apps = [*self.installed, *(app.folder for app in self.apps.values())]
        settings = _SETTINGS.format(url=self.database.url, apps=apps)
        settings += "".join(f"{name} = {value!r}\n" for name, value in self.settings.items())
        _write(self.folder / "settings.py", settings)
        _write(self.folder / "manage.py", _MANAGE)
        for app in self.apps.values():
            self._write_app(app)

    def manage(self, *arguments: str) -> str:
        """Run `python manage.py ...` and give back what it prints; fails the test if the command fails."""
        done = self.try_manage(*arguments)
        assert done.returncode == 0, f"manage.py {shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def try_manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python manage.py ...`, which may fail."""
        environment = {**os.environ, "DATABASE_URL": self.database.url, **self.environment}
        if self.preloaded:
            return preloaded_django().run(["manage.py", *arguments], self.folder, environment)
        argv = [sys.executable, "manage.py", *arguments]
        return subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def migrate(self, *arguments: str) -> str:
        """Run `migrate`."""
        return self.manage("migrate", *arguments)

    def applied(self) -> list[Node]:
        """The rows of `django_migrations`, in the order in which they were recorded."""
        rows = self.database.rows("SELECT app, name FROM django_migrations ORDER BY id")
        return [(app, name) for app, name in rows]

    def _write_app(self, app: App) -> None:
        folder = self.folder.joinpath(*app.folder.split("."))
        _write(folder / "__init__.py", "")
        _write(folder / "apps.py", _APPS.format(folder=app.folder, label=app.label))
        _write(folder / "models.py", app.models)
        _write(folder / "migrations" / "__init__.py", "")
        for name, source in app.migrations.items():
            _write(folder / "migrations" / f"{name}.py", source)


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Project:
    """An empty Django project on the test's database."""
    return Project(tmp_path / "project", database)


def _write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
