"""Snapshots and proven rollbacks of a Django database, around every deploy."""

__version__ = "0.1.0"
