"""Which files of a dump a check reads when it may not read all: in rotation, so that over the runs every byte is read.

The unit is a file, since a SHA-256 is of a whole one. A share is reached by the first file that makes it so much.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from flagsnap.errors import UsageError
from flagsnap.snapshot import DumpFile

_ALL = 100.0


@dataclass(frozen=True)
class Rotation:
    """How far the samples have come: with which file to go on, and when they last began with the first."""

    resume: str = ""
    began: datetime | None = None


def share_of(text: str) -> float:
    """Read a share such as `5%`, from above 0 to 1; UsageError if it is none."""
    try:
        percent = float(text.removesuffix("%"))
        if not 0 < percent <= _ALL:
            raise ValueError(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a share of the bytes", "write it as 5%, from above 0% to 100%") from error
    return percent / _ALL


def in_rotation(files: Sequence[DumpFile], resume: str) -> tuple[DumpFile, ...]:
    """All files by their paths, those before `resume` last."""
    ordered = sorted(files, key=lambda file: file.path)
    return (*(file for file in ordered if file.path >= resume), *(file for file in ordered if file.path < resume))


def sample(files: Sequence[DumpFile], share: float) -> tuple[DumpFile, ...]:
    """The first of these files that together have that share of all bytes; one at least, if there is any."""
    wanted = share * sum(file.bytes for file in files)
    chosen: list[DumpFile] = []
    for file in files:
        if chosen and sum(each.bytes for each in chosen) >= wanted:
            break
        chosen.append(file)
    return tuple(chosen)


def batches(files: Sequence[DumpFile], most: int) -> Iterator[tuple[DumpFile, ...]]:
    """The same files in their order, in batches of so many bytes, or of one larger file."""
    batch: list[DumpFile] = []
    for file in files:
        if batch and sum(each.bytes for each in batch) + file.bytes > most:
            yield tuple(batch)
            batch = []
        batch.append(file)
    if batch:
        yield tuple(batch)


def turned(rotation: Rotation, order: Sequence[DumpFile], read: int, now: datetime) -> tuple[Rotation, datetime | None]:
    """Where the rotation stands once the first `read` files of its order were read and found well.

    Beside it: since when every byte has been read, if that completes a round.
    """
    if read >= len(order):
        return Rotation(), now
    start = order.index(min(order, key=lambda file: file.path))
    resume = order[read].path
    if start == 0:
        return Rotation(resume, now), None
    if read < start:
        return Rotation(resume, rotation.began), None
    return (Rotation(resume, now) if read > start else Rotation()), rotation.began
