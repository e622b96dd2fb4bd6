"""`plan --commands`: the lines from the live database to a recorded state, for those who must run them by hand."""

from dataclasses import dataclass

from flagsnap.bridge.project import Description, ProjectLike
from flagsnap.by_hand import ByHand, Way, closed, lines_back
from flagsnap.errors import UsageError
from flagsnap.loss.structure import made_before
from flagsnap.migrations import difference
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.facts import LiveState, ServerFacts, read_current_state, read_server
from flagsnap.progress import Progress
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.restoring.identity import refuse_other
from flagsnap.target import Target


@dataclass(frozen=True)
class ByHandRequest:
    """Where to go back to, and who knows the graph.

    Attributes:
        way: the target in words.
        project: None if none was named; then the rehearsal, None if there is none, has the graph.
        moved: the snapshot may be of another server or database name.
    """

    address: Address
    target: Target
    way: Way
    project: ProjectLike | None
    rehearsal: Rehearsal | None
    lock_timeout: float
    moved: bool = False


def find_lines(request: ByHandRequest, progress: Progress) -> ByHand:
    """The lines. RouteClosed if there are none, UsageError if nobody knows the graph; nothing is changed or locked."""
    server, state = _live(request)
    with progress.task("ask the project"):
        description = _description(request, server)
    applied = tuple(row.migration for row in state.applied)
    found = lines_back(request.way, request.target.applied_set, applied, description.graph)
    if found.lines:
        _refuse_recorded_tables(request, description, state)
    return found


def _live(request: ByHandRequest) -> tuple[ServerFacts, LiveState]:
    manifest = request.target.manifest
    with connect(request.address, "plan") as connection:
        server = read_server(connection)
        if manifest is not None and not request.moved:
            refuse_other(manifest, request.address, server.database, server.system_identifier)
        return server, read_current_state(connection, request.lock_timeout)


def _description(request: ByHandRequest, server: ServerFacts) -> Description:
    """What the project says, or had said in the rehearsal."""
    if request.project is not None:
        description = request.project.describe(request.target.applied_set)
        description.refuse_other(server.database, server.system_identifier)
        return description
    if (found := request.rehearsal) is not None:
        return Description(found.graph, found.effects, server.database, server.system_identifier)
    raise UsageError(
        f"nobody knows how the migrations depend on each other: no project was named, and {request.way.unrehearsed}",
        'name it with --manage "python manage.py" (FLAGSNAP_MANAGE)',
    )


def _refuse_recorded_tables(request: ByHandRequest, description: Description, live: LiveState) -> None:
    """RouteClosed if a line would drop what was recorded; see `made_before`."""
    applied = tuple(row.migration for row in live.applied)
    older = request.target.older_than(difference(request.target.applied_set, applied).extra)
    if older is None:
        return
    for table in made_before(older, live.catalog, description.effects):
        raise closed(
            f"an extra migration creates {table}, which was recorded: unapplying would drop it", request.way.restoring
        )
