"""Results as text for people: the verdict first, then what it rests on. Plain where colours are not wanted."""

from collections.abc import Iterator, Sequence
from functools import singledispatch

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.text import Text

from flagsnap.migrations import Migration
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.report.pieces import moment, number, size, some, spare_first, table
from flagsnap.report.plan import kept, plan_text
from flagsnap.report.rehearsal import rehearsal_text
from flagsnap.results import (
    CaptureResult,
    CopyResult,
    Leftover,
    Listing,
    PlanShown,
    Refilled,
    RefillResult,
    RehearsalResult,
    ReverseSql,
    RollbackResult,
    SnapshotShown,
    UndoResult,
)
from flagsnap.snapshot import Archive
from flagsnap.verification import Verified


@singledispatch
def render(result: object) -> list[RenderableType]:
    """A result for a terminal, a file or a log, by its type, in pieces from top to bottom."""
    raise TypeError(f"no text for {type(result).__name__}")


@render.register
def _(result: CaptureResult) -> list[RenderableType]:
    manifest, dump = result.manifest, result.manifest.database.dump
    verb = "kept the snapshot of" if result.reused else "captured"
    state = "the recorded state is the live one still" if result.reused else f"in {dump.seconds:.1f} s"
    migrations = number(len(manifest.database.migrations), "migration")
    return [
        Text(f"{verb} {manifest.deploy_id}: {migrations}, {size(dump.bytes)}, {state}"),
        Text(f"  {result.location}"),
        Text(f"  to come back: flagsnap rollback --to {manifest.deploy_id}", style="dim"),
    ]


@render.register
def _(result: Listing) -> list[RenderableType]:
    if not result.summaries and not result.damaged:
        return [Text("no snapshots")]
    made = table("deploy id", "captured", "size", "migrations", "labels", right=(2, 3))
    for each in result.summaries:
        labels = [f"{name}={value}" for name, value in each.labels.items()]
        said = " ".join([*([f"archive of {each.archive_of}"] if each.archive_of else []), *labels])
        made.add_row(each.deploy_id, moment(each.captured_at), size(each.bytes), f"{each.migrations}", said)
    spare_first(made)  # it will be copied
    return [made, *(Text(f"damaged: {reason}", style="red") for _, reason in result.damaged)]


@render.register
def _(result: SnapshotShown) -> list[RenderableType]:
    manifest, recorded = result.manifest, result.manifest.database
    dump = recorded.dump
    made = table("", "")
    made.show_header = False
    rows = {
        "deploy id": manifest.deploy_id,
        "archive of": _archived(manifest.archive) if manifest.archive else "",
        "captured": moment(manifest.captured_at),
        "labels": " ".join(f"{name}={value}" for name, value in manifest.labels.items()),
        "database": f"{recorded.name}, {size(recorded.bytes)}, PostgreSQL {recorded.server_major}",
        "migrations": f"{len(recorded.migrations)}, the last {_last(recorded.applied_set)}",
        "tables": f"{len(recorded.tables)} with {sum(each.rows for each in recorded.tables):,} rows",
        "fingerprint": recorded.fingerprint,
        "dump": f"{size(dump.bytes)} in {len(dump.files)} files, {dump.compression}, {dump.seconds:.1f} s",
        "pg_dump": dump.tool_version,
        "rehearsed": _rehearsed(result.rehearsal) if result.rehearsal else "",
        "restore point": recorded.restore_point or "",
        "WAL position": recorded.wal_position or "",
    }
    for name, value in rows.items():
        if value:
            made.add_row(name, value)
    return [made]


@render.register
def _(result: PlanShown) -> list[RenderableType]:
    return list(plan_text(result.plan))


@render.register
def _(result: ReverseSql) -> list[RenderableType]:
    return [Segments([Segment(result.sql)])]  # a Text would replace tabs, which may be data


@render.register
def _(result: RollbackResult) -> list[RenderableType]:
    plan = result.plan
    done = {
        None: "nothing had to be unapplied",
        "replay": f"replayed {number(len(plan.extra) - len(plan.rows_to_remove), 'migration')}",
        "unapply": f"unapplied {number(len(plan.extra) - len(plan.rows_to_remove), 'migration')}",
        "restore": "restored the snapshot",
    }[plan.route]
    lines: list[RenderableType] = [
        Text(f"back to the state before deploy {plan.to}: {done} in {result.seconds:.1f} s", style="bold"),
        Text("proven: the applied migrations and the schema equal what was recorded", style="green"),
        *_refilled(result.refilled, plan.to),
    ]
    if result.archive:
        lines.append(Text(f"archived what went, as {result.archive}; after the next deploy bring it back with"))
        lines.append(Text(f"  flagsnap refill --from {result.archive}"))
    lines += _leftovers(result.leftovers)
    if plan.kept:
        lines.append(Text(f"besides it there is what no migration made: {kept(plan)}"))
    if retired := result.retired_database or result.retired_schema:
        lines.append(Text(f"what was live before is kept as {retired}; flagsnap undo brings it back"))
    return lines


