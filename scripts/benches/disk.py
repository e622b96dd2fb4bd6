"""Captures to and restores from a folder, against pg_dump and pg_restore."""

from scripts.benches.ground import MEMORY_LIMIT, Bench


def on_disk(bench: Bench) -> bool:
    """Captures to and restores from a folder."""
    good = [
        bench.compare(
            "capture / pg_dump -Fd with the same options",
            bench.capture,
            lambda: bench.dump(*bench.directory()),
            1.10,
        ),
        bench.compare("capture / pg_dump -Fc as people type it", bench.capture, lambda: bench.dump("-Fc"), 0.60),
    ]
    bench.flagsnap("capture", "--deploy-id", "kept")
    dump = bench.folder / "store" / "kept" / "dumps" / "default"
    good.append(
        bench.compare(
            "restore up to the swap / pg_restore and ANALYZE", bench.restore_copy, lambda: bench.restore(dump), 1.10
        )
    )
    print(f"peak memory of flagsnap: {bench.memory / 1e6:.0f} MB (under {MEMORY_LIMIT / 1e6:.0f} MB)")
    return all(good) and bench.memory < MEMORY_LIMIT
