"""What a watchdog, a real HTTP server, and a collector are told of real runs; and that no run ends otherwise by it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flagsnap.monitoring import pings
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA

SECRET = "0a1b2c3d-secret"


@dataclass
class Watchdog:
    """An HTTP server that notes what is asked of it, and answers as it is told."""

    server: ThreadingHTTPServer
    answers: list[int] = field(default_factory=list)
    location: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.root}/{SECRET}"

    @property
    def words(self) -> list[str]:
        """What was asked for, without the secret."""
        return [path.removeprefix(f"/{SECRET}") for path in self.asked]


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    monkeypatch.setattr(pings, "PAUSE", 0.01)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            code = made.answers.pop(0) if made.answers else 200
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", made.location)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    made = Watchdog(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"


def captured(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v1")


def samples(path: Path) -> dict[str, float]:
    return {
        sample.name.removeprefix("flagsnap_"): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_a_run_that_succeeds(flagsnap: Flagsnap, database: Database, watchdog: Watchdog, tmp_path: Path) -> None:
    database.execute(SCHEMA)
    file = tmp_path / "flagsnap.prom"
    options = ("--ping", watchdog.url, "--metrics", str(file))
    ended = flagsnap.within("capture", "--deploy-id", "v1", "--json", *options)
    assert watchdog.words == ["/start", ""]
    assert "warning" not in ended.err
    found = samples(file)
    assert (found["run_success"], found["store_readable"], found["snapshots"]) == (1, 1, 1)
    assert found["newest_capture_bytes"] == found["store_bytes"] == ended.json["dump"]["bytes"]
    assert abs(found["newest_capture_timestamp_seconds"] - time.time()) < 60
    assert f'store="{flagsnap.place.url}"' in file.read_text()


def test_a_run_that_fails(flagsnap: Flagsnap, database: Database, watchdog: Watchdog, tmp_path: Path) -> None:
    captured(flagsnap, database)
    file = tmp_path / "flagsnap.prom"
    options = ("--ping", watchdog.url, "--metrics", str(file))
    plain = flagsnap.within("capture", "--deploy-id", "v1", "--if-exists", "fail", code=2)
    ended = flagsnap.within("capture", "--deploy-id", "v1", "--if-exists", "fail", *options, code=2)
    assert ended == plain
    assert watchdog.words == ["/start", "/fail"]
    found = samples(file)
    assert (found["run_success"], found["run_exit_code"], found["snapshots"]) == (0, 2, 1)


def test_a_check_that_fails(flagsnap: Flagsnap, database: Database, watchdog: Watchdog, tmp_path: Path) -> None:
    """It is no error that is raised, but an exit code: 3."""
    captured(flagsnap, database)
    key = next(key for key in flagsnap.files("v1/dumps") if ".dat" in key)
    flagsnap.place.put(key, b"other bytes")
    file = tmp_path / "flagsnap.prom"
    flagsnap.within("verify", "v1", "--ping", watchdog.url, "--metrics", str(file), code=3)
    assert watchdog.words == ["/start", "/fail"]
    assert samples(file)["run_exit_code"] == 3


@pytest.mark.local_store
def test_settings_that_are_missing_are_told_too(flagsnap: Flagsnap, watchdog: Watchdog, tmp_path: Path) -> None:
    file = tmp_path / "flagsnap.prom"
    flagsnap.within("capture", "--ping", watchdog.url, "--metrics", str(file), code=2, FLAGSNAP_STORE="")
    assert watchdog.words == ["/start", "/fail"]
    assert (samples(file)["run_exit_code"], samples(file)["store_readable"]) == (2, 0)


def test_a_query_stays_behind_the_word(flagsnap: Flagsnap, watchdog: Watchdog) -> None:
    flagsnap.within("capture", "--label", "bad", "--ping", f"{watchdog.url}/?rid=7#part", code=2)
    assert watchdog.words == ["/start?rid=7", "/fail?rid=7"]


def test_an_answer_that_is_none_is_asked_for_again(flagsnap: Flagsnap, database: Database, watchdog: Watchdog) -> None:
    watchdog.answers = [200, 500, 429]
    database.execute(SCHEMA)
    assert "warning" not in flagsnap.within("capture", "--ping", watchdog.url).err
    assert watchdog.words == ["/start", "", "", ""]


def test_three_tries_and_no_more(flagsnap: Flagsnap, database: Database, watchdog: Watchdog) -> None:
    watchdog.answers = [503] * 9
    database.execute(SCHEMA)
    ended = flagsnap.within("capture", "--ping", watchdog.url)
    assert watchdog.words == ["/start", "", "", ""]
    assert f"warning: the ping of the start did not arrive at {watchdog.root}: status 503" in ended.err
    assert f"warning: the ping of the success did not arrive at {watchdog.root}: status 503" in ended.err
    assert SECRET not in ended.err + ended.out


def test_an_unknown_check_is_not_asked_for_again(flagsnap: Flagsnap, database: Database, watchdog: Watchdog) -> None:
    watchdog.answers = [404, 404]
    database.execute(SCHEMA)
    assert "status 404" in flagsnap.within("capture", "--ping", watchdog.url).err
    assert watchdog.words == ["/start", ""]


def test_a_redirect_is_followed_to_http_only(flagsnap: Flagsnap, database: Database, watchdog: Watchdog) -> None:
    database.execute(SCHEMA)
    watchdog.answers, watchdog.location = [301], f"{watchdog.root}/moved"
    assert "warning" not in flagsnap.within("capture", "--ping", watchdog.url).err
    assert watchdog.words == ["/start", "/moved", ""]
    for elsewhere in ("file:///etc/passwd", "ftp://127.0.0.1/x", f"{watchdog.url}/start"):
        watchdog.answers, watchdog.location = [302] * 30, elsewhere
        ended = flagsnap.within("capture", "--ping", watchdog.url, code=0)
        assert "did not arrive" in ended.err
        assert SECRET not in ended.err
        watchdog.answers = []


def test_a_dead_port(flagsnap: Flagsnap, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pings, "PAUSE", 0.01)
    database.execute(SCHEMA)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ended = flagsnap.within("capture", "--deploy-id", "v1", "--ping", f"http://127.0.0.1:{port}/{SECRET}", "--json")
    assert ended.json["ok"] is True
    assert ended.err.count("connection refused") == 2
    assert SECRET not in ended.err


def test_a_server_that_hangs_holds_nothing_up(
    flagsnap: Flagsnap, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start waits for nothing; the end for three times the timeout, and no longer."""
    for name, seconds in (("PAUSE", 0.0), ("SECONDS", 0.2), ("START_SECONDS", 0.1)):
        monkeypatch.setattr(pings, name, seconds)
    database.execute(SCHEMA)
    with silent_server() as url:
        ended = flagsnap.within("capture", "--deploy-id", "v1", "--ping", url)
        assert ended.err.count("no answer in time") == 2
        monkeypatch.setattr(pings, "SECONDS", 3.0)
        began = time.monotonic()
        pings.Pings(url, lambda _: None).start()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://host/{SECRET}",
        f"file:///{SECRET}",
        f"hc-ping.com/{SECRET}",
        f"https:///{SECRET}",
        f"http://host:port/{SECRET}",
        f"http://[/{SECRET}",
        f"http://user:{SECRET}@host/",
        f"http://host/{SECRET} x",
        f"http://host/{SECRET}\nx",
        f"http://höst/{SECRET}",
        "",
    ],
)
def test_a_url_that_no_ping_can_go_to(flagsnap: Flagsnap, url: str) -> None:
    """Before anything is done, and without showing it."""
    refused = flagsnap.within("capture", "--deploy-id", "v1", "--ping", url, code=2)
    assert refused.err.startswith("error: the URL of --ping ")
    assert SECRET not in refused.err
    assert flagsnap.files() == []


