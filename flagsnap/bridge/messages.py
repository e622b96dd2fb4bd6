"""What the probe answers, and how its lines are told from everything else that a project prints."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flagsnap.errors import BridgeFailed
from flagsnap.loss.effects import (
    AddedColumn,
    AlteredColumn,
    CreatedTable,
    DroppedColumn,
    DroppedTable,
    Effect,
    FilledNulls,
    Named,
    RanCode,
    RanSql,
    RenamedColumn,
    RenamedTable,
)
from flagsnap.loss.statements import effects_of
from flagsnap.migrations import Graph, Migration, Node, Operation
from flagsnap.rehearsal.recording import RecordedMigration, RecordedOperation, Session, Wrote
from flagsnap.rehearsal.values import ForwardMigration, TableLock

Pair = tuple[str, str]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Alive(_Message):
    """The probe's process lives."""

    type: Literal["alive"]


class Hello(_Message):
    """The project has started and is connected."""

    type: Literal["hello"]
    django: str
    database: str
    system_identifier: str | None
    pid: int


class NodeMessage(_Message):
    """A migration of the graph."""

    key: Pair
    parents: tuple[Pair, ...]
    replaces: tuple[Pair, ...]
    atomic: bool
    operations: tuple[Operation, ...]


class Replaced(_Message):
    """What a squashed migration replaces."""

    key: Pair
    replaces: tuple[Pair, ...]


class EffectMessage(_Message):
    """What an operation does to the schema."""

    effect: Literal[
        "create_table",
        "drop_table",
        "rename_table",
        "rename_column",
        "add_column",
        "drop_column",
        "fill_nulls",
        "alter_column",
        "named",
        "run_sql",
        "run_code",
    ]
    table: str = ""
    column: str = ""
    to: str = ""
    default: str | None = None
    sql: str = ""
    by: Pair | None = None
    comes_back: bool = True
    was: str | None = None
    not_null: bool = False


class GraphMessage(_Message):
    """The answer to "describe"."""

    type: Literal["graph"]
    nodes: tuple[NodeMessage, ...]
    replaced: tuple[Replaced, ...]
    effects: tuple[EffectMessage, ...]

    def graph(self) -> Graph:
        """As a value of the domain."""
        return Graph(
            nodes=tuple(
                Node(Migration(*node.key), _keys(node.parents), _keys(node.replaces), node.atomic, node.operations)
                for node in self.nodes
            ),
            replaced={Migration(*each.key): _keys(each.replaces) for each in self.replaced},
        )

    def schema_effects(self) -> tuple[Effect, ...]:
        """As values of the domain."""
        return tuple(effect for message in self.effects for effect in _effects(message))


class Prepared(_Message):
    """The project's state before one more migration is computed."""

    type: Literal["prepared"]
    count: int


class Unapplying(_Message):
    """A migration's reverse begins."""

    type: Literal["unapplying"]
    migration: Pair


class SessionMessage(_Message):
    """What the statements' meaning depends on."""

    type: Literal["session"]
    role: str
    settings: dict[str, str]

    def session(self) -> Session:
        """As a value of the domain."""
        return Session(self.role, self.settings)


class WroteMessage(_Message):
    """A table whose rows an operation wrote."""

    table_schema: str
    table: str
    oid: int
    columns: dict[str, int]
    triggers: bool


class RecordedOperationMessage(_Message):
    """The way back of one operation."""

    kind: str
    runs_code: bool
    statements: tuple[str, ...]
    noticed: tuple[str, ...]
    wrote: tuple[WroteMessage, ...]

    def operation(self) -> RecordedOperation:
        """As a value of the domain."""
        wrote = tuple(
            Wrote((each.table_schema, each.table), each.oid, each.columns, each.triggers) for each in self.wrote
        )
        return RecordedOperation(self.kind, self.runs_code, self.statements, self.noticed, wrote)


