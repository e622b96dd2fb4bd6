"""A project whose way back is recorded while it is taken."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from flagsnap.bridge.project import Description, Project, UnapplyListener, UnapplyOrder
from flagsnap.migrations import Migration
from flagsnap.rehearsal.recording import RecordedMigration, Session
from flagsnap.rehearsal.script import Present, Script, script_of


@dataclass
class RecordedProject:
    """Stands for the project in a rollback; it was described when it went forward, so it is not asked again."""

    project: Project
    description: Description
    session: Session = field(default_factory=lambda: Session("", {}))
    migrations: list[RecordedMigration] = field(default_factory=list)

    def describe(self, recorded: Collection[Migration]) -> Description:  # noqa: ARG002  # the same as then
        """What the project said of itself."""
        return self.description

    def unapply(self, order: UnapplyOrder, listener: UnapplyListener) -> None:
        """Unapply, and keep what was done."""
        recording = replace(listener, session=self._begin, recorded=self.migrations.append)
        self.project.unapply(replace(order, record=True), recording)

    def script(self, present: Present) -> Script:
        """What was recorded, as a script; `present` is what was there when all of it was done."""
        return script_of(self.session, self.migrations, present)

    def _begin(self, session: Session) -> None:
        self.session = session
