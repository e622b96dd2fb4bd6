"""The stores that the contract is held against: put a new kind into `KINDS`, and it is tested like the others."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flagsnap.stores import open_store
from flagsnap.stores.base import Store
from tests.fix_s3 import KINDS as S3_KINDS
from tests.fix_s3 import place

Opener = Callable[[], Store]


def _local(folder: Path) -> Opener:
    return lambda: open_store(str(folder / "a store" / "of snapshots"))


def _bucket(kind: str) -> Callable[[Path], Opener]:
    def opener(_: Path) -> Opener:
        there = place(kind)
        for name, value in there.server.environment.items():
            os.environ[name] = value  # the test's own environment is put back after it
        options = {"endpoint_url": there.server.url, "addressing_style": "path"}
        return lambda: open_store(there.url, options)

    return opener


KINDS: dict[str, Callable[[Path], Opener]] = {"local": _local, **{kind: _bucket(kind) for kind in S3_KINDS}}


@pytest.fixture(params=KINDS)
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Open the test's own store, empty at first; every call gives a store of its own on the same place."""
    kind: str = request.param
    return KINDS[kind](tmp_path)


@pytest.fixture
def store(open_one: Opener) -> Store:
    """The test's own store."""
    return open_one()