def test_a_metrics_file_that_cannot_be(flagsnap: Flagsnap, database: Database, watchdog: Watchdog) -> None:
    database.execute(SCHEMA)
    options = ("--ping", watchdog.url, "--metrics", "/nonexistent/flagsnap.prom")
    refused = flagsnap.within("capture", "--deploy-id", "v1", *options, code=2)
    assert refused.err.startswith("error: there is no folder /nonexistent for the metrics file\nhint: ")
    assert "warning" not in refused.err
    assert watchdog.words == ["/start", "/fail"]
    assert flagsnap.files() == []


def test_a_metrics_file_that_cannot_be_written_any_more(
    flagsnap: Flagsnap, database: Database, watchdog: Watchdog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the end: the capture is done, and the ping says so."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flagsnap.monitoring.files.tempfile.mkstemp", full)
    database.execute(SCHEMA)
    file = tmp_path / "flagsnap.prom"
    ended = flagsnap.within("capture", "--ping", watchdog.url, "--metrics", str(file))
    assert f"warning: the metrics file {file} was not written: no space left on device" in ended.err
    assert watchdog.words == ["/start", ""]
    assert not file.exists()


def test_interrupted(flagsnap: Flagsnap, database: Database, watchdog: Watchdog, tmp_path: Path) -> None:
    """SIGTERM, by which a platform ends a pod; the store is not asked any more."""
    database.execute(SCHEMA)
    file = tmp_path / "flagsnap.prom"
    blocker = database.connect()
    blocker.autocommit = False
    blocker.execute("LOCK TABLE feature")
    process = flagsnap.start("capture", "--lock-timeout", "60", "--ping", watchdog.url, "--metrics", str(file))
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = '{}')"
    deadline = time.monotonic() + 60
    while not database.rows(waiting.format(database.name), name="postgres"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=60)
    blocker.rollback()
    assert process.returncode == 130
    assert watchdog.words == ["/start", "/fail"]
    assert (samples(file)["run_exit_code"], samples(file)["store_readable"]) == (130, 0)


def test_json_stays_one_object(flagsnap: Flagsnap, watchdog: Watchdog) -> None:
    watchdog.answers = [500] * 9
    refused = flagsnap.within(
        "capture", "--json", "--ping", watchdog.url, code=1, FLAGSNAP_DATABASE_URL="postgresql:///x?host=/nonexistent"
    )
    assert json.loads(refused.out)["ok"] is False
    assert refused.err.count("warning: the ping of ") == 2