class Recorded(_Message):
    """The way back of one migration; it is for good when its segment is committed."""

    type: Literal["recorded"]
    migration: Pair
    atomic: bool
    rows: tuple[Pair, ...]
    operations: tuple[RecordedOperationMessage, ...]

    def recorded(self) -> RecordedMigration:
        """As a value of the domain."""
        operations = tuple(each.operation() for each in self.operations)
        return RecordedMigration(Migration(*self.migration), self.atomic, _keys(self.rows), operations)


class Migrated(_Message):
    """A migration is applied for good."""

    type: Literal["migrated"]
    migration: Pair
    seconds: float
    atomic: bool
    locks: tuple[TableLock, ...]
    rewritten: tuple[str, ...]
    rows: dict[str, int]

    def forward(self) -> ForwardMigration:
        """As a value of the domain."""
        return ForwardMigration(
            migration=Migration(*self.migration),
            seconds=self.seconds,
            atomic=self.atomic,
            locks=self.locks,
            rewritten=self.rewritten,
            rows=self.rows,
        )


class Committed(_Message):
    """A segment is unapplied for good."""

    type: Literal["committed"]
    migrations: tuple[Pair, ...]


class Failed(_Message):
    """The probe gave up; the segment that was open is undone."""

    type: Literal["failed"]
    kind: Literal["error", "usage", "unreachable", "locked", "moved", "migration", "confined"]
    error: str
    trace: str
    migration: Pair | None = None


class Done(_Message):
    """The request is answered."""

    type: Literal["done"]


Message = (
    Alive
    | Hello
    | GraphMessage
    | Prepared
    | SessionMessage
    | Unapplying
    | Recorded
    | Committed
    | Migrated
    | Failed
    | Done
)
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


@dataclass(frozen=True)
class Sentinels:
    """The marks around a message, new for each run, so that nothing that a project prints can be one."""

    begin: str
    end: str

    @classmethod
    def fresh(cls) -> "Sentinels":
        """Marks that nobody can have guessed."""
        nonce = secrets.token_hex(8)
        return cls(f"<flagsnap {nonce}>", f"</flagsnap {nonce}>")

    def read(self, line: str) -> Message | None:
        """The message in a line, None if there is none; BridgeFailed if there is a broken one."""
        if self.begin not in line:
            return None
        text = line.split(self.begin, 1)[1].split(self.end, 1)[0]
        try:
            return _MESSAGES.validate_json(text)
        except ValidationError as error:
            raise BridgeFailed(f"the probe sent what cannot be read: {text[:80]}") from error


def request(sentinels: Sentinels, action: str, **content: Any) -> str:
    """The call of the probe's `main`, as a line of Python."""
    text = json.dumps({"action": action, "begin": sentinels.begin, "end": sentinels.end, **content})
    return f"\nmain({text!r})\n"


def _keys(pairs: tuple[Pair, ...]) -> tuple[Migration, ...]:
    return tuple(Migration(*pair) for pair in pairs)


def _effects(message: EffectMessage) -> Iterator[Effect]:
    if message.effect == "run_sql":
        yield RanSql(message.sql)
        yield from effects_of(message.sql)
    else:
        yield _EFFECTS[message.effect](message)


_EFFECTS: dict[str, Callable[[EffectMessage], Effect]] = {
    "create_table": lambda message: CreatedTable(message.table),
    "drop_table": lambda message: DroppedTable(message.table),
    "rename_table": lambda message: RenamedTable(message.table, message.to),
    "rename_column": lambda message: RenamedColumn(message.table, message.column, message.to),
    "add_column": lambda message: AddedColumn(message.table, message.column, message.default),
    "drop_column": lambda message: DroppedColumn(message.table, message.column, message.comes_back),
    "fill_nulls": lambda message: FilledNulls(message.table, message.column, message.default),
    "alter_column": lambda message: AlteredColumn(message.table, message.column, message.was, message.not_null),
    "named": lambda message: Named(message.table),
    "run_code": lambda message: RanCode(message.sql, Migration(*message.by) if message.by else None),
}
