"""Results as text for people: the verdict first, then what it rests on. Plain where colours are not wanted."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import singledispatch

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from flagsnap.loss.values import Loss
from flagsnap.migrations import Migration
from flagsnap.plan import Plan
from flagsnap.results import (
    CaptureResult,
    CopyResult,
    Listing,
    PlanShown,
    RollbackResult,
    SnapshotShown,
    UndoResult,
    Verified,
)

_SHOWN = 12
_KINDS = {
    "table_dropped": "rows of a table that goes",
    "table_emptied": "comes back empty",
    "column_dropped": "values of a column that goes",
    "column_emptied": "comes back empty",
    "type_narrowed": "values that the recorded type cannot carry",
    "reverse_does_nothing": "its reverse does nothing: what it changed stays",
    "written_since": "written since the capture",
}


@singledispatch
def render(result: object) -> list[RenderableType]:
    """A result for a terminal, a file or a log, by its type, in pieces from top to bottom."""
    raise TypeError(f"no text for {type(result).__name__}")


@render.register
def _(result: CaptureResult) -> list[RenderableType]:
    manifest, dump = result.manifest, result.manifest.database.dump
    verb = "kept the snapshot of" if result.reused else "captured"
    state = "the recorded state is the live one still" if result.reused else f"in {dump.seconds:.1f} s"
    return [
        Text(f"{verb} {manifest.deploy_id}: {_state(manifest.database.migrations)}, {size(dump.bytes)}, {state}"),
        Text(f"  {result.location}"),
        Text(f"  to come back: flagsnap rollback --to {manifest.deploy_id}", style="dim"),
    ]


@render.register
def _(result: Listing) -> list[RenderableType]:
    if not result.summaries and not result.damaged:
        return [Text("no snapshots")]
    table = _table("deploy id", "captured", "size", "migrations", "labels", right=(2, 3))
    for each in result.summaries:
        labels = " ".join(f"{name}={value}" for name, value in each.labels.items())
        table.add_row(each.deploy_id, moment(each.captured_at), size(each.bytes), f"{each.migrations}", labels)
    return [table, *(Text(f"damaged: {reason}", style="red") for _, reason in result.damaged)]


@render.register
def _(result: SnapshotShown) -> list[RenderableType]:
    manifest, recorded = result.manifest, result.manifest.database
    dump = recorded.dump
    table = _table("", "")
    table.show_header = False
    rows = {
        "deploy id": manifest.deploy_id,
        "captured": moment(manifest.captured_at),
        "labels": " ".join(f"{name}={value}" for name, value in manifest.labels.items()),
        "database": f"{recorded.name}, {size(recorded.bytes)}, PostgreSQL {recorded.server_major}",
        "migrations": f"{len(recorded.migrations)}, the last {_last(recorded.applied_set)}",
        "tables": f"{len(recorded.tables)} with {sum(table.rows for table in recorded.tables):,} rows",
        "fingerprint": recorded.fingerprint,
        "dump": f"{size(dump.bytes)} in {len(dump.files)} files, {dump.compression}, {dump.seconds:.1f} s",
        "pg_dump": dump.tool_version,
        "restore point": recorded.restore_point or "",
        "WAL position": recorded.wal_position or "",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return [table]


@render.register
def _(result: PlanShown) -> list[RenderableType]:
    return list(_plan(result.plan))


@render.register
def _(result: RollbackResult) -> list[RenderableType]:
    plan = result.plan
    done = {
        None: "nothing had to be done",
        "unapply": f"unapplied {_number(len(plan.extra) - len(plan.rows_to_remove), 'migration')}",
        "restore": "restored the snapshot",
    }[plan.route]
    lines: list[RenderableType] = [
        Text(f"back to the state before deploy {plan.to}: {done} in {result.seconds:.1f} s", style="bold"),
        Text("proven: the applied migrations and the schema equal what was recorded", style="green"),
    ]
    if plan.kept:
        lines.append(Text(f"besides it there are tables that no migration made: {_tables(plan)}"))
    if kept := result.retired_database or result.retired_schema:
        lines.append(Text(f"what was live before is kept as {kept}; flagsnap undo brings it back"))
    return lines


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
        console.print(piece, soft_wrap=isinstance(piece, Text))


def size(number: int) -> str:
    """Bytes for people, in decimal units."""
    value, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def moment(when: datetime) -> str:
    """A time, always in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plan(plan: Plan) -> Iterator[RenderableType]:
    yield Text(f"back to the state before deploy {plan.to}, captured {moment(plan.captured_at)}", style="bold")
    yield Text(_verdict(plan))
    if plan.refused:
        yield Text("refused as it stands: it loses data, and --on-loss does not agree to that", style="red")
    for each in plan.closed:
        yield Text(f"{each.route} is closed: {each.reason}")
    for route in dict.fromkeys((plan.route, "unapply", "restore")):
        losses = [loss for loss in plan.losses if loss.route == route]
        if losses:
            yield Text(f"\n{route} would cost", style="bold" if route == plan.route else "")
            yield _losses(losses)
        elif route and route == plan.route:
            yield Text(f"\n{route} loses nothing")
    if plan.steps:
        yield Text("\nsteps, newest first", style="bold")
        yield _steps(plan)
    if plan.kept:
        yield Text(f"made by no migration, and left as they are: {_tables(plan)}")
    if plan.bookkeeping and plan.route == "unapply":
        yield Text(f"bookkeeping rows set right: {', '.join(map(str, plan.bookkeeping))}")


