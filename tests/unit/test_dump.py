"""The arguments of pg_dump, pg_restore and psql, and what they say while they work."""

from pathlib import Path

import pytest

from flagsnap.errors import ChildFailed
from flagsnap.postgres.clients import Clients, find_clients
from flagsnap.postgres.connection import Address
from flagsnap.postgres.dump import (
    FinishedItem,
    compression_for,
    data_command,
    dump_command,
    dump_id,
    entries_of,
    entry_description,
    finished_item,
    psql_command,
    restore_command,
    script_command,
    toc_entries,
    without,
)
from tests.fix_servers import bin_dir_of

CLIENTS = Clients(Path("/pg/bin"), "18.1", 18)
ADDRESS = Address.parse("postgresql://app:p%40ss%2Fw:rd@db.example:6543/flags?sslmode=require&keepalives_idle=30")


@pytest.mark.parametrize(
    ("major", "compression", "argument"),
    [
        (18, "zstd:1", "--compress=zstd:1"),
        (16, "gzip:1", "--compress=gzip:1"),
        (15, "gzip:1", "--compress=1"),
    ],
)
def test_dump_command(major: int, compression: str, argument: str) -> None:
    clients = Clients(Path("/pg/bin"), f"{major}.1", major)
    command = dump_command(
        clients,
        ADDRESS,
        Path("/store/x"),
        jobs=4,
        snapshot="00000003-0000001B-1",
        compression=compression,
        lock_timeout=2.5,
    )
    assert command.argv == (
        "/pg/bin/pg_dump",
        "--format=directory",
        "--jobs=4",
        "--file=/store/x",
        "--snapshot=00000003-0000001B-1",
        argument,
        "--no-sync",
        "--exclude-schema=flagsnap_retired_*",
        "--exclude-table=*.flagsnap_owed_refill",
        "--lock-wait-timeout=2500",
        "--no-password",
        "--verbose",
        "--dbname=keepalives_idle=30 dbname=flags",
    )
    assert command.env == ADDRESS.environment()


def test_only_some_tables_are_dumped_and_each_by_its_exact_name() -> None:
    tables = [("public", "flags_Flag"), ("odd.schema", 'a "quoted" t*ble')]
    argv = dump_command(
        CLIENTS, ADDRESS, Path("/x"), jobs=1, snapshot="1", compression="zstd:1", lock_timeout=0, only=tables
    ).argv
    patterns = [each for each in argv if each.startswith(("--table", "--exclude", "--strict"))]
    assert patterns == [
        "--strict-names",
        """--table="odd.schema"."a ""quoted"" t*ble\"""",
        """--table="public"."flags_Flag\"""",
    ]


def test_restore_command() -> None:
    command = restore_command(CLIENTS, ADDRESS, Path("/store/x"), jobs=4, toc_list=Path("/tmp/list"))
    assert command.argv == (
        "/pg/bin/pg_restore",
        "--jobs=4",
        "--exit-on-error",
        "--use-list=/tmp/list",
        "--no-password",
        "--verbose",
        "--dbname=keepalives_idle=30 dbname=flags",
        "/store/x",
    )
    tolerant = restore_command(CLIENTS, ADDRESS, Path("/store/x"), jobs=4, toc_list=Path("/tmp/list"), tolerant=True)
    assert tolerant.argv == tuple(each for each in command.argv if each != "--exit-on-error")


def test_commands_for_psql() -> None:
    assert data_command(CLIENTS, Path("/d"), Path("/l")).argv == (
        "/pg/bin/pg_restore",
        "--data-only",
        "--use-list=/l",
        "--file=-",
        "/d",
    )
    assert script_command(CLIENTS, Path("/d"), Path("/l")).argv == (
        "/pg/bin/pg_restore",
        "--use-list=/l",
        "--file=-",
        "/d",
    )
    argv = psql_command(CLIENTS, ADDRESS).argv
    assert argv[0] == "/pg/bin/psql"
    assert {"--no-psqlrc", "--no-password", "--set=ON_ERROR_STOP=1"} <= set(argv)


def test_no_password_is_in_any_argument() -> None:
    commands = [
        dump_command(CLIENTS, ADDRESS, Path("/x"), jobs=1, snapshot="s", compression="gzip:1", lock_timeout=0),
        restore_command(CLIENTS, ADDRESS, Path("/x"), jobs=1, toc_list=Path("/l")),
        psql_command(CLIENTS, ADDRESS),
    ]
    for command in commands:
        assert "ss/w" not in repr(command)
        assert "ss%2Fw" not in repr(command)
        assert command.env["PGPASSWORD"] == "p@ss/w:rd"


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("pg_dump: finished item 3401 TABLE DATA features_feature", FinishedItem(3401, "features_feature")),
        ("pg_dump: finished item 7 TABLE DATA weird name, (x)", FinishedItem(7, "weird name, (x)")),
        ("pg_dump: finished item 12 BLOBS BLOBS", FinishedItem(12, "BLOBS")),
        ("pg_dump: finished item 12 BLOBS 16401..16403", FinishedItem(12, "16401..16403")),
        ("pg_dump: finished item 12 LARGE OBJECTS x", FinishedItem(12, "x")),
        ("pg_restore: finished item 3402 TABLE DATA t", FinishedItem(3402, "t")),
        ("pg_restore: finished item 3300 INDEX t_pkey", None),
        ('pg_dump: dumping contents of table "public.t"', None),
        ("pg_dump: reading finished items", None),
        ("", None),
    ],
)
def test_finished_items(line: str, item: FinishedItem | None) -> None:
    assert finished_item(line) == item


def test_the_table_of_contents_is_divided() -> None:
    entries = [
        "3;1 2 TABLE public features_feature app",
        "215; 1259 16386 TABLE public features_feature flagsmith",
        "3401; 0 0 COMMENT - EXTENSION pg_trgm ",
    ]
    assert entry_description(entries[1]) == "TABLE public features_feature flagsmith"
    kept, left_out = without(entries, lambda entry: "EXTENSION" in entry)
    assert (kept, left_out) == (entries[:2], entries[2:])


def test_a_folder_without_a_dump_has_no_table_of_contents(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"toc\.dat"):
        toc_entries(find_clients(18, bin_dir_of(18)), tmp_path)


def test_compression_of_an_old_client() -> None:
    assert compression_for(find_clients(15, bin_dir_of(15))) == "gzip:1"


def test_entries_of_a_table() -> None:
    entries = [
        "215; 0 16386 TABLE DATA public flag app",
        "216; 0 16387 TABLE DATA public flag two app",
        "217; 0 16388 TABLE DATA public flags app",
        "218; 0 0 SEQUENCE SET public flag app",
        "219; 0 16389 TABLE DATA other flag app",
        "220; 0 16390 TABLE DATA public a b c app",
    ]
    assert [dump_id(entry) for entry in entries_of(entries, "TABLE DATA", "public", "flag")] == [215, 216]
    assert [dump_id(entry) for entry in entries_of(entries, "TABLE DATA", "public", "a\nb")] == [220]