@render.register
def _(result: RefillResult) -> list[RenderableType]:
    if not result.refilled:
        return [Text(f"nothing to refill from {result.deploy_id}", style="bold")]
    rows = number(sum(each.rows for each in result.refilled), "row")
    verdict = Text(f"refilled {rows} from {result.deploy_id} in {result.seconds:.1f} s", style="bold")
    return [verdict, *_refilled(result.refilled, result.deploy_id)[1:]]


@render.register
def _(result: RehearsalResult) -> list[RenderableType]:
    return list(rehearsal_text(result))


@render.register
def _(result: CopyResult) -> list[RenderableType]:
    return [Text(f"restored and proven: {result.database}, in {result.seconds:.1f} s")]


@render.register
def _(result: UndoResult) -> list[RenderableType]:
    kept = result.retired_database or result.retired_schema
    lines: list[RenderableType] = [Text(f"{result.database} is again what it was before the restore", style="bold")]
    if kept:
        lines.append(Text(f"the restored state is kept as {kept}; another flagsnap undo brings it back"))
    return lines


@render.register
def _(result: Verified) -> list[RenderableType]:
    return list(_checks(result))


def print_result(console: Console, result: object) -> None:
    """Print a result. Sentences are not broken, so that a log keeps them whole; tables fit the width."""
    for piece in render(result):
        console.print(piece, soft_wrap=isinstance(piece, Text | Segments))


def _refilled(refilled: Sequence[Refilled], source: str) -> list[RenderableType]:
    """A sentence, then what was done with each table."""
    if not refilled:
        return []
    made = table("object", "rows", "replaced", "skipped", "", right=(1, 2, 3))
    for each in refilled:
        detail = each.detail or ("" if each.rows or each.skipped else "all was there already")
        made.add_row(each.object, f"{each.rows:,}", f"{each.replaced:,}", f"{each.skipped:,}", detail)
    spare_first(made)
    rows = number(sum(each.rows for each in refilled), "row")
    return [Text(f"refilled {rows} from {source}:", style="green"), made]


def _leftovers(leftovers: Sequence[Leftover]) -> list[RenderableType]:
    if not leftovers:
        return []
    rows, removed = (sum(counted) for counted in zip(*((each.rows, each.removed) for each in leftovers), strict=True))
    made = table("table", "rows", "removed", right=(1, 2))
    for each in leftovers:
        made.add_row(each.table, f"{each.rows:,}", f"{each.removed:,}")
    said = f"{number(rows, 'row')} of the deploy stayed behind"
    said += f", of which {removed:,} were removed" if removed else "; --tidy removes those that nothing refers to"
    return [Text(f"{said}:"), made]


def _checks(result: Verified) -> Iterator[RenderableType]:
    for check in result.checks:
        if check.ok:
            yield Text(f"ok      {check.name}: {check.subject}", style="green")
        else:
            yield Text(f"failed  {check.name}: {check.subject}", style="red")
            yield from (Text(f"        {detail}", overflow="fold") for detail in check.details)


def _rehearsed(rehearsal: Rehearsal) -> str:
    said: str = rehearsal.verdict
    if rehearsal.residue:
        rows, tables = sum(each.rows for each in rehearsal.residue), number(len(rehearsal.residue), "table")
        said += f": {number(rows, 'row')} of {tables}"
    elif rehearsal.reason:
        said += f": {rehearsal.reason}"
    parts = [said, "without rows" if rehearsal.schema_only else "", moment(rehearsal.rehearsed_at)]
    if (seconds := rehearsal.replay_seconds) is not None:
        parts.append(f"back in {seconds:.1f} s by replay")
    elif (seconds := rehearsal.back_seconds) is not None:
        parts.append(f"back in {seconds:.1f} s")
    parts.append("the deploy after it fails" if rehearsal.again else "")
    return ", ".join(filter(None, parts))


def _archived(archive: Archive) -> str:
    what = "the whole database" if archive.whole else some(item.object for item in archive.items)
    return f"{archive.rollback_to}: {what}"


def _last(applied: tuple[Migration, ...]) -> str:
    return str(applied[-1]) if applied else "none"
