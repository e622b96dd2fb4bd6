"""A Django project of the size of Flagsmith's, in two releases that are 40 migrations apart.

It has about as many tables, and as many migrations behind it; Django builds the state of the models from all of them.
The 40 are of ten kinds, over ten of its apps, and depend on each other across apps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

APPS = (
    "organisations",
    "users",
    "projects",
    "environments",
    "features",
    "segments",
    "identities",
    "webhooks",
    "audit",
    "integrations",
    "workflows",
    "metrics",
)
MODELS = 15
DEPLOYED = 40
HISTORY = 45
ROWS = 50
_DEPLOYED_APPS = APPS[2:]
_CONCURRENTLY = 21  # the number of the migration that is not atomic

_MANAGE = """\
import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
_SETTINGS = """\
import os
from urllib.parse import unquote, urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path[1:]),
        "USER": unquote(url.username),
        "PASSWORD": unquote(url.password),
        "HOST": url.hostname,
        "PORT": url.port,
    }}
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", {apps}]
SECRET_KEY = "not a secret"
USE_TZ = True
"""
_ID = "models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')"
_FIELDS = {
    "name": "models.CharField(max_length=200)",
    "slug": "models.SlugField(max_length=100)",
    "label": 'models.CharField(max_length=50, default="")',
    "legacy": 'models.CharField(max_length=50, default="")',
    "description": 'models.TextField(blank=True, default="")',
    "enabled": "models.BooleanField(default=False)",
    "position": "models.PositiveIntegerField(default=0)",
    "settings": "models.JSONField(default=dict)",
    "uuid": "models.UUIDField(default=uuid.uuid4, unique=True)",
    "created_at": "models.DateTimeField(auto_now_add=True)",
}
_FILL = """
    INSERT INTO {table} (name, slug, label, legacy, description, enabled, position, settings, uuid, created_at{columns})
    SELECT 'name ' || i, 'slug-' || i, 'label', 'legacy', 'some text', i % 2 = 0, i, '{{"a": 1}}', gen_random_uuid(),
           now(){values}
    FROM generate_series(1, {rows}) i;
"""


@dataclass
class Model:
    """A model: the sources of its fields, and of its indexes and constraints by name."""

    name: str
    fields: dict[str, str]
    indexes: dict[str, str] = field(default_factory=dict)
    constraints: dict[str, str] = field(default_factory=dict)

    def source(self) -> str:
        """The class."""
        fields = "".join(f"    {name} = {source}\n" for name, source in self.fields.items())
        indexes, constraints = (", ".join(each.values()) for each in (self.indexes, self.constraints))
        meta = f"    class Meta:\n        indexes = [{indexes}]\n        constraints = [{constraints}]\n"
        return f"class {self.name}(models.Model):\n{fields}\n{meta}\n\n"


@dataclass(frozen=True)
class Change:
    """What a migration does, in one word and as the source of its operation."""

    kind: str
    operation: str
    atomic: bool = True