def _verdict(plan: Plan) -> str:
    if plan.route is None:
        return "nothing to do: the migrations and the schema are the recorded ones"
    counted = [_number(len(plan.extra), "extra migration")]
    if plan.missing:
        counted.append(f"{len(plan.missing)} missing")
    if plan.route == "unapply":
        unapplied = sum(len(step.migrations) for step in plan.steps)
        return f"by unapplying {_number(unapplied, 'migration')} in {_number(len(plan.steps), 'segment')}"
    if plan.live_is_gone:
        return "by restoring the snapshot: the live database does not exist"
    return f"by restoring the snapshot beside the live database, and swapping the two; {', '.join(counted)}"


def _losses(losses: list[Loss]) -> Table:
    table = _table("object", "rows", "what", "remedy", right=(1,))
    for loss in losses[:_SHOWN]:
        rows = "?" if loss.rows is None else f"{loss.rows:,}"
        table.add_row(loss.object, rows, _KINDS[loss.kind], loss.remedy)
    if hidden := losses[_SHOWN:]:
        known = sum(loss.rows or 0 for loss in hidden)
        table.add_row(f"and {len(hidden)} more", f"{known:,}", "", "")
    return table


def _steps(plan: Plan) -> Table:
    table = _table("segment", "migrations", "", right=(0,))
    for number, step in enumerate(plan.steps, 1):
        names = ", ".join(map(str, step.migrations[:_SHOWN]))
        more = len(step.migrations) - _SHOWN
        table.add_row(
            str(number),
            names + (f" and {more} more" if more > 0 else ""),
            "one transaction" if step.atomic else "no transaction",
        )
    return table


def _checks(result: Verified) -> Iterator[RenderableType]:
    for check in result.checks:
        if check.ok:
            yield Text(f"ok      {check.name}: {check.subject}", style="green")
        else:
            yield Text(f"failed  {check.name}: {check.subject}", style="red")
            yield from (Text(f"        {detail}", overflow="fold") for detail in check.details)


def _tables(plan: Plan) -> str:
    return ", ".join(f"{schema}.{table}" for schema, table in plan.kept)


def _table(*headers: str, right: Iterable[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number in right else "left", overflow="fold")
    return table


def _state(migrations: tuple[object, ...]) -> str:
    return _number(len(migrations), "migration")


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _last(applied: tuple[Migration, ...]) -> str:
    return str(applied[-1]) if applied else "none"
