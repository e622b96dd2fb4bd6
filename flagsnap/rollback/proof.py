"""What a rollback makes sure of: that nothing has moved before it, and that the recorded state is there after it."""

from flagsnap.errors import DifferencesFound, FlagsnapError, HalfWay
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
            finish = f"the same command goes on with {owed}" if owed else f"run `flagsnap verify --expect {plan.to}`"
            raise HalfWay(f"the {after} is done, but it could not be verified: {error}", finish) from error
    restored = plan.route == "restore" or request.is_copy
    if found := compare(request.recorded, state, restored=restored, leaving_out=plan.kept):
        raise DifferencesFound(
            f"after the {after} the database is not what was recorded: {found[0]}"
            + (f", and {len(found) - 1} more" if found[1:] else "")
            + (f"; {owed} was not tried" if owed else ""),
            found,
            f"{kept} keeps what was live before; `flagsnap undo` brings it back"
            if kept
            else f"`flagsnap rollback --to {plan.to} --strategy restore` takes the snapshot instead",
        )


def _state(request: RollbackRequest) -> LiveState:
    with connect(request.address, "verify") as connection:
        return read_current_state(connection, request.lock_timeout)
