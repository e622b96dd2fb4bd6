"""Undo: the live database that a restore has replaced comes back, and the restored one is kept in its turn."""

from contextlib import ExitStack
from datetime import UTC, datetime

from flagsnap.errors import ConnectionFailed, UsageError
from flagsnap.postgres import databases, in_place
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.locks import holding, key_of
from flagsnap.progress import Progress
from flagsnap.restoring.in_place import undo_in_place
from flagsnap.results import UndoResult


def undo(live: Address, progress: Progress) -> UndoResult:
    """Bring back what the newest restore has retired: the whole database, or the schemas of an in-place restore.

    UsageError if nothing is retired; undoing twice brings the restored state back.
    """
    with ExitStack() as stack:
        try:
            maintenance = stack.enter_context(databases.maintenance(live, "undo"))
        except ConnectionFailed:
            # Perhaps this role may connect to its own database only; no other restore can have been made then.
            if schema := _undo_in_place(live, ""):
                return UndoResult(live.database, None, schema)
            raise
        stack.enter_context(holding(maintenance, live.database, key_of(live.database)))
        worker = stack.enter_context(connect(live.to(maintenance.info.dbname), "undo"))
        return _undo(live, worker, progress)


def _undo(live: Address, worker: Connection, progress: Progress) -> UndoResult:
    retired = databases.list_of(worker, live.database, "retired")
    live_exists = databases.exists(worker, live.database)
    if live_exists and (schema := _undo_in_place(live, _stamp(retired))):
        return UndoResult(live.database, None, schema)
    if not retired:
        raise UsageError(f"nothing is retired for {live}, so there is nothing to undo", "only a restore retires")
    if live_exists:
        _refuse_if_busy(live)
    with progress.task("swap"):
        return _swap_back(live, worker, retired[0], live_exists)


def _refuse_if_busy(live: Address) -> None:
    """Locked if a capture is at work there, which the swap would end."""
    with connect(live, "lock") as lock, holding(lock, live.database):
        return


def _swap_back(live: Address, worker: Connection, retired: str, live_exists: bool) -> UndoResult:
    renames = [(retired, live.database)]
    away = None
    if live_exists:
        away = databases.name_for(live.database, "retired", datetime.now(UTC))
        renames.insert(0, (live.database, away))
    databases.swap(live, worker, renames)
    return UndoResult(live.database, away, None)


def _undo_in_place(live: Address, newer_than: str) -> str | None:
    """Undo within the live database, if its newest in-place restore is the newest of all."""
    with connect(live, "undo") as worker:
        stamps = in_place.retired_stamps(worker)
        if not stamps or stamps[0] < newer_than:
            return None
        with connect(live, "lock") as lock, holding(lock, live.database):
            return undo_in_place(worker)


def _stamp(retired: tuple[str, ...]) -> str:
    return retired[0].rsplit("_", 1)[-1] if retired else ""
