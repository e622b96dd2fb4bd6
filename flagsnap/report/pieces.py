"""What texts are made of: tables, numbers, sizes and times for people."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

SHOWN = 12
_NAME_WIDTH = 36


def table(*headers: str, right: Iterable[int] = ()) -> Table:
    """A table without lines, whose cells are folded and never cut; the columns of `right` hold numbers."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for position, header in enumerate(headers):
        made.add_column(header, justify="right" if position in right else "left", overflow="fold")
    return made


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Iterator[Text]:
    """Lines with their columns aligned, which are never folded: for names that are copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield Text(f"  {'  '.join(cells)}".rstrip())


def spare_first(made: Table) -> None:
    """Fold other columns before the names in the first, as long as those are of a usual length."""
    made.columns[0].no_wrap = all(len(str(name)) <= _NAME_WIDTH for name in made.columns[0].cells)


def number(amount: int, noun: str) -> str:
    """So many of something."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def some(names: Iterable[object]) -> str:
    """Names in a row, the first of them if they are many."""
    named = [str(name) for name in names]
    more = len(named) - SHOWN
    return ", ".join(named[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def size(amount: int) -> str:
    """Bytes for people, in decimal units."""
    value, units = float(amount), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def moment(when: datetime) -> str:
    """A time, always in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
