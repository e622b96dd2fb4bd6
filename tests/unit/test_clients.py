"""Which of PostgreSQL's client programs are taken; the programs here are real ones."""

from pathlib import Path

import pytest

from flagsnap.errors import UsageError
from flagsnap.postgres.clients import find_clients
from tests.fix_servers import ALL_MAJORS, bin_dir_of


@pytest.mark.parametrize("major", ALL_MAJORS)
def test_the_named_folder_is_taken(major: int) -> None:
    clients = find_clients(major, bin_dir_of(major))
    assert clients.major == major
    assert clients.version.startswith(f"{major}.")
    assert clients.path("pg_dump") == str(bin_dir_of(major) / "pg_dump")


def test_a_newer_client_will_do_and_an_older_one_will_not() -> None:
    assert find_clients(16, bin_dir_of(18)).major == 18
    folder = bin_dir_of(16)
    with pytest.raises(UsageError) as refused:
        find_clients(18, folder)
    message = str(refused.value)
    assert message.startswith(f"the server is PostgreSQL 18 and needs pg_dump 18 in {folder}: only 16.")
    assert "postgresql-client-18" in refused.value.hint
    assert "--pg-bin" in refused.value.hint


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"needs pg_dump 17 in {tmp_path}: none was found") as refused:
        find_clients(17, tmp_path)
    assert "postgresql-client-17" in refused.value.hint


def test_the_path_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bin_dir_of(17)))
    assert find_clients(17, None).major == 17


def test_the_path_comes_before_the_usual_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two of one major: a machine's own choice is its PATH."""
    for program in ("pg_dump", "pg_restore", "psql"):
        (tmp_path / program).symlink_to(bin_dir_of(15) / program)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_clients(15, None).folder == tmp_path


def test_what_does_not_run_or_is_not_complete_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pg_dump").symlink_to(bin_dir_of(18) / "pg_dump")
    with pytest.raises(UsageError, match="none was found"):
        find_clients(18, tmp_path)
    for program in ("pg_restore", "psql"):
        (tmp_path / program).write_text("broken")
    assert find_clients(18, tmp_path).major == 18
    (tmp_path / "pg_dump").unlink()
    (tmp_path / "pg_dump").write_text("broken")
    with pytest.raises(UsageError, match="none was found"):
        find_clients(18, tmp_path)


@pytest.mark.parametrize(
    ("printed", "version", "major"),
    [
        ("pg_dump (PostgreSQL) 16.4 (Debian 16.4-1.pgdg120+1)", "16.4", 16),
        ("pg_dump (PostgreSQL) 18beta1", "18beta1", 18),
        ("pg_dump (PostgreSQL) 17devel", "17devel", 17),
    ],
)
def test_versions_as_distributions_print_them(printed: str, version: str, major: int, tmp_path: Path) -> None:
    for program in ("pg_dump", "pg_restore", "psql"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho '{printed}'\n")
        (tmp_path / program).chmod(0o755)
    clients = find_clients(15, tmp_path)
    assert (clients.version, clients.major) == (version, major)


def test_no_pg_dump_before_16_has_zstd() -> None:
    assert not find_clients(15, bin_dir_of(15)).supports_zstd()
