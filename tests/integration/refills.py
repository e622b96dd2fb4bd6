"""What the tests of the refill share: a capture, a deploy in bare SQL, and the refill of hand-made items."""

import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import Address
from flagsnap.progress import Silent
from flagsnap.recording.capture import CaptureRequest, capture
from flagsnap.refilling.refill import refill
from flagsnap.restoring.restore import Source
from flagsnap.results import Refilled
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database

DEPLOY = "v2"


@dataclass
class Refills:
    """A database, its capture, and refills from it."""

    database: Database
    flagsnap: Flagsnap

    def capture(self, *statements: str, deploy_id: str = DEPLOY) -> None:
        """Run the statements, then capture."""
        self.run(*statements)
        request = CaptureRequest(self.address, deploy_id, {}, 2, "fail", self.database.server.bin_dir, 10.0)
        capture(request, self.flagsnap.snapshots, Silent())

    def run(self, *statements: str) -> None:
        """Run statements: a deploy, or the way back."""
        for statement in statements:
            self.database.execute(statement)

    @property
    def address(self) -> Address:
        """The live database."""
        return Address.parse(self.database.url)

    def source(self, deploy_id: str = DEPLOY) -> Source:
        """The snapshot."""
        snapshots = self.flagsnap.snapshots
        return Source(snapshots, snapshots.get(deploy_id), 2, self.database.server.bin_dir)

    def refill(self, *items: RefillItem, address: Address | None = None, lock_timeout: float = 10.0) -> list[Refilled]:
        """Refill these items."""
        return list(refill(self.source(), items, address or self.address, lock_timeout, Silent(), None))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self.database.rows(query)

    def state(self) -> str:
        """All of the database: schema with triggers, rows, sequences; whatever the order of rows."""
        server = self.database.server
        argv = [str(server.bin_dir / "pg_dump"), "--dbname", self.database.url]
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        lines = [line for line in text.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))]
        return "\n".join(sorted(filter(None, lines)))


def item(table: str, *columns: str, **rest: Any) -> RefillItem:
    """An item of the schema public, by the key `id` unless told otherwise."""
    return RefillItem("public", table, columns, **{"key": ("id",), **rest})


@pytest.fixture
def refills(database: Database, flagsnap: Flagsnap) -> Refills:
    """Refills on the test's database."""
    return Refills(database, flagsnap)
