"""The words of losses: what goes, how many rows, what brings it back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Route = Literal["replay", "unapply", "restore"]
Remedy = Literal["archived", "refilled", "kept", "lost"]
ArchiveScope = Literal["affected", "full", "none"]
Kind = Literal[
    "table_dropped",
    "table_emptied",
    "column_dropped",
    "column_emptied",
    "type_narrowed",
    "type_cast",
    "rows_deleted",
    "rows_updated",
    "reverse_does_nothing",
    "reverse_runs_code",
    "statement_unknown",
    "written_since",
    "made_by_no_migration",
    "ran_forward",
    "whole_app",
    "other_state",
]
TableKey = tuple[str, str]

_COME_BACK_EMPTY: frozenset[Kind] = frozenset({"table_emptied", "column_emptied", "type_cast"})
"""What the deploy itself had destroyed: the snapshot has it."""


@dataclass(frozen=True)
class RefillItem:
    """Rows or values that a refill puts back from a snapshot, and how rows find each other.

    Attributes:
        columns: the columns whose values come back; empty for whole rows.
        key: the columns by which a row of the snapshot finds its own; empty for a table without a key, whose rows can
            only come back as a whole.
        condition: SQL, the rows of the snapshot that are meant; empty for all.
        through: a type that the values were cast to in between. Only where the table's value is still what that cast
            made of the snapshot's does the snapshot's come back.
        nulls: SQL of the value that NULLs were given in between. Only where the table's value is still that one do they
            come back.
        overwrite: whether values that are neither NULL nor the column's default give way, and rows that are there
            already; false where nobody knows how they came there.
    """

    schema: str
    table: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    condition: str = ""
    through: str = ""
    overwrite: bool = True
    nulls: str = ""

    @property
    def table_key(self) -> TableKey:
        """The table."""
        return (self.schema, self.table)

    @property
    def object(self) -> str:
        """The table, or its columns, in words."""
        return f"{self.schema}.{self.table}" + (f".{', '.join(self.columns)}" if self.columns else "")


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        rows: None where it cannot be told.
        estimated: whether the number is the planner's estimate, for want of time to count.
        at_most: whether it may be fewer: what the deploy had destroyed is known by its table's rows only.
        detail: what else there is to say, in words.
        item: what brings it back: from the snapshot if the remedy is `refilled`, from the archive if it is `archived`.
    """

    route: Route
    kind: Kind
    object: str
    rows: int | None
    remedy: Remedy
    estimated: bool = False
    detail: str = ""
    item: RefillItem | None = None
    at_most: bool = False

    @property
    def needs_consent(self) -> bool:
        """Whether somebody must agree: neither an archive nor the snapshot brings it back by itself."""
        return self.remedy in {"kept", "lost"} and self.rows != 0

    @property
    def could_be(self) -> Remedy:
        """The best remedy there is, whether it is wanted or not."""
        if self.item is None:
            return self.remedy
        return "refilled" if self.kind in _COME_BACK_EMPTY else "archived"


@dataclass(frozen=True)
class Question:
    """A possible loss whose rows have to be counted on the live database, or are `recorded` already.

    Attributes:
        column: None for all of a row.
        recorded: the number, where the snapshot knows it.
        condition: SQL, the rows that are meant; empty for all, None if they cannot be counted.
        at_most: whether fewer rows may be meant than are found.
        item: what would bring it back.
        fails: why unapplying itself fails where there is such a row, with {} for their number; then it is no loss, but
            the end of that route.
    """

    kind: Kind
    schema: str
    table: str
    column: str | None = None
    recorded: int | None = None
    condition: str | None = ""
    item: RefillItem | None = None
    fails: str = ""
    at_most: bool = False

    @property
    def object(self) -> str:
        """The table or column in words."""
        return ".".join(part for part in (self.schema, self.table, self.column) if part)

    def answered(self, rows: int | None, *, estimated: bool = False, detail: str = "") -> Loss:
        """The loss of unapplying, before anybody has thought of a remedy."""
        return Loss(
            "unapply",
            self.kind,
            self.object,
            rows,
            "lost",
            estimated,
            detail,
            self.item,
            self.at_most and rows is not None and not estimated,
        )

    def failure(self, rows: int | None) -> str:
        """Why unapplying fails, where there are so many rows."""
        return self.fails.replace("{}", "1 row" if rows == 1 else f"{rows:,} rows")


def with_remedies(losses: Iterable[Loss], archive: ArchiveScope, *, refill: bool) -> Iterator[Loss]:
    """Say for each loss what brings it back: a refill from the snapshot, the archive, or nothing."""
    for loss in losses:
        unwanted = (loss.could_be == "refilled" and not refill) or (loss.could_be == "archived" and archive == "none")
        yield replace(loss, remedy="lost" if unwanted else loss.could_be)


def items_with(losses: Iterable[Loss], remedy: Remedy) -> tuple[RefillItem, ...]:
    """What a remedy has to bring back, each once."""
    return tuple(dict.fromkeys(loss.item for loss in losses if loss.item and loss.remedy == remedy))
