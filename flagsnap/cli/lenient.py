"""For the commands that go on where a setting leads nowhere, and say so."""

from collections.abc import Callable
from typing import TypeVar

from flagsnap.errors import FlagsnapError

T = TypeVar("T")


def or_why(get: Callable[[], T]) -> T | FlagsnapError:
    """What a setting leads to, or why it leads nowhere."""
    try:
        return get()
    except FlagsnapError as error:
        return error
