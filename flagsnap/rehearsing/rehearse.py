"""Rehearse: a deploy and its rollback on a copy of the real data, before the real deploy.

The snapshot is restored into a scratch database. There the new code migrates forward, the rollback takes it back while
every statement is recorded, and the rows are compared with the recorded ones; then forward again, as the next deploy
would, and back by replaying what was recorded. Each way is a process of the project's own, as in a real deploy. The
live database is looked at, and never written to.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from flagsnap.bridge.project import Project, Redirect
from flagsnap.errors import DifferencesFound, UsageError
from flagsnap.migrations import difference
from flagsnap.plan import state_differences
from flagsnap.postgres import databases
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.facts import LiveState, read_current_state, read_server, read_started
from flagsnap.postgres.locks import holding, key_of
from flagsnap.progress import Progress
from flagsnap.rehearsing.acts import Acts
from flagsnap.rehearsing.request import RehearseRequest
from flagsnap.rehearsing.timing import Timed
from flagsnap.restoring.identity import refuse_other
from flagsnap.restoring.restore import scratch_database
from flagsnap.results import RehearsalResult


def rehearse(request: RehearseRequest, progress: Progress) -> RehearsalResult:
    """Rehearse, and store the result beside the snapshot.

    Whatever the verdict is, the scratch database is dropped; one that a killed run left is dropped by the next.
    DifferencesFound if the live database was changed meanwhile; then nothing is stored.
    """
    began = time.monotonic()
    before = _look(request)
    with _scratch(request, progress) as scratch:
        rehearsal = Acts(request, scratch.address, scratch.project, Timed(progress)).play()
        kept = scratch.keep() if request.keep else None
    _refuse_if_changed(before, _look(request))
    request.snapshots.attach_rehearsal(rehearsal)
    accepted = rehearsal.accepted(request.acceptable)
    return RehearsalResult(rehearsal, accepted, kept, round(time.monotonic() - began, 3))


@dataclass(frozen=True)
class _Scratch:
    """The scratch database, and the project that works on it instead of the live one."""

    worker: Connection
    live: Address
    name: str
    project: Project
    comment: str | None

    @property
    def address(self) -> Address:
        return self.live.to(self.name)

    def keep(self) -> str:
        name = databases.name_for(self.live.database, "rehearsed", datetime.now(UTC))
        databases.comment(self.worker, self.name, self.comment)
        databases.swap(self.live, self.worker, [(self.name, name)])
        return name


@contextmanager
def _scratch(request: RehearseRequest, progress: Progress) -> Iterator[_Scratch]:
    """Restore the snapshot; whoever drops scratch databases has to wait for the lock until the end of the block."""
    live, nonce = request.address, f"flagsnap rehearsal {secrets.token_hex(16)}"
    with (
        databases.maintenance(live, "rehearse") as maintenance,
        holding(maintenance, live.database, key_of(live.database)),
        connect(live.to(maintenance.info.dbname), "rehearse") as worker,
        scratch_database(request.source, live, worker, progress, schema_only=request.schema_only) as name,
    ):
        databases.comment(worker, name, nonce)
        _cut_off(live.to(name))
        redirect = Redirect(name, nonce, live.database, read_started(worker))
        yield _Scratch(worker, live, name, request.project.redirected(redirect), request.recorded.properties.comment)


def _cut_off(scratch: Address) -> None:
    """Have nothing in the scratch database that logs in elsewhere; UsageError if this role may not see to that."""
    with connect(scratch, "rehearse") as connection:
        if kept := databases.drop_user_mappings(connection):
            raise UsageError(
                f"from the scratch database other servers could be written to: {kept[0]}",
                "rehearse as the owner of the foreign servers, or as a superuser",
            )


def _look(request: RehearseRequest) -> LiveState:
    with connect(request.address, "rehearse") as connection:
        if not request.moved:
            server = read_server(connection)
            refuse_other(request.manifest, request.address, server.database, server.system_identifier)
        return read_current_state(connection, request.lock_timeout)


def _refuse_if_changed(before: LiveState, after: LiveState) -> None:
    then, now = (tuple(row.migration for row in state.applied) for state in (before, after))
    if found := state_differences(before.catalog, after.catalog, difference(then, now)):
        raise DifferencesFound(
            f"the live database was changed during the rehearsal: {found[0]}",
            found,
            "find out who did it, then rehearse again; nothing was stored",
        )
