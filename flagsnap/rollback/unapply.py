"""Unapply: the project takes back exactly the extra migrations, and the bookkeeping rows are set right."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from flagsnap.bridge.project import ProjectLike, UnapplyListener, UnapplyOrder
from flagsnap.errors import FlagsnapError, HalfWay
from flagsnap.migrations import AppliedMigration, Migration
from flagsnap.plan import Plan
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.databases import end_backend
from flagsnap.postgres.facts import ServerFacts, read_migrations
from flagsnap.postgres.locks import UNAPPLY_KEY
from flagsnap.progress import Progress
from flagsnap.target import Target


@dataclass(frozen=True)
class Unapply:
    """What it takes to unapply a plan; `worker` is an autocommit connection to the live database."""

    plan: Plan
    target: Target
    server: ServerFacts
    project: ProjectLike
    worker: Connection
    lock_timeout: float

    def run(self, progress: Progress) -> None:
        """Carry the plan out. HalfWay if it failed after a segment was done, else the failure itself."""
        before = self._applied()
        begun: list[Migration] = []
        try:
            if self.plan.steps:
                self._unapply(before, begun, progress)
            set_bookkeeping_right(self.worker, self.plan, self.target.applied)
        except FlagsnapError as error:
            after = self._applied()
            # A migration that is not atomic may have done a part, which its row does not tell.
            partly = [each for each in begun[-1:] if each in after and each not in self._atomic()]
            if after == before and not partly:
                raise
            parts = "".join(f" and {migration} perhaps in part" for migration in partly)
            raise HalfWay(
                f"stopped half-way: {len(before - after)} of {len(self.plan.extra)} extra migrations are unapplied"
                f"{parts}; {error}",
                f"{error.hint or 'mend the cause'}; the same command then goes on from there",
            ) from error

    def _atomic(self) -> set[Migration]:
        return {migration for step in self.plan.steps if step.atomic for migration in step.migrations}

    def _unapply(self, applied: Collection[Migration], begun: list[Migration], progress: Progress) -> None:
        order = UnapplyOrder(
            database=self.server.database,
            system_identifier=self.server.system_identifier,
            recorded=self.target.applied_set,
            applied=applied,
            segments=self.plan.steps,
            lock_key=UNAPPLY_KEY,
            lock_timeout_ms=int(self.lock_timeout * 1000),
        )
        total = sum(len(step.migrations) for step in self.plan.steps)
        backends: list[int] = []

        with ExitStack() as stage:
            task = stage.enter_context(progress.task("prepare", total))

            def unapplying_one(migration: Migration) -> None:
                nonlocal task
                if not begun:  # all is prepared
                    stage.close()
                    task = stage.enter_context(progress.task("unapply", total))
                begun.append(migration)
                progress.note(f"unapplying {migration}")

            def advance(migrations: int = 1) -> None:
                task.advance(migrations)

            listener = UnapplyListener(backends.append, advance, unapplying_one, advance)
            try:
                self.project.unapply(order, listener)
            except BaseException:
                # The child here is ended, but what it ran in a container may live on with its transaction open.
                for pid in backends:
                    end_backend(self.worker, pid)
                raise

    def _applied(self) -> set[Migration]:
        return {row.migration for row in read_migrations(self.worker) or ()}


def set_bookkeeping_right(worker: Connection, plan: Plan, recorded: Sequence[AppliedMigration]) -> None:
    """Delete and put back rows of `django_migrations` that stand for no schema change, all or none.

    `recorded` has the dates.
    """
    with worker.transaction():
        for migration in plan.rows_to_remove:
            found = worker.execute("DELETE FROM django_migrations WHERE app = %s AND name = %s", migration)
            if found.rowcount != 1:
                raise FlagsnapError(f"the row of {migration} was there {found.rowcount} times, not once")
        dates = {row.migration: row.applied for row in recorded}
        for migration in plan.rows_to_add:
            worker.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)",
                (*migration, dates[migration]),
            )