@dataclass
class Flags:
    """The project's code in a folder.

    Attributes:
        last: the last migration of each app in the first release.
        deployed: the migrations that the second release adds.
    """

    folder: Path
    last: dict[str, str] = field(default_factory=dict)
    models: dict[str, list[Model]] = field(default_factory=dict)
    deployed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def manage(self) -> Path:
        """Its `manage.py`."""
        return self.folder / "manage.py"

    @property
    def deployed_apps(self) -> Sequence[str]:
        """The apps that the second release adds migrations to."""
        return tuple(dict.fromkeys(app for app, _ in self.deployed))

    def write_first(self) -> None:
        """Write the code from which `makemigrations` makes each app's first migration."""
        self.models = {app: list(_models(number, app)) for number, app in enumerate(APPS)}
        self.folder.mkdir()
        self.manage.write_text(_MANAGE)
        (self.folder / "settings.py").write_text(_SETTINGS.format(apps=", ".join(map(repr, APPS))))
        for app in APPS:
            for folder in (self.folder / app, self.folder / app / "migrations"):
                folder.mkdir()
                (folder / "__init__.py").touch()
        self._write_models()

    def write_history(self) -> None:
        """Write the first release: with migrations that change nothing in the database, and may be faked."""
        for app, models in self.models.items():
            self.last[app] = "0001_initial"
            for number in range(HISTORY):
                text = f'models.BooleanField(default=False, help_text="as of {number}")'
                change = _alter_field(models[number % MODELS], "enabled", text)
                self.last[app] = self._write_migration(app, number + 2, change, [(app, self.last[app])])
        self._write_models()

    def write_second(self) -> None:
        """Write the second release over the first."""
        last = dict(self.last)
        for number in range(DEPLOYED):
            app = _DEPLOYED_APPS[number % len(_DEPLOYED_APPS)]
            change = self._change(number, app)
            dependencies = [(app, last[app]), *self.deployed[-1:]]
            last[app] = self._write_migration(app, HISTORY + 2 + number // len(_DEPLOYED_APPS), change, dependencies)
            self.deployed.append((app, last[app]))
        self._write_models()

    def fill(self) -> Iterator[str]:
        """SQL that writes some rows into each table of a model of the first release."""
        for app in APPS:
            for model in self.models[app]:
                keys = [name for name, source in model.fields.items() if "ForeignKey" in source]
                columns = "".join(f", {name}_id" for name in keys)
                yield _FILL.format(table=_table(app, model), columns=columns, values=", i" * len(keys), rows=ROWS)

    def _write_migration(self, app: str, number: int, change: Change, dependencies: Sequence[tuple[str, str]]) -> str:
        name = f"{number:04}_{change.kind}"
        (self.folder / app / "migrations" / f"{name}.py").write_text(_migration(change, dependencies))
        return name

    def _write_models(self) -> None:
        for app, models in self.models.items():
            source = "import uuid\n\nfrom django.db import models\n\n\n" + "".join(each.source() for each in models)
            (self.folder / app / "models.py").write_text(source)

    def _change(self, number: int, app: str) -> Change:
        """One of ten kinds; each app has each at most once, and each time on another model."""
        turn, position = divmod(number, len(_DEPLOYED_APPS))
        model = self.models[app][turn + 1]
        near = self.deployed[-1][0] if self.deployed else "users"
        other = f"{near}.{self.models[near][0].name}"
        kinds: Sequence[Callable[[], Change]] = (
            lambda: _add_field(model, "note", 'models.CharField(max_length=100, default="")', "add_field"),
            lambda: _alter_field(model, "name", "models.CharField(max_length=300)"),
            lambda: self._create_model(app, f"{app.title()}Of{number}", other),
            lambda: _add_index(model, f"by_label_{number}", concurrently=number == _CONCURRENTLY),
            lambda: _run_sql(_table(app, model), f"by_lower_{number}"),
            lambda: _add_constraint(model, f"once_{number}"),
            lambda: _rename_field(model, "label", "title"),
            lambda: _remove_field(model, "legacy"),
            lambda: _add_field(model, "reviewer", _key(other, null=True), "add_foreign_key"),
            lambda: _alter_field(model, "description", "models.TextField(null=True)"),
        )
        return kinds[(turn + position) % len(kinds)]()

    def _create_model(self, app: str, name: str, other: str) -> Change:
        fields = {"name": _FIELDS["name"], "owner": _key(other)}
        self.models[app].append(Model(name, fields))
        pairs = {"id": _ID, **fields}.items()
        listed = ", ".join(f"({field!r}, {source})" for field, source in pairs)
        return Change("create_model", f"migrations.CreateModel({name!r}, [{listed}])")


def _models(number: int, app: str) -> Iterator[Model]:
    """The models of an app: each refers to the one before it, some to other apps, every fourth to many of its own."""
    title = app.title()
    for each in range(MODELS):
        fields = dict(_FIELDS)
        if each:
            fields["parent"] = _key(f"{app}.{title}{each - 1}")
        if number:
            before = APPS[number - 1 - each % min(number, 3)]
            fields["other"] = _key(f"{before}.{before.title()}{each}", null=True)
        if each % 4 == 0:
            fields["related"] = f'models.ManyToManyField("{app}.{title}{max(each - 1, 0)}", related_name="+")'
        index, once = f"{app}_name_{each}", f"{app}_slug_{each}"
        yield Model(
            f"{title}{each}",
            fields,
            {index: f'models.Index(fields=["name", "enabled"], name={index!r})'},
            {once: f'models.UniqueConstraint(fields=["slug", "position"], name={once!r})'},
        )


def _migration(change: Change, dependencies: Sequence[tuple[str, str]]) -> str:
    concurrently = "AddIndexConcurrently" in change.operation
    return "\n".join(
        [
            "from django.contrib.postgres.operations import AddIndexConcurrently" if concurrently else "",
            "from django.db import migrations, models",
            "",
            "class Migration(migrations.Migration):",
            f"    atomic = {change.atomic}",
            f"    dependencies = {list(dict.fromkeys(dependencies))}",
            f"    operations = [{change.operation}]",
            "",
        ]
    )


def _add_field(model: Model, name: str, source: str, kind: str) -> Change:
    model.fields[name] = source
    return Change(kind, f"migrations.AddField({model.name!r}, {name!r}, {source})")


def _alter_field(model: Model, name: str, source: str) -> Change:
    model.fields[name] = source
    return Change(f"alter_{name}", f"migrations.AlterField({model.name!r}, {name!r}, {source})")


def _remove_field(model: Model, name: str) -> Change:
    del model.fields[name]
    return Change("remove_field", f"migrations.RemoveField({model.name!r}, {name!r})")


def _rename_field(model: Model, old: str, new: str) -> Change:
    model.fields[new] = model.fields.pop(old)
    return Change("rename_field", f"migrations.RenameField({model.name!r}, {old!r}, {new!r})")


def _add_index(model: Model, name: str, *, concurrently: bool) -> Change:
    model.indexes[name] = f'models.Index(fields=["label", "enabled"], name={name!r})'
    operation = "AddIndexConcurrently" if concurrently else "migrations.AddIndex"
    return Change("add_index", f"{operation}({model.name!r}, {model.indexes[name]})", atomic=not concurrently)


def _add_constraint(model: Model, name: str) -> Change:
    model.constraints[name] = f'models.UniqueConstraint(fields=["uuid", "slug"], name={name!r})'
    return Change("add_constraint", f"migrations.AddConstraint({model.name!r}, {model.constraints[name]})")


def _run_sql(table: str, index: str) -> Change:
    there, back = f"CREATE INDEX {index} ON {table} (lower(name))", f"DROP INDEX {index}"
    return Change("run_sql", f"migrations.RunSQL({there!r}, {back!r})")


def _key(to: str, *, null: bool = False) -> str:
    return f'models.ForeignKey("{to}", on_delete=models.CASCADE, related_name="+", null={null})'


def _table(app: str, model: Model) -> str:
    return f"{app}_{model.name.lower()}"
