"""Deploys of a Django project, and the way back: capture, migrate, rollback, proof.

deploys.capture()                       what has been written is migrated and captured
project.migration("flags", "0002_colour", add_field("Flag", "colour"))
deploys.deploy()                        what has been written since is migrated
plan = deploys.back()                   by unapplying; the database is what it was, as flagsnap and pg_dump see it
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from flagsnap.postgres.connection import Address
from flagsnap.progress import Silent
from flagsnap.recording.capture import CaptureRequest, capture
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verifying.live import verify_live
from tests.fix_cli import Ended, Flagsnap
from tests.fix_databases import Database
from tests.fix_projects import Project

DEPLOY = "v2"
UNAPPLY = ("--strategy", "unapply", "--on-loss", "accept")
# Django, and PostgreSQL 18 for NOT NULL, make these names of those of the table and the columns, and leave them when
# they are renamed.
_MADE_NAME = re.compile(r"(?<= CONSTRAINT )\S+_[0-9a-f]{8}_fk_\S+| CONSTRAINT \S+_not_null(?= NOT NULL)")
_NOT_SCHEMA = re.compile(r"--|\\(un)?restrict|SELECT pg_catalog.setval")


@dataclass(frozen=True)
class Refusal:
    """What a run that ended badly said: one line each."""

    error: str
    hint: str


@dataclass
class Deploys:
    """The captures and deploys of one project; `recorded` is what each capture must bring back."""

    project: Project
    flagsnap: Flagsnap
    recorded: dict[str, tuple[dict[str, datetime], list[str]]] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        """The live database."""
        return self.project.database

    @property
    def address(self) -> Address:
        """Its address."""
        return Address.parse(self.database.url)

    @property
    def snapshots(self) -> Snapshots:
        """The store."""
        return self.flagsnap.snapshots

    def capture(self, deploy_id: str = DEPLOY, *migrate: str) -> None:
        """Write the release, migrate, capture; `migrate` are arguments, such as an app and the name to stop at."""
        self.deploy(*migrate)
        capture(
            CaptureRequest(self.address, deploy_id, {}, 2, "fail", self.database.server.bin_dir, 10.0),
            self.snapshots,
            Silent(),
        )
        self.recorded[deploy_id] = (self.applied(), self.schema())

    def deploy(self, *migrate: str) -> None:
        """Write the release and migrate."""
        self.project.write()
        self.project.migrate(*migrate)

    def plan(self, *options: str, to: str = DEPLOY) -> dict[str, Any]:
        """The plan, as JSON."""
        plan: dict[str, Any] = self.flagsnap.within("plan", "--to", to, "--json", *options).json["plan"]
        return plan

    def rollback(self, *options: str, to: str = DEPLOY, code: int | None = 0, **environment: str) -> Ended:
        """Run `rollback`, by unapplying unless told otherwise."""
        return self.flagsnap.within("rollback", "--to", to, *(options or UNAPPLY), code=code, **environment)

    def back(self, *options: str, to: str = DEPLOY) -> dict[str, Any]:
        """Roll back and see that the database is what it was; gives back the plan that was carried out."""
        ended = self.rollback(*(options or UNAPPLY), "--json", to=to)
        self.assert_back(to)
        plan: dict[str, Any] = ended.json["plan"]
        return plan

    def assert_back(self, to: str = DEPLOY) -> None:
        """The database is what it was at a capture, in flagsnap's eyes and in those of pg_dump."""
        applied, schema = self.recorded[to]
        assert self.applied() == applied
        assert self.schema() == schema
        assert [check for check in verify_live(self.address, self.snapshots.get(to)) if not check.ok] == []

    def refused(self, *options: str, to: str = DEPLOY, code: int = 2, **environment: str) -> Refusal:
        """Roll back, by unapplying unless told otherwise; it must fail cleanly and leave the database as it is."""
        with self.untouched():
            return refusal(self.rollback(*options, to=to, code=code, **environment))

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See that the block leaves the database as it is: schema, rows and sequences."""
        before = self.dump()
        yield
        assert self.dump() == before

    def applied(self) -> dict[str, datetime]:
        """The applied migrations with their dates; every one is recorded once."""
        rows = self.database.rows("SELECT app || '.' || name, applied FROM django_migrations")
        assert len(rows) == len({name for name, _ in rows})
        return dict(rows)

    def names(self) -> set[str]:
        """The applied migrations as `app.name`."""
        return set(self.applied())

    def schema(self) -> list[str]:
        """The schema as pg_dump prints it, whatever the order of columns."""
        lines = _MADE_NAME.sub("", self.dump("--schema-only")).splitlines()
        return sorted(line.rstrip(",") for line in lines if line and not _NOT_SCHEMA.match(line))

    def dump(self, *options: str) -> str:
        """All that pg_dump prints of the database."""
        server = self.database.server
        argv = [str(server.bin_dir / "pg_dump"), "--dbname", server.url(self.database.name), *options]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def refusal(ended: Ended) -> Refusal:
    """What a run that failed said on standard error, beside its progress: exactly one error and one hint."""
    lines = ended.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    assert (len(errors), len(hints)) == (1, 1), ended.err
    assert lines[-2:] == [*errors, *hints]
    assert ended.out == ""
    return Refusal(errors[0].removeprefix("error: "), hints[0].removeprefix("hint: "))


def names(migrations: list[dict[str, str]]) -> list[str]:
    """Migrations of a plan in JSON as `app.name`."""
    return [f"{each['app']}.{each['name']}" for each in migrations]


def steps(plan: dict[str, Any]) -> list[tuple[bool, list[str]]]:
    """The segments of a plan: atomic or not, and the migrations as `app.name`."""
    return [(step["atomic"], names(step["migrations"])) for step in plan["steps"]]


@pytest.fixture
def deploys(project: Project, flagsnap: Flagsnap) -> Deploys:
    """The project's deploys; flagsnap reaches the project through its manage.py, with Django loaded.

    For tests of what becomes of the process, there is `project.manage_command`.
    """
    flagsnap.environment["FLAGSNAP_MANAGE"] = project.quick_command
    return Deploys(project, flagsnap)
