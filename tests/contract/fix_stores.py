"""The stores that the contract is held against: put a new kind into `KINDS`, and it is tested like the others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flagsnap.stores import open_store
from flagsnap.stores.base import Store

Opener = Callable[[], Store]


def _local(folder: Path) -> Opener:
    return lambda: open_store(str(folder / "a store" / "of snapshots"))


KINDS: dict[str, Callable[[Path], Opener]] = {"local": _local}


@pytest.fixture(params=KINDS)
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Open the test's own store, empty at first; every call gives a store of its own on the same place."""
    kind: str = request.param
    return KINDS[kind](tmp_path)


@pytest.fixture
def store(open_one: Opener) -> Store:
    """The test's own store."""
    return open_one()
