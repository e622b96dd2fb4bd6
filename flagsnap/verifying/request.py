"""What a `verify` was asked for."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from flagsnap.errors import FlagsnapError
from flagsnap.postgres.connection import Address
from flagsnap.restoring.drill import Ground
from flagsnap.restoring.restore import Source
from flagsnap.stores.snapshots import Snapshots
from flagsnap.verification import WHOLE, Level

GroundFor = Callable[[Source], AbstractContextManager[Ground]]


@dataclass(frozen=True)
class Budget:
    """The time for all; without end if there is no limit."""

    limit: timedelta | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """How many seconds are left."""
        if self.limit is None:
            return float("inf")
        return self.began + self.limit.total_seconds() - time.monotonic()

    @property
    def is_spent(self) -> bool:
        """Whether there is no time left."""
        return self.left <= 0


@dataclass(frozen=True)
class Ladder:
    """How far up, and with what.

    Attributes:
        share: how much of the dump's bytes the rung `files` reads.
        ground: where to drill.
        keep: whether a drilled database becomes the standby.
    """

    level: Level
    jobs: int
    pg_bin: Path | None
    ground: GroundFor
    share: float = WHOLE
    budget: Budget = field(default_factory=Budget)
    keep: bool = False


@dataclass(frozen=True)
class VerifyRequest:
    """Which snapshots to check, how far up, and what else.

    Attributes:
        deploy_id: the snapshot to check, `latest` for the newest capture; None for none, or those of `newest`.
        newest: so many of the newest captures; 0 for all, archives too; None for `deploy_id`.
        max_age: how old the newest capture may be.
        live: the database to compare with the newest capture and the baseline, None for no such check.
        expect: the snapshot that `address` must equal.
    """

    snapshots: Snapshots
    ladder: Ladder
    deploy_id: str | None
    newest: int | None = None
    max_age: timedelta | None = None
    live: Address | None = None
    expect: str | None = None
    address: Address | None = None


def why(error: FlagsnapError) -> str:
    """Why something could not be checked, and what to do about it, in words."""
    return f"{error}; {error.hint}" if error.hint else str(error)
