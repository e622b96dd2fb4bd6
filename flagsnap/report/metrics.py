"""A run and the store's state in Prometheus' text format, for node_exporter's textfile collector.

Ages are left to PromQL, which knows the time of the question: `time() - flagsnap_newest_capture_timestamp_seconds`.
Deploy ids are no labels: each would be a time series of its own, without end. What is asked at night is the newest that
is there, the newest that was proven, and how many are not well. Every sample has the command and the store as labels,
since the collector refuses a sample that stands in two files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from flagsnap.attached.verification import Rung
from flagsnap.results import Listing
from flagsnap.snapshot import Summary
from flagsnap.verification import LEVELS, Level

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True)
class RunEnded:
    """How a run ended; `store` is where the snapshots are, empty if that is not known."""

    command: str
    store: str
    exit_code: int
    seconds: float
    ended_at: datetime


@dataclass(frozen=True)
class _Metric:
    name: str
    help: str
    samples: tuple[Sample, ...]


def metrics_text(run: RunEnded, listing: Listing | None) -> str:
    """The whole file; without a listing, what is known of the run."""
    shared = {"command": run.command, "store": run.store}
    metrics = [*_of_run(run, listing), *(_of_store(listing) if listing else ())]
    return "".join(_written(metric, shared) for metric in metrics if metric.samples)


def _of_run(run: RunEnded, listing: Listing | None) -> Iterator[_Metric]:
    yield _one("run_success", "Whether the last run ended with exit code 0.", run.exit_code == 0)
    yield _one("run_exit_code", "The exit code of the last run.", run.exit_code)
    yield _one("run_seconds", "How long the last run took.", run.seconds)
    yield _one("run_end_timestamp_seconds", "When the last run ended.", run.ended_at.timestamp())
    yield _one("store_readable", "Whether the store could be listed at the end of the last run.", listing is not None)


def _of_store(listing: Listing) -> Iterator[_Metric]:
    captures = [each for each in listing.summaries if each.archive_of is None]
    pinned = [each for each in listing.summaries if listing.standing(each.deploy_id).pinned]
    yield _one("snapshots", "Captures in the store.", len(captures))
    yield _one("archives", "Archives in the store.", len(listing.summaries) - len(captures))
    yield _one("snapshots_damaged", "Snapshots whose manifest cannot be read.", len(listing.damaged))
    yield _one("snapshots_pinned", "Snapshots that are pinned.", len(pinned))
    yield _one("store_bytes", "The size of all dumps in the store.", sum(each.bytes for each in listing.summaries))
    if captures:
        newest = max(captures, key=lambda each: each.captured_at)
        when = newest.captured_at.timestamp()
        yield _one("newest_capture_timestamp_seconds", "When the newest capture was captured.", when)
        yield _one("newest_capture_bytes", "The size of the newest capture's dump.", newest.bytes)
        yield _one("newest_capture_migrations", "Migrations applied at the newest capture.", newest.migrations)
    yield from _of_checks(listing)


def _of_checks(listing: Listing) -> Iterator[_Metric]:
    """By level, where there is any result. A sample says nothing of when all was well; `Rung.verified_at` knows."""
    results = {level: list(_results(listing, level)) for level in LEVELS}
    ok = {level: all(rung.ok for _, rung in found) for level, found in results.items() if found}
    yield _by_level("verified_ok", "Whether the last check of each snapshot that was checked was well.", ok)
    proven = {
        level: [(each, rung.verified_at) for each, rung in found if each.archive_of is None and rung.verified_at]
        for level, found in results.items()
    }
    when = {level: max(at for _, at in found).timestamp() for level, found in proven.items() if found}
    yield _by_level("verified_timestamp_seconds", "When a capture was last proven whole.", when)
    back = {level: max(each.captured_at for each, _ in found).timestamp() for level, found in proven.items() if found}
    yield _by_level("verified_capture_timestamp_seconds", "When the newest capture proven whole was captured.", back)
    if drills := [rung for _, rung in results["drill"] if rung.ok]:
        last = max(drills, key=lambda rung: rung.checked_at)
        yield _one("drill_seconds", "How long the last good drill took: the recovery time.", last.seconds)


def _results(listing: Listing, level: Level) -> Iterator[tuple[Summary, Rung]]:
    for each in listing.summaries:
        if rung := listing.standing(each.deploy_id).rungs.get(level):
            yield each, rung


def _one(name: str, said: str, value: float) -> _Metric:
    return _Metric(name, said, (({}, value),))


def _by_level(name: str, said: str, values: Mapping[Level, float]) -> _Metric:
    return _Metric(name, said, tuple(({"level": level}, value) for level, value in values.items()))


def _written(metric: _Metric, shared: Mapping[str, str]) -> str:
    """The metric with its two comment lines; all are gauges, since a file tells a state and counts nothing up."""
    name = f"flagsnap_{metric.name}"
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge"]
    for labels, value in metric.samples:
        said = ",".join(f'{key}="{_escaped(text)}"' for key, text in {**shared, **labels}.items())
        lines.append(f"{name}{{{said}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """As the format wants a label's value."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    """Whole numbers as such; parts of a second to the millisecond."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{int(value)}"
