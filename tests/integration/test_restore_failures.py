"""Restores that fail: the live database serves on, its sessions stay connected, no scratch database stays behind."""

import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import pytest

from flagsnap.catalog import Catalog
from flagsnap.postgres import embedded
from tests.fix_cli import Flagsnap, Folder
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.fix_servers import PostgresServer
from tests.integration.sample_deploy import ROLLBACK, alter_manifest, deploy, is_recorded, said


@contextmanager
def untouched(database: Database) -> Iterator[None]:
    """The live database serves the same session before and after, and has no relatives."""
    session = database.connect()
    yield
    assert session.execute("SELECT count(*) FROM overdraft").fetchall() == [(1,)]
    assert not is_recorded(database)
    assert database.relatives() == [database.name]


def flip_a_byte(place: Folder | S3Place, key: str) -> None:
    content = bytearray(place.get(key))
    content[len(content) // 2] ^= 1
    place.put(key, bytes(content))


DAMAGES: dict[str, Callable[[Folder | S3Place, str], None]] = {
    "does not have its recorded SHA-256": flip_a_byte,
    "bytes, not": lambda place, key: place.put(key, place.get(key)[:-1]),
    "is missing": lambda place, key: place.delete(key),
}


@pytest.mark.parametrize("part", ["toc.dat", "[0-9]*.dat*"])
@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_dump(what: str, part: str, database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    key = next(key for key in flagsnap.files() if fnmatch(key, f"v2/dumps/default/{part}"))
    DAMAGES[what](flagsnap.place, key)
    with untouched(database):
        error, hint = said(flagsnap.within(*ROLLBACK, code=5))
        assert error.startswith("the snapshot is damaged: dumps/default/")
        # What is fetched is hashed on the way, whatever its size.
        assert (
            what if flagsnap.is_local else what.replace("bytes, not", "does not have its recorded SHA-256")
        ) in error
        assert "flagsnap list" in hint


def test_dump_with_a_file_that_was_not_recorded(database: Database, flagsnap: Flagsnap) -> None:
    """pg_restore is given a folder: the store's own, or one into which the recorded files were fetched and no other."""
    deploy(database, flagsnap)
    flagsnap.place.put("v2/dumps/default/9999.dat", b"")
    if flagsnap.is_local:
        with untouched(database):
            error, _ = said(flagsnap.within(*ROLLBACK, code=5))
            assert error == "the snapshot is damaged: dumps/default/9999.dat was not recorded"
    else:
        flagsnap.within(*ROLLBACK)
        assert is_recorded(database)


def test_manifest_that_is_gone(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    flagsnap.place.delete("v2/manifest.json")
    with untouched(database):
        error, _ = said(flagsnap.within(*ROLLBACK, code=5))
        assert error.startswith("no snapshot v2 in ")


ROLES = {
    "of a table": "CREATE TABLE of_role (id int); ALTER TABLE of_role OWNER TO {role}",
    "of a grant": "GRANT SELECT ON account TO {role}",
    "of a policy": "CREATE POLICY few ON account TO {role} USING (id < 9)",
    "of the database": "ALTER DATABASE {name} OWNER TO {role}",
    "of a setting": "ALTER ROLE {role} IN DATABASE {name} SET work_mem TO '5MB'",
    "of a grant on the database": "GRANT CREATE ON DATABASE {name} TO {role}",
}


@pytest.mark.parametrize("what", ROLES.values(), ids=ROLES)
def test_role_that_no_longer_exists(what: str, database: Database, flagsnap: Flagsnap) -> None:
    role = database.role("gone")
    deploy(database, flagsnap, what.format(role=role, name=database.name))
    database.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")
    with untouched(database):
        error, hint = said(flagsnap.within(*ROLLBACK, code=1))
        assert f'role "{role}" does not exist' in error
        assert "create the role" in hint
    database.role("gone")
    flagsnap.within(*ROLLBACK)
    assert is_recorded(database)


def test_what_was_restored_is_not_what_was_recorded(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    recorded = alter_manifest(flagsnap).database
    more = tuple(each.model_copy(update={"rows": each.rows + (each.table == "total")}) for each in recorded.tables)
    less = Catalog(tuple(item for item in recorded.schema_catalog.objects if item.identity.name != "balance"))
    alter_manifest(flagsnap, tables=more, catalog=less.to_json(), fingerprint=less.fingerprint)
    with untouched(database):
        ended = flagsnap.within(*ROLLBACK, code=3)
        assert "column public.account.balance was not recorded" in ended.err
        assert "table public.total: 2 rows were recorded, there are 1 rows" in ended.err
        assert "the live database was not touched" in ended.err


@dataclass(frozen=True)
class SmallDisk:
    """A server with room for one copy of a database, once it is `filled`, not for two; `words` say so."""

    server: PostgresServer
    options: str
    words: str
    filled: Callable[[], object]


@pytest.fixture
def small_disk(own_server: Callable[..., embedded.Server]) -> Iterator[SmallDisk]:
    """A tablespace of 48 MB where this user may mount one; elsewhere a server that may make no more large files."""
    server = own_server()
    postgres = PostgresServer(server.major, server.bin_dir, server.url())
    folder = Path(tempfile.mkdtemp(prefix="flagsnap-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        if mounted:
            os.chown(folder, server.data.stat().st_uid, -1)
            Database(postgres, "postgres").execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
            yield SmallDisk(postgres, "TABLESPACE small", "No space left on device", lambda: None)
        else:
            postmaster = int((server.data / "postmaster.pid").read_text().split("\n", 1)[0])
            limits = (17 << 20, 17 << 20)
            filled = partial(resource.prlimit, postmaster, resource.RLIMIT_FSIZE, limits)
            yield SmallDisk(postgres, "", "File too large", filled)
    finally:
        embedded.stop(server.folder)
        if mounted:
            subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def test_full_disk(small_disk: SmallDisk, flagsnap: Flagsnap) -> None:
    database = Database(small_disk.server, "app")
    Database(small_disk.server, "postgres").execute(f"CREATE DATABASE app {small_disk.options}")
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = database.url
    deploy(database, flagsnap, "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    small_disk.filled()
    with untouched(database):
        error, hint = said(flagsnap.within(*ROLLBACK, code=1))
        assert small_disk.words in error
        assert "free space on the database server" in hint
    database.close()
