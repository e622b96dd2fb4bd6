"""What the tests of `--applied-before` share: deploys whose rows have the times that a test wants."""

from dataclasses import dataclass
from typing import Any

from tests.fix_cli import Ended
from tests.fix_deploys import Deploys, Refusal, refusal

FIRST = "2024-05-06 07:08:09"
SECOND = "2024-05-07 09:55:37.123456"


@dataclass
class Dated:
    """Deploys, and the times of their rows in UTC."""

    deploys: Deploys

    def deploy(self, applied: str) -> None:
        """Migrate; what that records was applied at this time."""
        newest = "SELECT coalesce(max(id), 0) FROM django_migrations"
        ((before,),) = self.deploys.database.rows(newest) if self._there else [(0,)]
        self.deploys.deploy()
        self.deploys.database.execute(f"UPDATE django_migrations SET applied = '{applied}+00' WHERE id > {before}")

    def date(self, name: str, applied: str) -> None:
        """Give one row another time."""
        self.deploys.database.execute(f"UPDATE django_migrations SET applied = '{applied}+00' WHERE name = '{name}'")

    def plan(self, time: str, *options: str) -> dict[str, Any]:
        """The plan, as JSON."""
        run = self.deploys.flagsnap.within("plan", "--applied-before", time, "--json", *options)
        plan: dict[str, Any] = run.json["plan"]
        return plan

    def text(self, time: str, *options: str) -> list[str]:
        """The plan, as lines."""
        return self.deploys.flagsnap.within("plan", "--applied-before", time, *options).out.splitlines()

    def rollback(self, time: str, *options: str, code: int = 0) -> Ended:
        """Roll back."""
        return self.deploys.flagsnap.within("rollback", "--applied-before", time, *options, code=code)

    def refused(self, time: str, *options: str, code: int = 2) -> Refusal:
        """Roll back; it must fail cleanly and leave the database as it is."""
        with self.deploys.untouched():
            return refusal(self.rollback(time, *options, code=code))

    def newest(self) -> str:
        """The time of the newest row, as Flagsmith's documentation has people copy it."""
        ((time,),) = self.deploys.database.rows("SELECT max(applied) AT TIME ZONE 'UTC' FROM django_migrations")
        return str(time)

    @property
    def _there(self) -> bool:
        return bool(self.deploys.database.rows("SELECT FROM pg_tables WHERE tablename = 'django_migrations'"))
