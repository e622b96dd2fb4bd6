"""Measure flagsnap against the bare tools on one server, in one run, in turns; the ratios are what counts.

Both sides get the same jobs and compression, and both sync what they write, as pg_dump does by itself.
"""

import argparse
import sys
from collections.abc import Callable

from flagsnap.postgres.dump import compression_for
from scripts.benches.cron import nightly
from scripts.benches.disk import on_disk
from scripts.benches.ground import JOBS, prepared
from scripts.benches.refill import refills
from scripts.benches.replay import replays
from scripts.benches.s3 import to_bucket


def main() -> int:
    """Run all comparisons; 1 if one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="the size of the database [2.0]")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured [3]")
    parser.add_argument("--only", choices=["disk", "s3", "refill", "replay", "cron"], help="one part")
    parser.add_argument("--rate", type=float, default=20.0, help="how many MB the S3 server takes in a second [20]")
    parser.add_argument("--rows", type=int, default=5_000_000, help="how many rows are refilled [5000000]")
    options = parser.parse_args()
    gigabytes = 0.0 if options.only in {"refill", "replay"} else options.gigabytes
    with prepared(gigabytes, options.runs) as bench:
        print(
            f"PostgreSQL {bench.server.major}, {bench.size() / 1e9:.2f} GB, {JOBS} jobs,"
            f" {compression_for(bench.clients)}, {bench.runs} runs\n"
        )
        print(f"{'':58} {'flagsnap':>9} {'bare':>9}   ratio")
        parts: dict[str, Callable[[], bool]] = {
            "disk": lambda: on_disk(bench),
            "s3": lambda: to_bucket(bench, options.rate),
            "refill": lambda: refills(bench, options.rows),
            "replay": lambda: replays(bench),
            "cron": lambda: nightly(bench),
        }
        good = [part() for name, part in parts.items() if options.only in {None, name}]
        return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
