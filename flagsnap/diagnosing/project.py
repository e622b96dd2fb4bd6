"""The lines that the project tells."""

from flagsnap.bridge.project import ProjectLike
from flagsnap.diagnosing.database import Live
from flagsnap.diagnosing.examined import Examined
from flagsnap.diagnosis import snapshots
from flagsnap.diagnosis.values import Finding
from flagsnap.errors import FlagsnapError
from flagsnap.progress import Progress
from flagsnap.snapshot import Manifest

_OTHERS = ("project database", "project code")


def examine_project(
    examined: Examined,
    project: ProjectLike | FlagsnapError | None,
    database: str | None,
    live: Live | None,
    newest: Manifest | None,
    progress: Progress,
) -> None:
    """Ask the project; without one, its other lines are left out."""
    if project is None:
        examined.findings.pop("project code", None)
        examined.add(snapshots.no_project())
        return
    applied = live.applied if live else None
    if live and applied is None:
        # The project reads the same rows, and would wait without end for whoever keeps a lock on them.
        why = "the applied migrations could not be read, and the project reads them too"
        examined.unchecked(("project", "project database"), why, "see the line project code")
        return
    try:
        if isinstance(project, FlagsnapError):
            raise project
        with progress.task("ask the project"):
            description = project.describe(applied or ())
    except FlagsnapError as error:
        examined.add(Finding("project", "failed", str(error), error.hint))
        examined.unchecked(_OTHERS, "the project does not answer", "see the line project")
        return
    examined.add(Finding("project", "ok", f"it answers, with {len(description.graph.nodes):,} migrations"))
    if database is None:
        examined.unchecked(["project database"], "no database was named", "see the line connection")
    else:
        ours = (database, live.identifier if live else None)
        examined.add(snapshots.project_database((description.database, description.system_identifier), ours))
    if applied is None:
        examined.unchecked(["project code"], "the applied migrations are not known", "see the line connection")
    else:
        recorded = newest.database.applied_set if newest else None
        examined.add(snapshots.project_code(description.graph, applied, recorded))
