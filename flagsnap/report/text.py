"""Results as text for people: the verdict first, then what it rests on. Plain where colours are not wanted."""

from collections.abc import Sequence
from functools import singledispatch

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments
from rich.text import Text

from flagsnap.by_hand import ByHand
from flagsnap.diagnosis.values import Diagnosis
from flagsnap.history import History
from flagsnap.report.doctor import diagnosis_text
from flagsnap.report.history import history_text
from flagsnap.report.listing import listing_text, pin_text, shown_text
from flagsnap.report.pieces import number, size, spare_first, table
from flagsnap.report.plan import kept, plan_text, proven, target
from flagsnap.report.prune import prune_sum, prune_text
from flagsnap.report.rehearsal import rehearsal_text
from flagsnap.report.status import status_text
from flagsnap.report.verify import verified_text
from flagsnap.results import (
    CaptureResult,
    CopyResult,
    Leftover,
    Listing,
    PinChanged,
    PlanShown,
    Refilled,
    RefillResult,
    RehearsalResult,
    ReverseSql,
    RollbackResult,
    SnapshotShown,
    UndoResult,
)
from flagsnap.retention import CapturedAndPruned, Pruned
from flagsnap.verification import Verified
from flagsnap.whereabouts import Whereabouts


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
    return list(listing_text(result))


@render.register
def _(result: SnapshotShown) -> list[RenderableType]:
    return list(shown_text(result))


@render.register
def _(result: PinChanged) -> list[RenderableType]:
    return [Text(pin_text(result))]


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
        "restore": "took the standby" if result.standby else "restored the snapshot",
    }[plan.route]
    lines: list[RenderableType] = [
        Text(f"back to {target(plan)}: {done} in {result.seconds:.1f} s", style="bold"),
        *proven(plan),
        *_refilled(result.refilled, plan.to),
    ]
    if result.archive:
        lines.append(Text(f"archived what went, as {result.archive}; after the next deploy bring it back with"))
        lines.append(Text(f"  flagsnap refill --from {result.archive}"))
    lines += _leftovers(result.leftovers)
    if plan.kept:
        lines.append(Text(f"besides it there is what no migration made: {kept(plan)}"))
    if result.standby:
        lines.append(
            Text(f"it was swapped in from the standby {result.standby}, which a drill had restored and proven")
        )
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
    return list(verified_text(result))


@render.register
def _(result: Diagnosis) -> list[RenderableType]:
    return list(diagnosis_text(result))


@render.register
def _(result: Pruned) -> list[RenderableType]:
    return list(prune_text(result))


@render.register
def _(result: CapturedAndPruned) -> list[RenderableType]:
    return [*render(result.capture), *([prune_sum(result.pruned)] if result.pruned else ())]


@render.register
def _(result: Whereabouts) -> list[RenderableType]:
    return list(status_text(result))


@render.register
def _(result: ByHand) -> list[RenderableType]:
    return [Text(line) for line in (*(f"# {note}" for note in result.notes), *result.commands)]


@render.register
def _(result: History) -> list[RenderableType]:
    return list(history_text(result))


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
