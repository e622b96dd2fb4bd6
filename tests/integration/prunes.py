"""What the tests of `prune` share: a store with snapshots of any age, made of one capture, and databases beside it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.databases import Role, name_for
from flagsnap.postgres.facts import owner_of, read_server
from flagsnap.progress import Silent
from flagsnap.recording.capture import CaptureRequest, capture
from flagsnap.snapshot import AppliedRow, Archive, Manifest
from flagsnap.stores.snapshots import Snapshots
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA

DAY = timedelta(days=1)


@dataclass
class Shelf:
    """A store whose newest snapshot is a capture, `new`; the others have its manifest but for what a test changes."""

    database: Database
    flagsnap: Flagsnap
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.snapshots: Snapshots = self.flagsnap.snapshots
        self.database.execute(SCHEMA)
        address = Address.parse(self.database.url)
        request = CaptureRequest(address, "new", {}, 2, "fail", self.database.server.bin_dir, 10.0)
        with connect(address, "test") as connection:
            self.owner = owner_of(read_server(connection), address)
        self.manifest = capture(request, self.snapshots, Silent()).manifest

    def add(
        self, deploy_id: str, age: timedelta, migrations: int = 2, archive_of: str = "", **recorded: Any
    ) -> Manifest:
        """Publish a snapshot of that age; the live database has two migrations applied."""
        rows = tuple(
            AppliedRow(app="features", name=f"{number:04}", applied=self.now) for number in range(3, migrations + 1)
        )
        applied = (*self.manifest.database.migrations, *rows)[:migrations]
        database = self.manifest.database.model_copy(update={"migrations": applied, **recorded})
        archive = Archive(rollback_to=archive_of, whole=False, items=()) if archive_of else None
        changes = {"deploy_id": deploy_id, "captured_at": self.now - age, "databases": (database,), "archive": archive}
        manifest = self.manifest.model_copy(update=changes)
        with self.snapshots.store.begin(deploy_id, self.owner, Silent()) as draft:
            file = draft.folder / "dumps" / "default" / "toc.dat"
            file.parent.mkdir(parents=True)
            file.write_bytes(b"x" * 100)
            draft.add("dumps/default/toc.dat")
            draft.publish(manifest.to_json(), manifest.summary)
        return manifest

    def days(self, count: int, **fields: Any) -> None:
        """Add `d1`, captured a day ago, `d2`, and so on."""
        for age in range(1, count + 1):
            self.add(f"d{age}", age * DAY, **fields)

    def names(self) -> list[str]:
        """The deploy ids in the store, in order; none of them is damaged."""
        listing = self.snapshots.list()
        assert listing.damaged == ()
        return sorted(each.deploy_id for each in listing.summaries)

    def beside(self, role: Role, age: timedelta) -> str:
        """Create a database of that role and age; gives its name."""
        made = Database(self.database.server, name_for(self.database.name, role, self.now - age))
        made.create()
        return made.name

    def prune(self, *options: str, code: int | None = 0) -> dict[str, Any]:
        """Run it, with --json."""
        return self.flagsnap.within("prune", "--json", *options, code=code).json


def reasons(verdicts: Collection[dict[str, Any]]) -> dict[str, str]:
    """The reasons of a list of the JSON, by name."""
    return {each.get("deploy_id") or each["name"]: each["reason"] for each in verdicts}


@pytest.fixture
def shelf(database: Database, flagsnap: Flagsnap) -> Shelf:
    """The test's own store with one capture of its database in it."""
    return Shelf(database, flagsnap)
