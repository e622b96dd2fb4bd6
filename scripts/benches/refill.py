"""The refill of a dropped column, against psql: a bare COPY into a temporary table and an UPDATE from it."""

import shutil
import subprocess
from pathlib import Path

import psycopg

from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.owed import remember
from scripts.benches.ground import MEMORY_LIMIT, Bench, timed

LIMIT = 2.0
DEPLOY = "refill"
_FILL = """
    CREATE TABLE event AS
        SELECT i AS id, i %% 500 AS environment, 'identity-' || i %% 100000 AS identifier, md5(i::text) AS value,
               'note ' || i AS note, now() - i * interval '1 s' AS created
        FROM generate_series(1, %s) i
"""
_BEFORE = "BEGIN; CREATE TEMPORARY TABLE old (LIKE event) ON COMMIT DROP;\n"
_AFTER = "UPDATE public.event SET note = old.note FROM old WHERE old.id = event.id; COMMIT;\n"


def refills(bench: Bench, rows: int) -> bool:
    """Refill `rows` rows both ways, in turns."""
    with psycopg.connect(bench.database("bench"), autocommit=True) as connection:
        connection.execute(_FILL, (rows,))
        connection.execute("ALTER TABLE event ADD PRIMARY KEY (id)")
        connection.execute("CREATE INDEX ON event (identifier)")
    bench.flagsnap("capture", "--deploy-id", DEPLOY)
    bench.memory = 0
    pairs = [(_ours(bench, rows), _bare(bench, rows)) for _ in range(bench.runs)]
    good = bench.report(f"refill of {rows:,} rows / COPY and UPDATE … FROM by psql", pairs, LIMIT)
    print(f"peak memory of flagsnap: {bench.memory / 1e6:.0f} MB (under {MEMORY_LIMIT / 1e6:.0f} MB)")
    return good and bench.memory < MEMORY_LIMIT


def _ours(bench: Bench, rows: int) -> float:
    _deploy_and_back(bench)
    with connect(Address.parse(bench.database("bench")), "bench") as connection:
        remember(connection, DEPLOY, (RefillItem("public", "event", ("note",), ("id",)),))
    seconds = timed(lambda: bench.flagsnap("refill", "--to", DEPLOY))
    _check(bench, rows)
    return seconds


def _bare(bench: Bench, rows: int) -> float:
    _deploy_and_back(bench)
    seconds = timed(lambda: _copy_and_update(bench, bench.folder / "store" / DEPLOY / "dumps" / "default"))
    _check(bench, rows)
    return seconds


def _copy_and_update(bench: Bench, dump: Path) -> None:
    restore = (bench.clients.path("pg_restore"), "--data-only", "--table=event", "--file=-", str(dump))
    psql = (bench.clients.path("psql"), "-qX", "--set=ON_ERROR_STOP=1", bench.database("bench"))
    with (
        subprocess.Popen(restore, stdout=subprocess.PIPE) as source,
        subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as sink,
    ):
        assert source.stdout
        assert sink.stdin
        sink.stdin.write(_BEFORE.encode())
        while not (line := source.stdout.readline()).startswith(b"COPY "):
            sink.stdin.write(line)
        sink.stdin.write(line.replace(b"public.event", b"pg_temp.old"))
        shutil.copyfileobj(source.stdout, sink.stdin)
        sink.stdin.write(_AFTER.encode())
        sink.stdin.close()
        if sink.wait() or source.wait():
            raise SystemExit("psql or pg_restore failed")


def _deploy_and_back(bench: Bench) -> None:
    """Drop the column and add it again; the table is then as compact as at first."""
    with psycopg.connect(bench.database("bench"), autocommit=True) as connection:
        connection.execute("ALTER TABLE event DROP note")
        connection.execute("ALTER TABLE event ADD note text")
        connection.execute("VACUUM (FULL, ANALYZE) event")
        connection.execute("CHECKPOINT")


def _check(bench: Bench, rows: int) -> None:
    with psycopg.connect(bench.database("bench")) as connection:
        row = connection.execute("SELECT count(*) FROM event WHERE note = 'note ' || id").fetchone()
    if row != (rows,):
        raise SystemExit(f"{row} of {rows} rows came back")
