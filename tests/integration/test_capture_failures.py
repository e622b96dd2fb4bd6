"""Captures that cannot succeed: each ends with one clear line, a hint and the right exit code, and leaves nothing."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Ended, Flagsnap
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.fix_servers import bin_dir_of
from tests.integration.captures import SCHEMA, drafts, held_up, in_store, is_running, manifest_of, outcome, wait_for

SECRET = "p@ss/w:rd"
ENCODED = "p%40ss%2Fw:rd"


def assert_clear(ended: Ended, code: int, error: str, hint: str) -> None:
    """One `error:` line, one `hint:` line, the exit code; no traceback and no password."""
    assert ended.code == code, ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith(("error:", "hint:"))]
    assert len(lines) == 2, ended.err
    assert re.match(f"error: {error}", lines[0]), lines[0]
    assert re.match(f"hint: .*{hint}", lines[1]), lines[1]
    assert ended.out == ""
    for secret in (SECRET, ENCODED, "sesame"):
        assert secret not in ended.err


def capture_of(flagsnap: Flagsnap, url: str | None = None, *options: str) -> Ended:
    chosen = ("--database-url", url) if url else ()
    return flagsnap.within("capture", "--deploy-id", "v2", *chosen, *options, code=None)


def test_a_wrong_password(flagsnap: Flagsnap, database: Database) -> None:
    url = database.server.url(database.name, "postgres", "x").replace(":x@", f":{ENCODED}@")
    ended = capture_of(flagsnap, url)
    assert_clear(
        ended,
        1,
        f'no connection to {database.name} on 127.0.0.1:\\d+: password authentication failed for user "postgres"',
        "check the user and the password",
    )


def test_a_database_or_a_role_that_is_not_there(flagsnap: Flagsnap, database: Database) -> None:
    missing = database.server.url("no_such_database")
    assert_clear(capture_of(flagsnap, missing), 1, r'no connection .*: database "no_such_database" does not exist', "")


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("127.0.0.1:{closed}", r"no connection to flags on 127.0.0.1:\d+: Connection refused"),
        ("no-such-host.invalid", r"no connection to flags on no-such-host.invalid:5432: .*resolve host"),
        ("/nowhere", r"no connection to flags on /nowhere:5432: .*No such file or directory"),
        ("127.0.0.1:{silent}", r"no connection to flags on 127.0.0.1:\d+: .*timeout"),
    ],
)
def test_a_server_that_cannot_be_reached(flagsnap: Flagsnap, where: str, error: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            closed = taken.getsockname()[1]
        place = where.format(closed=closed, silent=silent.getsockname()[1])
        if place.startswith("/"):
            url = f"postgresql://app:{ENCODED}@/flags?host={place}"
        else:
            url = f"postgresql://app:{ENCODED}@{place}/flags?connect_timeout=2"
        assert_clear(capture_of(flagsnap, url), 1, error, "--database-url .* and that the server runs")


def test_encryption_that_the_server_does_not_have(flagsnap: Flagsnap, database: Database) -> None:
    ended = capture_of(flagsnap, f"{database.url}?sslmode=require")
    assert_clear(ended, 1, "no connection to .*: server does not support SSL, but SSL was required", "")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:ses%ame@h/flags",
        "postgresql://app:sesame/more@h/flags",
        "host=h dbname=flags password='sesame",
        "mysql://app:sesame@h/flags",
    ],
)
@pytest.mark.parametrize("more", [(), ("--traceback",), ("--verbose",)])
def test_a_url_that_cannot_be_read_is_not_repeated(flagsnap: Flagsnap, url: str, more: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flagsnap", "capture", "--database-url", url, *more],
        env={**os.environ, **flagsnap.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the database URL ")
    assert "percent-encoded" in done.stderr
    assert "sesame" not in done.stderr
    assert "ses%ame" not in done.stderr


def test_a_folder_without_pg_dump_names_version_and_package(
    flagsnap: Flagsnap, database: Database, tmp_path: Path
) -> None:
    major = database.server.major
    (tmp_path / "empty").mkdir()
    for folder, found in ((tmp_path / "empty", "none was found"), (bin_dir_of(16), r"only 16\.\d+ was found")):
        ended = capture_of(flagsnap, None, "--pg-bin", str(folder))
        error = f"the server is PostgreSQL {major} and needs pg_dump {major} in {folder}: {found}"
        assert_clear(ended, 2, error, f"postgresql-client-{major}")
    assert in_store(flagsnap) == []


@pytest.mark.parametrize("deploy_id", ["../x", "latest", "", "x" * 129, "a/b", ".drafts"])
def test_what_is_no_deploy_id(flagsnap: Flagsnap, deploy_id: str) -> None:
    ended = flagsnap.within("capture", "--deploy-id", deploy_id, code=None)
    assert_clear(ended, 2, f"'{re.escape(deploy_id)}' is not a deploy id", "1 to 128 letters")
    assert in_store(flagsnap) == []


def test_a_label_that_is_none(flagsnap: Flagsnap) -> None:
    for label in ("ticket", "=x"):
        ended = flagsnap.within("capture", "--label", label, code=None)
        assert_clear(ended, 2, f"'{label}' is not a label", "KEY=VALUE")


@pytest.mark.local_store
def test_a_file_in_the_place_of_the_store(flagsnap: Flagsnap) -> None:
    flagsnap.store.write_text("a file")
    assert_clear(capture_of(flagsnap), 1, f"the store {flagsnap.store} failed: file exists", "--store")
    ended = capture_of(flagsnap, None, "--store", f"{flagsnap.store}/below")
    assert_clear(ended, 1, "the store .*/below failed: not a directory", "--store")


def test_a_store_on_another_planet(flagsnap: Flagsnap) -> None:
    for url in ("gs://bucket/prefix", "https://key:sesame@bucket"):
        error = f"there are no {url.partition(':')[0]}:// stores$"
        assert_clear(capture_of(flagsnap, None, "--store", url), 2, error, "use a folder")


@pytest.mark.local_store
def test_a_store_that_may_not_be_written(flagsnap: Flagsnap) -> None:
    """As an ordinary user; root does without the right to overrule permissions."""
    flagsnap.store.mkdir(mode=0o500)
    ended = _run_powerless(flagsnap, "capture", "--deploy-id", "v2")
    assert_clear(ended, 2, f"the store {flagsnap.store} cannot be used: permission denied", "may write to")
    assert list(flagsnap.store.iterdir()) == []


@pytest.mark.local_store
def test_a_store_that_may_not_be_read_is_not_an_empty_one(flagsnap: Flagsnap) -> None:
    flagsnap.within("capture", "--deploy-id", "v2")
    flagsnap.store.chmod(0)
    try:
        for arguments in (("list",), ("show", "v2"), ("verify",)):
            ended = _run_powerless(flagsnap, *arguments)
            assert_clear(ended, 2, f"the store {flagsnap.store} cannot be used: permission denied", "")
    finally:
        flagsnap.store.chmod(0o700)


def test_a_full_disk_while_dumping(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(
        "INSERT INTO state (feature_id, value) SELECT 1, md5(random()::text) FROM generate_series(1, 90000) n"
    )
    ended = _run_on_a_small_disk(flagsnap, "1m")
    error = "the dump failed: pg_dump ended with exit code 1: pg_dump: error: .*No space left on device"
    # What goes to a bucket is on its way in a folder for temporary files.
    assert_clear(ended, 1, error, "free space in " + ("the store" if flagsnap.is_local else r"\S+ \(TMPDIR\)"))
    assert in_store(flagsnap) == []


@pytest.mark.local_store
def test_a_disk_that_is_full_at_the_manifest(flagsnap: Flagsnap, database: Database) -> None:
    """The dump of an empty database fits, its manifest of many labels does not."""
    labels = [word for number in range(40) for word in ("--label", f"k{number}={'x' * 1000}")]
    ended = _run_on_a_small_disk(flagsnap, "32k", *labels)
    assert_clear(ended, 1, "the store .* failed: no space left on device", "free space there")


def test_pg_dump_that_is_killed(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        os.kill(capture.dump_pid, signal.SIGKILL)
        ended = Ended(*outcome(capture.process))
    assert_clear(ended, 1, "the dump failed: pg_dump was killed by signal 9", "nothing was stored")
    assert in_store(flagsnap) == []


def test_a_dump_whose_session_is_ended(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagsnap'"
            f" AND datname = '{database.name}'"
        )
        ended = Ended(*outcome(capture.process))
    error = "the dump failed: pg_dump ended with exit code 1: pg_dump: error: .*terminating connection"
    assert_clear(ended, 1, error, "nothing was stored")
    assert in_store(flagsnap) == []


def test_flagsnaps_own_session_that_is_ended(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagsnap capture'"
            f" AND datname = '{database.name}'"
        )
        ended = Ended(*capture.let_go())
    assert_clear(
        ended, 1, "no connection to .*: terminating connection due to administrator command", "run the same command"
    )
    assert in_store(flagsnap) == []


def test_a_store_that_vanishes_meanwhile(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        if isinstance(flagsnap.place, S3Place):
            for key in flagsnap.files():
                flagsnap.place.delete(key)
            flagsnap.place.client.delete_bucket(Bucket=flagsnap.place.bucket)
            error = f"the store {flagsnap.place.url} cannot be used: there is no bucket {flagsnap.place.bucket}"
        else:
            shutil.rmtree(flagsnap.store)
            error = "(the dump failed: pg_dump ended .*|the store .* failed:) ?.*[Nn]o such file or directory"
        ended = Ended(*capture.let_go())
    assert_clear(ended, 1, error, "")
    assert not flagsnap.store.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_capture_cleans_up(flagsnap: Flagsnap, database: Database, number: signal.Signals) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        capture.process.send_signal(number)
        ended = Ended(*outcome(capture.process))
        assert not is_running(capture.dump_pid)
    assert_clear(ended, 130, "interrupted", "the same command again")
    assert in_store(flagsnap) == []
    assert drafts(flagsnap) == []
    assert _sessions(database) == []


def test_a_killed_capture_leaves_no_snapshot_and_the_next_one_cleans_up(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v1")
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        capture.process.kill()
        capture.process.wait()
        listed = flagsnap.within("list", "--json").json
        assert [each["deploy_id"] for each in listed["snapshots"]] == ["v1"]
        assert listed["damaged"] == []
        again = flagsnap.start("capture", "--deploy-id", "v2")
        capture.holder.execute("ROLLBACK")
        code, _, err = outcome(again)
    assert code == 0, err
    assert "removed what an interrupted run had left of v2" in err
    assert drafts(flagsnap) == []
    assert len(manifest_of(flagsnap, "v2").database.migrations) == 2
    wait_for(lambda: not is_running(capture.dump_pid))


def test_a_table_that_somebody_has_locked(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    holder = database.connect()
    holder.execute("CREATE TABLE locked (id int)")
    with holder.transaction():
        holder.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        ended = capture_of(flagsnap, None, "--lock-timeout", "0.3")
        assert ended.code == 1
        assert re.search("^error: .*lock", ended.err, re.MULTILINE), ended.err
        assert in_store(flagsnap) == []
    assert capture_of(flagsnap).code == 0


def test_a_role_that_may_not_read_a_table(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    role = database.role("app")
    ended = capture_of(flagsnap, database.server.url(database.name, role))
    assert_clear(ended, 1, "(the dump failed: pg_dump .*|the role may not do this: )permission denied for table", "")
    assert in_store(flagsnap) == []


def _sessions(database: Database) -> list[tuple[str]]:
    query = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'flagsnap%'"
    with psycopg.connect(database.server.url(), autocommit=True) as connection:
        return connection.execute(f"{query} AND datname = '{database.name}'".encode()).fetchall()


def _run(flagsnap: Flagsnap, argv: list[str]) -> Ended:
    environment = {**os.environ, **flagsnap.environment}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def _run_powerless(flagsnap: Flagsnap, *arguments: str) -> Ended:
    argv = [sys.executable, "-m", "flagsnap", *arguments]
    if os.geteuid() == 0:
        argv = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *argv]
    return _run(flagsnap, argv)


def _run_on_a_small_disk(flagsnap: Flagsnap, size: str, *more: str) -> Ended:
    """Capture into (or by way of) a disk of its own, of that size; afterwards there must be no file on it."""
    flagsnap.store.mkdir()
    flagsnap.environment["TMPDIR"] = str(flagsnap.store)
    store = shlex.quote(str(flagsnap.store))
    capture = shlex.join([sys.executable, "-m", "flagsnap", "capture", "--deploy-id", "v2", *more])
    script = (
        f"mount -t tmpfs -o size={size} none {store} || exit 99; {capture}; code=$?; find {store} -type f; exit $code"
    )
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return _run(flagsnap, ["unshare", *as_root, "--mount", "sh", "-c", script])
