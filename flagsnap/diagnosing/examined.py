"""How a line comes to be unchecked: what cannot be asked leaves the others as they are."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from flagsnap.diagnosis.values import LINES, Finding
from flagsnap.errors import FlagsnapError


class Examined:
    """The findings so far, by the names of their lines."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}

    def add(self, finding: Finding) -> Finding:
        """Keep a finding."""
        self.findings[finding.name] = finding
        return finding

    def ask(self, name: str, rule: Callable[[], Finding]) -> None:
        """Keep what a rule finds; it is unchecked if it cannot ask."""
        with self.or_unchecked(name):
            self.add(rule())

    @contextmanager
    def or_unchecked(self, *names: str) -> Iterator[None]:
        """What fails in the block leaves these lines unchecked, but for those that it has found already."""
        try:
            yield
        except FlagsnapError as error:
            self.unchecked(names, str(error), error.hint)

    def unchecked(self, names: Iterable[str], why: str, mend: str = "") -> None:
        """Leave lines unchecked, unless they were found."""
        for name in names:
            self.findings.setdefault(name, Finding(name, "unchecked", why, mend))


def names_between(first: str, last: str) -> tuple[str, ...]:
    """The lines from one to another, both included."""
    names = list(LINES)
    return tuple(names[names.index(first) : names.index(last) + 1])
