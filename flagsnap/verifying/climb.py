"""What was found on the way up the ladder."""

from dataclasses import dataclass, field

from flagsnap.attached.verification import Rung
from flagsnap.verification import Check, Drilled, Level
from flagsnap.verifying.rungs import Result
from flagsnap.verifying.sampling import Rotation


@dataclass
class Climb:
    """What was found so far: all checks, and of them the rungs that are kept."""

    checks: list[Check] = field(default_factory=list)
    rungs: dict[Level, Rung] = field(default_factory=dict)
    rotation: Rotation | None = None
    drilled: Drilled | None = None

    def add(self, level: Level, result: Result) -> bool:
        """Take a rung's result; whether it holds, so that the next one can be tried."""
        self.checks.append(result.check)
        if result.rung:
            self.rungs[level] = result.rung
        return result.check.ok
