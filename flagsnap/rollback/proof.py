"""What a rollback makes sure of: that nothing has moved before it, and that the recorded state is there after it."""

from flagsnap.errors import DifferencesFound, FlagsnapError, HalfWay
from flagsnap.migrations import difference
from flagsnap.plan import Plan
from flagsnap.postgres.connection import connect
from flagsnap.postgres.facts import LiveState, read_current_state, read_migrations
from flagsnap.progress import Progress
from flagsnap.restoring.restore import compare
from flagsnap.rollback.situation import Live, RollbackRequest

_NOTHING = "plan"


def refuse_if_moved(request: RollbackRequest, live: Live) -> None:
    """FlagsnapError if other migrations are applied by now than those that the plan was made from."""
    # On a connection of its own: the other one may have been idle for as long as a restore takes.
    with connect(request.address, "check") as connection:
        applied = read_migrations(connection) or ()
    if applied != live.state.applied:
        raise FlagsnapError(
            "the applied migrations have changed since the plan was made; nothing was done",
            "find out who is migrating, then run the same command again",
        )


def prove(
    request: RollbackRequest, plan: Plan, after: str, progress: Progress, *, kept: str | None = None, owed: str = ""
) -> None:
    """DifferencesFound unless the live database is what was recorded; HalfWay if that cannot be found out.

    `after` says what was done ("plan" if that was nothing), `kept` what keeps what was live before, and `owed` what is
    to be done yet.
    """
    with progress.task("verify"):
        try:
            state = _state(request)
        except FlagsnapError as error:
            if after == _NOTHING:
                raise
            finish = f"run `flagsnap verify --expect {plan.to}`" if plan.is_recorded else "run the same command again"
            finish = f"the same command goes on with {owed}" if owed else finish
            raise HalfWay(f"the {after} is done, but it could not be verified: {error}", finish) from error
    restored = plan.route == "restore" or request.is_copy
    if not request.is_recorded:
        _prove_migrations(request, after, state)
    elif found := compare(request.recorded, state, restored=restored, leaving_out=plan.kept):
        raise DifferencesFound(
            f"after the {after} the database is not what was recorded: {found[0]}"
            + (f", and {len(found) - 1} more" if found[1:] else "")
            + (f"; {owed} was not tried" if owed else ""),
            found,
            f"{kept} keeps what was live before; `flagsnap undo` brings it back"
            if kept
            else f"`flagsnap rollback --to {plan.to} --strategy restore` takes the snapshot instead",
        )


def _prove_migrations(request: RollbackRequest, after: str, state: LiveState) -> None:
    """DifferencesFound unless the applied migrations are those of the target, of which nothing else is known."""
    migrations = difference(request.target.applied_set, tuple(row.migration for row in state.applied))
    if migrations.none:
        return
    found = (
        *(f"migration {migration} is applied, was not before that time" for migration in migrations.extra),
        *(f"migration {migration} was applied before that time, is not applied" for migration in migrations.missing),
    )
    more = f", and {len(found) - 1} more" if found[1:] else ""
    raise DifferencesFound(
        f"after the {after} the applied migrations are not those of that time: {found[0]}{more}",
        found,
        "find out who is migrating, then run the same command again",
    )


def _state(request: RollbackRequest) -> LiveState:
    with connect(request.address, "verify") as connection:
        return read_current_state(connection, request.lock_timeout)
