"""`doctor`: every line can be red, and nothing that cannot be asked hides another line."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flagsnap.diagnosing.doctor import DoctorRequest, diagnose
from flagsnap.diagnosis.values import LINES, Finding
from flagsnap.postgres import embedded
from flagsnap.postgres.connection import Address
from flagsnap.process import Command, run
from flagsnap.progress import Silent
from tests.faults.postgres import Rewrite, pretend_pid, pretend_version, rewriting
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS
from tests.integration import test_doctor_rights, test_doctor_store, test_doctor_swap
from tests.integration.captures import SCHEMA
from tests.integration.doctors import RED, as_role, examined, give_away, line, reddens

OF_THE_DATABASE = list(LINES)[: list(LINES).index("store")]


def test_every_line_has_a_test_that_makes_it_red() -> None:
    assert all((test_doctor_rights, test_doctor_store, test_doctor_swap)), (
        "importing them has told which lines they redden"
    )
    assert set(LINES) == RED


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_all_is_well_where_it_is_as_the_readme_has_it(flagsnap: Flagsnap, database: Database) -> None:
    """Also with a role that is no superuser, which is how most run it."""
    database.execute(SCHEMA)
    role = as_role(database, options="LOGIN CREATEDB")
    give_away(database, f"{database.name}_app")
    flagsnap.within("capture", "--deploy-id", "v2", code=0, **role)
    for environment in ({}, role):
        checks = examined(flagsnap, **environment)
        wrong = {name: check["found"] for name, check in checks.items() if check["state"] != "ok"}
        # What such a role may not ask or do, and what nobody named.
        assert set(wrong) <= ({"project"} if not environment else {"project", "restore points", "server disk"})
    told = flagsnap.within("doctor").out.splitlines()
    assert told[0] == "1 could be better"
    assert any(each.startswith("advice     project ") for each in told)


def test_it_changes_nothing(flagsnap: Flagsnap, database: Database) -> None:
    flagsnap.within("capture", "--deploy-id", "v2")
    before, relatives = flagsnap.files(), database.relatives()
    examined(flagsnap)
    assert (flagsnap.files(), database.relatives()) == (before, relatives)


@reddens("connection")
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://postgres:wrong@{host}/{name}", "password authentication failed"),
        ("postgresql://postgres@127.0.0.1:1/{name}", "refused"),
        ("{known}_gone", "does not exist"),
        ("postgresql://", "names no database"),
        ("", "no database URL was given"),
    ],
)
def test_without_a_connection_all_else_is_looked_at(
    flagsnap: Flagsnap, database: Database, url: str, found: str
) -> None:
    flagsnap.within("capture", "--deploy-id", "v2")
    host = database.url.rpartition("@")[2].partition("/")[0]
    named = url.format(host=host, name=database.name, known=database.url)
    checks = examined(flagsnap, FLAGSNAP_DATABASE_URL=named)
    assert checks["connection"]["state"] == "failed"
    assert found in checks["connection"]["found"]
    assert {checks[name]["state"] for name in OF_THE_DATABASE[1:]} == {"unchecked"}
    assert "whether they fit the server is not known" in checks["client programs"]["found"]
    assert checks["store"]["state"] == checks["store rights"]["state"] == checks["snapshots"]["state"] == "ok"
    assert "wrong" not in str(checks)
    text = flagsnap.within("doctor", code=3, FLAGSNAP_DATABASE_URL=named).out
    assert "and so: server version, primary, clock" in text


@reddens("pooler")
def test_a_pooler_is_known_by_the_process_id_that_it_makes_up(flagsnap: Flagsnap, database: Database) -> None:
    assert line(flagsnap, "pooler") == ("ok", "the connection is direct")
    with rewriting(database.url, lambda _, payload: payload) as through:
        assert line(flagsnap, "pooler", FLAGSNAP_DATABASE_URL=through) == ("ok", "the connection is direct")
    with rewriting(database.url, pretend_pid) as through:
        state, found = line(flagsnap, "pooler", FLAGSNAP_DATABASE_URL=through)
    assert state == "advice"
    assert "in session mode as far as can be told" in found


@reddens("server version", "client programs")
def test_a_server_of_another_version(flagsnap: Flagsnap, database: Database, tmp_path: Path) -> None:
    def through(rewrite: Rewrite, *names: str) -> list[tuple[str, str]]:
        with rewriting(database.url, rewrite) as url:
            checks = examined(flagsnap, FLAGSNAP_DATABASE_URL=url)
        return [(checks[name]["state"], checks[name]["found"]) for name in names]

    newer, too_old = through(pretend_version("19.1"), "server version", "client programs")
    assert newer == ("advice", "PostgreSQL 19, which this flagsnap was not tested with")
    assert too_old[0] == "failed"
    assert "the server is PostgreSQL 19 and needs pg_dump 19" in too_old[1]
    [programs] = through(pretend_version("17.6"), "client programs")
    assert programs[0] == "advice"
    assert programs[1].endswith("newer than the server")
    [connection] = through(pretend_version("14.20"), "connection")
    assert connection[0] == "failed"
    assert connection[1].endswith("runs PostgreSQL 14")
    state, found = line(flagsnap, "client programs", FLAGSNAP_PG_BIN=str(tmp_path))
    assert state == "failed"
    assert f"needs pg_dump 18 in {tmp_path}: none was found" in found


@reddens("primary")
def test_a_standby(flagsnap: Flagsnap, own_server: Callable[..., embedded.Server]) -> None:
    server = own_server()
    embedded.create_database(server, "flags")
    (server.data / "standby.signal").touch()
    embedded.stop(server.folder)
    user = "nobody" if server.data.stat().st_uid else None
    software = next(iter([*server.folder.glob("software/*/*/bin"), server.bin_dir]))
    argv = (str(software / "pg_ctl"), "start", "--wait", f"--pgdata={server.data}", f"--log={server.log}")
    run(Command((*argv, f"--options=-p {server.port}"), folder=server.folder, user=user))
    checks = examined(flagsnap, FLAGSNAP_DATABASE_URL=server.url("flags"))
    assert checks["primary"]["state"] == "failed"
    assert checks["primary"]["mend"] == "give flagsnap the address of the primary"
    assert [name for name in OF_THE_DATABASE if checks[name]["state"] == "unchecked"] == []
    refused = flagsnap.within("prune", "--keep-last", "1", code=2, FLAGSNAP_DATABASE_URL=server.url("flags")).err
    assert "is a hot standby" in refused


@reddens("clock")
@pytest.mark.parametrize(
    ("ahead", "state", "found"),
    [
        (timedelta(0), "ok", "this machine and the server agree"),
        (timedelta(seconds=6), "advice", "the clock of this machine is 6 s ahead of the server's"),
        (timedelta(seconds=-90), "failed", "the clock of this machine is 90 s behind the server's"),
        (timedelta(hours=1), "failed", "the clock of this machine is 3,600 s ahead of the server's"),
    ],
)
def test_two_clocks(flagsnap: Flagsnap, database: Database, ahead: timedelta, state: str, found: str) -> None:
    request = DoctorRequest(
        Address.parse(database.url), flagsnap.snapshots, None, 2, None, lambda: datetime.now(UTC) + ahead
    )
    finding = next(each for each in diagnose(request, Silent()).findings if each.name == "clock")
    assert isinstance(finding, Finding)
    assert (finding.state, finding.found) == (state, found)


@reddens("connections")
def test_too_few_connections(flagsnap: Flagsnap, database: Database) -> None:
    role = as_role(database, options="LOGIN CONNECTION LIMIT 4")
    state, found = line(flagsnap, "connections", "--jobs", "2", **role)
    assert (state, found) == ("advice", "3 are free (the role's connection limit), 6 are needed with --jobs 2")
    database.execute(f'ALTER ROLE "{database.name}_app" CONNECTION LIMIT -1')
    assert line(flagsnap, "connections", "--jobs", "2", **role)[0] == "ok"
    database.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 5')
    assert "the database's connection limit" in line(flagsnap, "connections", **role)[1]
    state, found = line(flagsnap, "connections", "--jobs", "5000")
    assert state == "advice"
    assert "(max_connections)" in found
