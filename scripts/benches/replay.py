"""A rehearsed rollback of 40 migrations, replayed, against `manage.py migrate` per app as Flagsmith's manual has it."""

import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property

import psycopg

from flagsnap.catalog import Catalog
from flagsnap.postgres.connection import Address, connect
from flagsnap.progress import Silent
from flagsnap.rehearsal.script import Script
from flagsnap.rollback.replay import Replay
from flagsnap.stores import open_store
from flagsnap.stores.snapshots import Snapshots
from scripts.benches.flags import DEPLOYED, Flags
from scripts.benches.ground import Bench, timed

LIMIT = 0.01
DEPLOY = "replay"
LIVE = "flags"
LOCK_TIMEOUT = 10.0
# Django's reverses leave the content types and permissions of models that have gone, both ways.
_CONFIG = """
[acceptable_residue]
"public.django_content_type" = true
"public.auth_permission" = true
"""
State = tuple[list[str], set[tuple[str, str]]]


def replays(bench: Bench) -> bool:
    """Take the same deploy back both ways on copies of one database, in turns; then once more on the command line."""
    ways = Ways(bench, Flags(bench.folder / "project"))
    before = ways.deploy()
    print(f"rehearsed: {len(ways.script.segments)} segments, {ways.tables()} tables, {DEPLOYED} migrations")
    pairs = []
    for number in range(bench.runs):
        replayed, migrated = (ways.copy(f"{way}_{number}") for way in ("replayed", "migrated"))
        pairs.append((timed(lambda to=replayed: ways.replay(to)), timed(lambda to=migrated: ways.migrate(to))))  # type: ignore[misc]
        ways.check(before, replayed, migrated)
        for name in (replayed, migrated):
            bench.drop(name)
    good = bench.report(f"replay of {DEPLOYED} migrations / manage.py migrate per app", pairs, LIMIT)
    whole = timed(ways.roll_back)
    ways.check(before, LIVE)
    bare = sum(migrated for _, migrated in pairs) / len(pairs)
    quicker = sum(bare / replayed for replayed, _ in pairs) / len(pairs)
    print(f"the replay itself is {quicker:.0f} times as fast; the whole `flagsnap rollback` takes {whole:.2f} s")
    return good


@dataclass(frozen=True)
class Ways:
    """The ways back, and the deploy that they take back."""

    bench: Bench
    flags: Flags

    def deploy(self) -> State:
        """Migrate, capture, rehearse, deploy; gives back the state that was captured."""
        bench, flags = self.bench, self.flags
        bench.run(bench.clients.path("psql"), "-qc", f"CREATE DATABASE {LIVE}", bench.database("postgres"))
        flags.write_first()
        self._manage(LIVE, "makemigrations")
        self._manage(LIVE, "migrate")
        flags.write_history()
        self._manage(LIVE, "migrate", "--fake")
        with psycopg.connect(bench.database(LIVE), autocommit=True) as connection:
            for statement in flags.fill():
                connection.execute(statement.encode())
            connection.execute("VACUUM ANALYZE")
        before = self._state(LIVE)
        self._flagsnap("capture", "--deploy-id", DEPLOY)
        flags.write_second()
        config = bench.folder / "flagsnap.toml"
        config.write_text(_CONFIG)
        self._flagsnap("rehearse", DEPLOY, "--config", str(config), "--manage", shlex.join(self._python))
        self._manage(LIVE, "migrate")
        return before

    @cached_property
    def script(self) -> Script:
        """The rehearsed one."""
        snapshots = Snapshots(open_store(str(self.bench.folder / "store")))
        rehearsal = snapshots.rehearsal(snapshots.get(DEPLOY))
        if rehearsal is None or rehearsal.script is None or rehearsal.obstacles:
            raise SystemExit(f"it cannot be replayed: {rehearsal and rehearsal.obstacles}")
        return rehearsal.script

    def copy(self, name: str) -> str:
        """A copy of the database as it is after the deploy."""
        statement = f"CREATE DATABASE {name} TEMPLATE {LIVE}"
        self.bench.run(self.bench.clients.path("psql"), "-qc", statement, self.bench.database("postgres"))
        return name

    def replay(self, name: str) -> None:
        """All of the script, with the schema read and compared behind each segment."""

        def check(number: int, catalog: Catalog) -> None:
            if catalog.fingerprint != self.script.segments[number].fingerprint:
                raise SystemExit(f"behind segment {number} the schema is not the rehearsed one")

        with connect(Address.parse(self.bench.database(name)), "bench") as worker:
            Replay(self.script, worker, LOCK_TIMEOUT).run(0, Silent(), check)

    def migrate(self, name: str) -> None:
        """Each app of the deploy back to the migration before the first of the deploy."""
        for app in self.flags.deployed_apps:
            self._manage(name, "migrate", app, self.flags.last[app])

    def roll_back(self) -> None:
        """The command, with its plan and its proof; no project is reachable."""
        self._flagsnap("rollback", "--to", DEPLOY, "--strategy", "replay", "--on-loss", "accept", "--yes")

    def check(self, wanted: State, *names: str) -> None:
        """See that databases are what was captured: the schema as pg_dump prints it, and the applied migrations."""
        for name in names:
            if self._state(name) != wanted:
                raise SystemExit(f"{name} is not what it was before the deploy")

    def tables(self) -> int:
        """How many there are."""
        with psycopg.connect(self.bench.database(LIVE)) as connection:
            row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        return int(row[0]) if row else 0

    def _state(self, name: str) -> State:
        argv = [self.bench.clients.path("pg_dump"), "--schema-only", f"--dbname={self.bench.database(name)}"]
        text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        # A column that was dropped and is added again comes last.
        lines = sorted(line.rstrip(",") for line in text.splitlines() if line and not line.startswith(("--", "\\")))
        with psycopg.connect(self.bench.database(name)) as connection:
            return lines, set(connection.execute("SELECT app, name FROM django_migrations").fetchall())

    @property
    def _python(self) -> tuple[str, ...]:
        return (sys.executable, str(self.flags.manage))

    def _manage(self, name: str, *arguments: str) -> None:
        self.bench.run(*self._python, *arguments, DATABASE_URL=self.bench.database(name), PYTHONDONTWRITEBYTECODE="")

    def _flagsnap(self, *arguments: str) -> None:
        url = self.bench.database(LIVE)
        self.bench.flagsnap(*arguments, FLAGSNAP_DATABASE_URL=url, DATABASE_URL=url)
