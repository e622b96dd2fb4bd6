"""Results that are only looked at: values wrapped so that a report can tell them apart."""

from dataclasses import dataclass

from flagsnap.plan import Plan
from flagsnap.snapshot import Manifest
from flagsnap.verify import Check


@dataclass(frozen=True)
class SnapshotShown:
    """One snapshot, for `show`."""

    manifest: Manifest


@dataclass(frozen=True)
class PlanShown:
    """A plan that is not carried out."""

    plan: Plan


@dataclass(frozen=True)
class Verified:
    """All that a `verify` checked."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that found something."""
        return tuple(check for check in self.checks if not check.ok)
