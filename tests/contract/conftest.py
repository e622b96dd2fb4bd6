"""The fixtures of the contract."""

from tests.contract.fix_stores import open_one, store

__all__ = ["open_one", "store"]
