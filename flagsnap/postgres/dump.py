"""pg_dump and pg_restore: their arguments, and what they say while they work."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flagsnap.errors import ChildFailed
from flagsnap.loss.values import TableKey
from flagsnap.postgres.clients import Clients
from flagsnap.postgres.connection import Address
from flagsnap.postgres.introspect.scope import OWED_TABLE
from flagsnap.process import Command, run

TOC = "toc.dat"
_FINISHED = re.compile(r"finished item (\d+) (TABLE DATA|BLOBS|LARGE OBJECTS) (.*)")
_UNKNOWN_SETTING = 'unrecognized configuration parameter "transaction_timeout"'
_WENT_ON = "errors ignored on restore"
_ERROR = "pg_restore: error: "


@dataclass(frozen=True)
class FinishedItem:
    """A piece of the dump whose file is complete."""

    dump_id: int
    name: str


def compression_for(clients: Clients) -> str:
    """`zstd:1` where this pg_dump has it, else `gzip:1`: half the time of the default for a few per cent more bytes."""
    return "zstd:1" if clients.supports_zstd() else "gzip:1"


def dump_command(
    clients: Clients,
    address: Address,
    folder: Path,
    *,
    jobs: int,
    snapshot: str,
    compression: str,
    lock_timeout: float,
    only: Collection[TableKey] | None = None,
) -> Command:
    """The pg_dump that writes a directory dump of `snapshot` into `folder`, which must not exist.

    It waits for the lock of each table at most `lock_timeout` seconds; 0 means without end. `only` these tables are
    dumped, each of which must be there; None for the whole database.
    """
    # Before 16 pg_dump knows a gzip level only, as a number.
    value = compression if clients.major >= 16 else compression.removeprefix("gzip:")
    return Command(
        (
            clients.path("pg_dump"),
            "--format=directory",
            f"--jobs={jobs}",
            f"--file={folder}",
            f"--snapshot={snapshot}",
            f"--compress={value}",
            # flagsnap syncs each file as it finishes, while the others are still being written.
            "--no-sync",
            *_scope(only),
            *((f"--lock-wait-timeout={int(lock_timeout * 1000)}",) if lock_timeout else ()),
            "--no-password",
            "--verbose",
            f"--dbname={address.arguments()}",
        ),
        env=address.environment(),
    )


def _scope(only: Collection[TableKey] | None) -> Iterator[str]:
    """What to dump; in a pattern, whatever is quoted stands for itself (psql, "Patterns")."""
    if only is None:
        yield "--exclude-schema=flagsnap_retired_*"
        yield f"--exclude-table=*.{OWED_TABLE}"
        return
    yield "--strict-names"
    for names in sorted(only):
        yield "--table=" + ".".join('"' + name.replace('"', '""') + '"' for name in names)


def finished_item(line: str) -> FinishedItem | None:
    """Read a line of `pg_dump --verbose`; in parallel mode it tells each item whose file is complete."""
    match = _FINISHED.search(line)
    return FinishedItem(int(match[1]), match[3].strip()) if match else None


def restore_command(
    clients: Clients, address: Address, folder: Path, *, jobs: int, toc_list: Path, tolerant: bool = False
) -> Command:
    """The pg_restore that fills an empty database from a directory dump."""
    return Command(
        (
            clients.path("pg_restore"),
            f"--jobs={jobs}",
            *(() if tolerant else ("--exit-on-error",)),
            f"--use-list={toc_list}",
            "--no-password",
            "--verbose",
            f"--dbname={address.arguments()}",
            str(folder),
        ),
        env=address.environment(),
    )


def script_command(clients: Clients, folder: Path, toc_list: Path) -> Command:
    """The pg_restore that prints a directory dump as SQL for psql."""
    return Command((clients.path("pg_restore"), f"--use-list={toc_list}", "--file=-", str(folder)), env={"LC_ALL": "C"})


def data_command(clients: Clients, folder: Path, toc_list: Path) -> Command:
    """The pg_restore that prints the rows of some tables, or the values of sequences, as SQL."""
    argv = (clients.path("pg_restore"), "--data-only", f"--use-list={toc_list}", "--file=-", str(folder))
    return Command(argv, env={"LC_ALL": "C"})


def psql_command(clients: Clients, address: Address) -> Command:
    """The psql that runs SQL from its standard input and stops at the first error."""
    options = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    return Command(
        (clients.path("psql"), *options, f"--dbname={address.arguments()}"),
        env=address.environment(),
    )


def restore(
    clients: Clients,
    address: Address,
    folder: Path,
    *,
    jobs: int,
    toc_list: Path,
    server_major: int,
    on_finished: Callable[[FinishedItem], None],
) -> None:
    """Fill an empty database; ChildFailed at the first error of pg_restore.

    A pg_restore of 17 or newer begins each session with `SET transaction_timeout`, which a server before 17 does not
    know. Against such a server it must be let go on after errors; here it fails unless those were the only ones. The
    number of errors that it tells in the end says nothing: with several jobs it counts items.
    """
    tolerant = clients.major >= 17 > server_major
    errors: list[str] = []

    def read(line: str) -> None:
        if line.startswith(_ERROR) and not (tolerant and _UNKNOWN_SETTING in line):
            errors.append(line)
        if item := finished_item(line):
            on_finished(item)

    try:
        run(restore_command(clients, address, folder, jobs=jobs, toc_list=toc_list, tolerant=tolerant), read)
    except ChildFailed as error:
        if errors:
            # The tail may hold other lines by now: with several jobs, or with errors that were let pass.
            raise ChildFailed(error.program, error.code, "\n".join((errors[0], error.tail))) from error
        if not (tolerant and _WENT_ON in error.tail):
            raise


def toc_entries(clients: Clients, folder: Path) -> list[str]:
    """The dump's table of contents, as `pg_restore --list` prints it; ChildFailed if it cannot be read."""
    listing = run(Command((clients.path("pg_restore"), "--list", str(folder)), env={"LC_ALL": "C"}))
    return [line for line in listing.splitlines() if line and not line.startswith(";")]


def schema_script(clients: Clients, folder: Path) -> str:
    """All of a dump but its rows, as SQL; ChildFailed if it cannot be read."""
    return run(Command((clients.path("pg_restore"), "--schema-only", "--file=-", str(folder)), env={"LC_ALL": "C"}))


def without(entries: Sequence[str], left_out: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Divide a table of contents into what is restored and what is left out."""
    kept: list[str] = []
    dropped: list[str] = []
    for entry in entries:
        (dropped if left_out(entry) else kept).append(entry)
    return kept, dropped


def entry_description(entry: str) -> str:
    """A line of the table of contents without its numbers: "TABLE public features_feature owner"."""
    # "215; 1259 16386 TABLE public features_feature flagsmith"
    return entry.split("; ", 1)[-1].split(" ", 2)[-1]


def dump_id(entry: str) -> int:
    """The number of a line of the table of contents, which is also the name of its file."""
    return int(entry.split(";", 1)[0])


def entries_of(entries: Sequence[str], kind: str, schema: str, name: str) -> list[str]:
    """The lines of the table of contents that may be of that object.

    pg_restore prints names as they are, so that nobody can tell where a name with a space ends and the owner's begins;
    a line break it prints as a space.
    """
    start = f"{kind} {schema} {name} ".replace("\n", " ")
    return [entry for entry in entries if entry_description(entry).startswith(start)]
