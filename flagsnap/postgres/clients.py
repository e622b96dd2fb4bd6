"""PostgreSQL's client programs: which of those on this machine may dump and restore a given server.

A client is never older than the server. The same major is best: a newer pg_dump or pg_restore writes settings that an
older server does not know (18 and 17 write `SET transaction_timeout`, which 15 and 16 refuse).
"""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flagsnap.errors import ChildFailed, UsageError
from flagsnap.process import Command, run

_USUAL_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


@dataclass(frozen=True)
class Clients:
    """A folder with pg_dump, pg_restore and psql of one version."""

    folder: Path
    version: str
    major: int

    def path(self, program: str) -> str:
        """The path of one of the programs."""
        return str(self.folder / program)

    def supports_zstd(self) -> bool:
        """Whether this pg_dump was built with zstd, which came with PostgreSQL 16.

        pg_dump checks its options before it connects, so a host that cannot exist tells the two apart.
        """
        probe = Command((self.path("pg_dump"), "--compress=zstd:1", "--dbname=host=/nonexistent dbname=none"))
        try:
            run(probe)
        except ChildFailed as error:
            return "compress" not in error.tail
        return True


def find_clients(server_major: int, pg_bin: Path | None) -> Clients:
    """The best clients for a server: its own major, else the next newer one.

    UsageError names both versions and the package to install.
    """
    found = sorted(_found(pg_bin), key=lambda clients: clients.major)
    for clients in found:
        if clients.major >= server_major:
            return clients
    have = f"only {found[-1].version} was found, in {found[-1].folder}" if found else "none was found"
    where = f" in {pg_bin}" if pg_bin else ""
    raise UsageError(
        f"the server is PostgreSQL {server_major} and needs pg_dump {server_major}{where}: {have}",
        f"install the package postgresql-client-{server_major}, or name its folder with --pg-bin",
    )


def _found(pg_bin: Path | None) -> Iterator[Clients]:
    for folder in [str(pg_bin)] if pg_bin else _places():
        path = Path(folder) / "pg_dump"
        if path.is_file() and (clients := _inspect(path)):
            yield clients


def _places() -> Iterator[str]:
    if on_path := shutil.which("pg_dump"):
        yield os.path.dirname(on_path)  # noqa: PTH120  # not resolved: Debian's wrapper chooses by its own name
    for pattern in _USUAL_PLACES:
        yield from glob.glob(pattern)  # noqa: PTH207  # the patterns are absolute


def _inspect(path: Path) -> Clients | None:
    """The version of the programs, None if one is missing or does not run."""
    if not all((path.parent / program).is_file() for program in ("pg_restore", "psql")):
        return None
    try:
        match = _VERSION.search(run(Command((str(path), "--version"))))
    except (ChildFailed, UsageError):
        return None
    return Clients(path.parent, match[1] + match[2], int(match[1])) if match else None
