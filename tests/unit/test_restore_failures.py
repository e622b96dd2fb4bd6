"""A restore that fails speaks against the dump only if nothing speaks for the server."""

import pytest

from flagsnap.errors import ChildFailed, RestoreFailed
from flagsnap.restoring.failures import restore_failed

SURROUNDINGS = (
    'error: could not execute query: ERROR:  could not extend file "base/1/2": No space left on device',
    'error: could not execute query: ERROR:  role "flags" does not exist',
    'error: could not execute query: ERROR:  extension "postgis" is not available',
    'ERROR:  could not open extension control file "/usr/share/x.control": No such file or directory',
    'ERROR:  could not access file "$libdir/postgis-3": No such file or directory',
    "ERROR:  permission denied to create extension",
    "ERROR:  must be owner of schema public",
    "ERROR:  must be able to SET ROLE",
    'error: connection to server at "127.0.0.1", port 5432 failed: FATAL:  the database system is shutting down',
    "FATAL:  terminating connection due to administrator command",
    "server closed the connection unexpectedly",
    "FATAL:  sorry, too many clients already",
    "ERROR:  out of shared memory",
    "ERROR:  canceling statement due to statement timeout",
    "ERROR:  deadlock detected",
    'FATAL:  database "flags_flagsnap_drill_1" does not exist',
    'ERROR:  tablespace "fast" does not exist',
    'ERROR:  collation "de_DE" for encoding "UTF8" does not exist',
    "error: could not compress data: this build does not support compression with LZ4",
    "error: unsupported version (1.16) in file header",
    'ERROR:  unrecognized configuration parameter "transaction_timeout"',
)
DUMP = (
    'ERROR:  duplicate key value violates unique constraint "account_pkey"',
    'ERROR:  syntax error at or near "rubbish"',
    "error: could not decompress data: Unknown frame descriptor",
    'ERROR:  invalid input syntax for type integer: "x"',
    'ERROR:  relation "public.account" does not exist',
    "error: did not find magic string in file header",
    "",
)


@pytest.mark.parametrize("said", SURROUNDINGS)
def test_of_the_server(said: str) -> None:
    assert not isinstance(restore_failed(ChildFailed("pg_restore", 1, said)), RestoreFailed)


@pytest.mark.parametrize("said", DUMP)
def test_of_the_dump(said: str) -> None:
    error = restore_failed(ChildFailed("pg_restore", 1, said))
    assert isinstance(error, RestoreFailed)
    assert error.hint == "the live database was not touched"


def test_a_killed_program_says_nothing_of_the_dump() -> None:
    assert not isinstance(restore_failed(ChildFailed("pg_restore", -9, "")), RestoreFailed)
