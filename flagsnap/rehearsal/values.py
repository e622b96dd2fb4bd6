"""The rehearsal: the verdict and all that it rests on, as versioned JSON beside the snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter

from flagsnap.attached.document import Document
from flagsnap.catalog import Catalog
from flagsnap.loss.effects import Effect
from flagsnap.migrations import Graph, Migration, Node
from flagsnap.rehearsal.script import Script

REHEARSAL = "rehearsal.json"

Verdict = Literal["exact", "residue", "irreversible", "fails"]
"""`exact`: the recorded state, row by row; `residue`: its schema, and other rows; `irreversible`: no way back; `fails`:
the deploy itself does."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TableLock(_Value):
    """A lock on a table that was there before, and for how long a migration held it."""

    table: str
    mode: str
    seconds: float


class ForwardMigration(_Value):
    """What a migration of the deploy did on this data.

    Attributes:
        locks: those that keep somebody from writing, or from reading too; of a migration that is not atomic those of
            statements that may run in a transaction as well.
        rewritten: tables whose files were written anew.
        rows: rows that were inserted, updated or deleted, by table.
    """

    migration: Migration
    seconds: float
    atomic: bool
    locks: tuple[TableLock, ...] = ()
    rewritten: tuple[str, ...] = ()
    rows: Mapping[str, int] = {}


class Residue(_Value):
    """A table whose rows are not the recorded ones after the way back.

    Attributes:
        changed: rows with the same key and other values; of a table without a key they count as added and removed.
        by: the migrations of the deploy that wrote to it.
    """

    table: str
    added: int
    removed: int
    changed: int
    by: tuple[Migration, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows it is about."""
        return self.added + self.removed + self.changed


def _effect(given: Any) -> Any:
    if isinstance(given, list):
        kind, fields = given
        return TypeAdapter(_EFFECTS[kind]).validate_python(fields)
    return given


_EFFECTS: dict[str, Any] = {each.__name__: each for each in get_args(Effect)}
# Several effects have the same fields, so each goes with its name.
_EffectField = Annotated[
    Any, BeforeValidator(_effect), PlainSerializer(lambda effect: [type(effect).__name__, asdict(effect)])
]


class Rehearsal(Document):
    """A rehearsal of the deploy behind a snapshot.

    Attributes:
        captured_at: of the snapshot, so that one of the same deploy id cannot be taken for it.
        schema_only: without rows, but those of `django_migrations`.
        tidy: whether leftovers were removed on the way back.
        reason: why the verdict is what it is, empty if it is exact; advice: what to change in the migrations.
        differences: what of the schema and the migrations was not as recorded after the way back, in words.
        residue: what of the rows was not.
        not_digested: tables whose rows were not compared, for want of time.
        again: why the second deploy failed, empty if it did not; again_differs: the tables whose rows it made otherwise
            than the first.
        back_seconds: of the way back through Django; replay_seconds: of the replay of the same, None if it was not
            tried.
        nodes, replaced, effects: the graph of the new code, and what its extra migrations do.
        migrated: the catalog after `migrate`, as `Catalog.to_json`.
        applied: the applied migrations after `migrate`.
        script: the reverse SQL, None if there is no way back.
    """

    TITLE: ClassVar[str] = "rehearsal"

    captured_at: datetime
    rehearsed_at: datetime
    flagsnap_version: str
    schema_only: bool
    tidy: bool
    verdict: Verdict
    reason: str = ""
    advice: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    residue: tuple[Residue, ...] = ()
    not_digested: tuple[str, ...] = ()
    again: str = ""
    again_differs: tuple[str, ...] = ()
    forward: tuple[ForwardMigration, ...] = ()
    forward_seconds: float = 0.0
    back_seconds: float | None = None
    replay_seconds: float | None = None
    nodes: tuple[Node, ...] = ()
    replaced: tuple[tuple[Migration, tuple[Migration, ...]], ...] = ()
    effects: tuple[_EffectField, ...] = ()
    migrated: list[Any] = Field(default_factory=list)
    applied: tuple[Migration, ...] = ()
    script: Script | None = None

    @cached_property
    def graph(self) -> Graph:
        """The graph of the new code, resolved for the recorded state."""
        return Graph(self.nodes, dict(self.replaced))

    @cached_property
    def migrated_catalog(self) -> Catalog:
        """The catalog after `migrate`, as `Catalog.restorable`."""
        return Catalog.from_json(self.migrated)

    @property
    def obstacles(self) -> Sequence[str]:
        """Why it cannot be replayed, in words; empty if it can."""
        if self.script is None:
            return (self.reason or "there is no way back",)
        return self.script.obstacles

    def accepted(self, residue: Mapping[str, int | bool]) -> bool:
        """Whether a deploy may go ahead; `residue` is how many rows of each table may differ, True for any.

        Where rows were not compared, nobody knows how many differ.
        """
        unknown = any(residue.get(table) is not True for table in self.not_digested)
        if unknown or self.again or self.verdict in {"irreversible", "fails"}:
            return False
        return all(each.rows <= _limit(residue.get(each.table, 0), each.rows) for each in self.residue)

    def require_whole(self) -> None:
        """The catalog can be read."""
        _ = self.migrated_catalog


def _limit(allowed: int | bool, rows: int) -> int:
    return (rows if allowed else 0) if isinstance(allowed, bool) else allowed
