"""What a cron job runs, against the bare tools; and what a standby saves a rollback."""

import psycopg

from scripts.benches.ground import Bench, timed

ID = "nightly"


def nightly(bench: Bench) -> bool:
    """Hashing, a drill, and a rollback that finds the drill's database kept."""
    bench.flagsnap("capture", "--deploy-id", ID)
    dump = bench.folder / "store" / ID / "dumps" / "default"
    files = sorted(str(path) for path in dump.iterdir())
    return all(
        [
            bench.compare(
                "verify --level files / sha256sum",
                lambda: bench.flagsnap("verify", ID, "--level", "files"),
                lambda: bench.run("sha256sum", *files),
                1.50,
            ),
            bench.compare(
                "verify --level drill / pg_restore and ANALYZE",
                lambda: bench.flagsnap("verify", ID, "--level", "drill"),
                lambda: bench.restore(dump),
                1.20,
            ),
            bench.report(
                "rollback with a standby / rollback without", [_rollbacks(bench) for _ in range(bench.runs)], 0.50
            ),
        ]
    )


def _rollbacks(bench: Bench) -> tuple[float, float]:
    """How long a rollback by restoring takes with a standby, and without."""
    without = _rollback(bench)
    bench.flagsnap("verify", ID, "--level", "drill", "--keep")
    return _rollback(bench), without


def _rollback(bench: Bench) -> float:
    with psycopg.connect(bench.database("bench"), autocommit=True) as connection:
        connection.execute("INSERT INTO django_migrations VALUES (1, 'flags', '0002_bad', now())")
    options = ("--strategy", "restore", "--on-loss", "accept", "--yes")
    seconds = timed(lambda: bench.flagsnap("rollback", "--to", ID, *options))
    with psycopg.connect(bench.database("postgres"), autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'bench_flagsnap_%'").fetchall()
    for (name,) in rows:
        bench.drop(name)
    return seconds
