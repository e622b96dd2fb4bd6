"""What migrations do to the schema, one value an effect, in the order in which the migrations ran."""

from dataclasses import dataclass

from flagsnap.migrations import Migration


@dataclass(frozen=True)
class CreatedTable:
    """A migration created a table."""

    table: str


@dataclass(frozen=True)
class DroppedTable:
    """A migration dropped a table."""

    table: str


@dataclass(frozen=True)
class RanSql:
    """A migration ran SQL of the project's own."""

    sql: str


@dataclass(frozen=True)
class RanCode:
    """A migration ran Python of the project's own; `text` is the source of a module of it, empty if not known."""

    text: str
    by: Migration | None = None


@dataclass(frozen=True)
class Named:
    """A migration made something of this name: an index, a constraint, an extension, a collation."""

    name: str


@dataclass(frozen=True)
class RenamedTable:
    """A migration renamed a table."""

    table: str
    to: str


@dataclass(frozen=True)
class RenamedColumn:
    """A migration renamed a column of `table`, as the table was called then."""

    table: str
    column: str
    to: str


@dataclass(frozen=True)
class AddedColumn:
    """A migration added a column; its rows were given `default`, an SQL literal, None if that is not known."""

    table: str
    column: str
    default: str | None


@dataclass(frozen=True)
class DroppedColumn:
    """A migration dropped a column; `comes_back` is false where its reverse cannot add it to a table with rows."""

    table: str
    column: str
    comes_back: bool = True


@dataclass(frozen=True)
class FilledNulls:
    """A migration gave `default` to the NULLs of a column, an SQL literal, None if that is not known."""

    table: str
    column: str
    default: str | None


@dataclass(frozen=True)
class AlteredColumn:
    """A migration changed a column's type, or let it take NULL.

    Attributes:
        was: the type before, as Django writes it; empty if that is not known, None if it is the same still.
        not_null: whether it took no NULL before, and does now.
    """

    table: str
    column: str
    was: str | None = None
    not_null: bool = False


Effect = (
    CreatedTable
    | DroppedTable
    | RanSql
    | RanCode
    | Named
    | RenamedTable
    | RenamedColumn
    | AddedColumn
    | DroppedColumn
    | FilledNulls
    | AlteredColumn
)
