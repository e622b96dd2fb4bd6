"""The doctor's rules that are about numbers, and what they amount to."""

from datetime import timedelta
from pathlib import Path

import pytest

from flagsnap.diagnosing.disks import disk_of
from flagsnap.diagnosis import room, server, swap
from flagsnap.diagnosis.rights import quoted, restore_points
from flagsnap.diagnosis.server import Connections, Programs, Way
from flagsnap.diagnosis.swap import Extension
from flagsnap.diagnosis.values import LINES, Diagnosis, Finding, in_order

Disk = room.Disk


@pytest.mark.parametrize(
    ("finding", "state"),
    [
        (server.pooler(Way(7, 7, shared=False)), "ok"),
        (server.pooler(Way(7, 8, shared=False)), "advice"),
        (server.pooler(Way(7, 8, shared=True)), "failed"),
        (server.version(150004), "ok"),
        (server.version(180001), "ok"),
        (server.version(190000), "advice"),
        (server.clock(timedelta(seconds=1)), "ok"),
        (server.clock(timedelta(seconds=-10)), "advice"),
        (server.clock(timedelta(seconds=-10.1)), "failed"),
        (server.connections(Connections(6, "max_connections"), 2), "ok"),
        (server.connections(Connections(5, "max_connections"), 2), "advice"),
        (server.programs(Programs("18.1", 18, "/bin", zstd=True), 18), "ok"),
        (server.programs(Programs("18.1", 18, "/bin", zstd=False), 17), "advice"),
        (server.programs(Programs("18.1", 18, "/bin", zstd=True), None), "unchecked"),
        (room.server_disk(100, Disk("/", 100)), "ok"),
        (room.server_disk(100, Disk("/", 99)), "failed"),
        (room.server_disk(100, None), "advice"),
        (room.store_disk(100, Disk("/", 99)), "failed"),
        (room.store_disk(None, Disk("/", 0)), "ok"),
        (room.store_disk(100, None), "ok"),
        (room.scratch_disk(100, Disk("/", 100)), "ok"),
        (room.scratch_disk(100, Disk("/", 99)), "failed"),
        (room.scratch_disk(100, None), "ok"),
        (restore_points(True, "minimal", "app"), "advice"),
        (restore_points(True, "replica", "app"), "ok"),
        (swap.extensions([Extension("postgis", "3.4", None, False)], "app", ""), "failed"),
        (swap.extensions([Extension("postgis", "3.4", "3.4", False)], "app", ""), "failed"),
        (swap.extensions([Extension("postgis", "3.4", "3.4", False)], "app", "rds_superuser"), "advice"),
        (swap.extensions([Extension("postgis", "3.4", "3.5", True)], "app", ""), "advice"),
    ],
)
def test_rules(finding: Finding, state: str) -> None:
    assert finding.state == state
    assert bool(finding.mend) == (state in {"advice", "failed"})
    assert finding.why == LINES[finding.name]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("ok", "advice"), 0),
        (("ok", "unchecked", "advice"), 1),
        (("unchecked", "failed"), 3),
        ((), 0),
    ],
)
def test_exit_codes(states: tuple[str, ...], code: int) -> None:
    findings = tuple(Finding("clock", state, "x", "y") for state in states)  # type: ignore[arg-type]  # of the table
    assert Diagnosis(findings).exit_code == code


def test_lines_are_shown_in_their_order() -> None:
    found = {name: Finding(name, "ok", "") for name in reversed(list(LINES))}
    assert [finding.name for finding in in_order(found)] == list(LINES)
    assert in_order({}) == ()


@pytest.mark.parametrize(
    ("amount", "said"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (74_400_000_000, "74.4 GB")]
)
def test_sizes(amount: int, said: str) -> None:
    assert room.size(amount) == said


def test_names_in_remedies_can_be_pasted() -> None:
    assert [quoted(name) for name in ("app", "App", "my-app", 'a"b', "1a")] == [
        "app",
        '"App"',
        '"my-app"',
        '"a""b"',
        '"1a"',
    ]


def test_the_disk_of_a_folder_that_is_not_here_is_nobodys(tmp_path: Path) -> None:
    """A server behind a tunnel has a data folder of its own, and a store may have to be made yet."""
    there = tmp_path / "not" / "there"
    assert disk_of(there, will_be_made=False) is None
    found = disk_of(there)
    assert found is not None
    assert (found.place, found.free > 0) == (str(there), True)
