"""What migrations do to the schema, one value an effect, in the order in which the migrations ran."""

from dataclasses import dataclass


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
    """A migration dropped a column."""

    table: str
    column: str


Effect = CreatedTable | DroppedTable | RanSql | RenamedTable | RenamedColumn | AddedColumn | DroppedColumn
