"""The two streams. What is printed there is taken as it is: names of people's own may look like markup."""

from rich.console import Console


def output() -> Console:
    """Standard output, for results."""
    return Console(highlight=False, markup=False, emoji=False)


def errors() -> Console:
    """Standard error, for all the rest."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)
