"""A rehearsal as text: the verdict, what to change, how long each way took, what the deploy will block."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from flagsnap.rehearsal.values import ForwardMigration, Rehearsal, Residue
from flagsnap.report.pieces import SHOWN, aligned, number, some
from flagsnap.results import RehearsalResult

_VERDICTS = {
    "exact": "exact: the way back gives the recorded state again",
    "residue": "residue: the way back gives the recorded schema, with a rest",
    "irreversible": "irreversible: there is no way back but to restore the snapshot",
    "fails": "fails: the deploy cannot be migrated to",
}
_WORTH_A_LINE = 0.05
_KEEPS = defaultdict(lambda: "writes", AccessExclusiveLock="reads and writes")


def rehearsal_text(result: RehearsalResult) -> Iterator[RenderableType]:
    """All of it, from top to bottom."""
    found = result.rehearsal
    without_rows = ", without rows" if found.schema_only else ""
    yield Text(f"rehearsed deploy {found.deploy_id}{without_rows}, in {result.seconds:.1f} s", style="bold")
    as_far = ", as far as rows were compared" if found.not_digested else ""
    yield Text(f"{_VERDICTS[found.verdict]}{as_far}", style="green" if found.verdict == "exact" else "red")
    yield from _why(found)
    if found.forward:
        yield from _ways(found)
        yield from _blocked(found.forward)
    elif found.verdict == "exact":
        yield Text("there was nothing to migrate: if that is a surprise, --manage does not run the new code")
    if result.database:
        yield Text(f"the scratch database is kept as {result.database}; drop it when you have seen it")
    if result.accepted:
        rest = ": its residue is acceptable, as declared" if found.residue else ""
        yield Text(f"the deploy may go ahead{rest}", style="green")
    else:
        yield Text("the deploy should not go ahead", style="red")


def _why(found: Rehearsal) -> Iterator[RenderableType]:
    if found.reason:
        yield Text(found.reason)
    yield from (Text(f"  {each}") for each in found.differences[:SHOWN])
    if found.residue:
        yield from _residue(found.residue)
    yield from (Text(f"- {each}") for each in found.advice)
    if found.not_digested:
        yield Text(f"not compared, for want of time: {some(found.not_digested)} (--digest-seconds gives it more)")


def _ways(found: Rehearsal) -> Iterator[RenderableType]:
    said = f"forward: {number(len(found.forward), 'migration')} in {found.forward_seconds:.1f} s"
    if found.back_seconds is not None:
        said += f"; back: {found.back_seconds:.1f} s by the project"
    if found.replay_seconds is not None:
        said += f", {found.replay_seconds:.2f} s by replay"
    yield Text(said)
    if found.back_seconds is not None:
        yield from (Text(f"no replay: {each}") for each in found.obstacles)
        yield Text(_again(found), style="red" if found.again else "")


def _again(found: Rehearsal) -> str:
    if found.again:
        return found.again
    rows = f", with other rows than the first time in {some(found.again_differs)}" if found.again_differs else ""
    return f"after the way back the deploy works again{rows}"


def _residue(residue: Sequence[Residue]) -> Iterator[RenderableType]:
    rows = [
        (each.table, f"{each.added:,}", f"{each.removed:,}", f"{each.changed:,}", some(each.by))
        for each in sorted(residue, key=lambda each: -each.rows)
    ]
    yield from aligned([("table", "added", "removed", "changed", "written by"), *rows], right=(1, 2, 3))


def _blocked(forward: Sequence[ForwardMigration]) -> Iterator[RenderableType]:
    """The locks of the deploy that are worth a thought, the longest first."""
    locks = [(lock, each.migration) for each in forward for lock in each.locks if lock.seconds >= _WORTH_A_LINE]
    if locks:
        longest = sorted(locks, key=lambda each: -each[0].seconds)
        yield Text("the deploy locks, on this data:")
        rows = [(lock.table, f"{lock.seconds:.2f} s", _KEEPS[lock.mode], str(by)) for lock, by in longest[:SHOWN]]
        yield from aligned([("table", "for", "against", "in"), *rows], right=(1,))
        if longest[SHOWN:]:
            yield Text(f"  and {len(longest) - SHOWN} more")
    else:
        yield Text(f"the deploy locks no table for longer than {_WORTH_A_LINE} s on this data")
    if rewritten := dict.fromkeys(name for each in forward for name in each.rewritten):
        yield Text(f"tables that the deploy rewrites: {some(rewritten)}")
