"""The doctor: all that a rollback needs is looked at before it is needed, and nothing is changed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flagsnap.bridge.project import ProjectLike
from flagsnap.diagnosing.database import examine_database, examine_programs
from flagsnap.diagnosing.examined import Examined
from flagsnap.diagnosing.project import examine_project
from flagsnap.diagnosing.store import examine_store
from flagsnap.diagnosis.values import Diagnosis, in_order
from flagsnap.errors import FlagsnapError
from flagsnap.postgres.connection import Address
from flagsnap.progress import Progress
from flagsnap.stores.snapshots import Snapshots


@dataclass(frozen=True)
class DoctorRequest:
    """What to look at; in the place of what cannot be had, why.

    Attributes:
        project: None if none was named.
        now: this machine's clock, in UTC.
    """

    address: Address | FlagsnapError
    snapshots: Snapshots | FlagsnapError
    project: ProjectLike | FlagsnapError | None
    jobs: int
    pg_bin: Path | None
    now: Callable[[], datetime]


def diagnose(request: DoctorRequest, progress: Progress) -> Diagnosis:
    """Look at everything; what cannot be looked at hides nothing else."""
    examined = Examined()
    address = request.address
    with progress.task("ask the server"):
        live = examine_database(examined, address, request.jobs, request.now)
    named = None if isinstance(address, FlagsnapError) else address.database
    database = live.database if live else named
    examine_programs(examined, live.server_major if live else None, request.pg_bin)
    with progress.task("ask the store"):
        newest = examine_store(examined, request.snapshots, database, live, request.now)
    examine_project(examined, request.project, database, live, newest, progress)
    return Diagnosis(in_order(examined.findings))
