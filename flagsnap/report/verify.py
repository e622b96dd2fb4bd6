"""What `verify` found, as text: a line a check, and many snapshots with a line each where all is well."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from flagsnap.report.pieces import size
from flagsnap.verification import LEVELS, Check, Drilled, Verified

_INDENT = " " * 11


def verified_text(result: Verified) -> Iterator[RenderableType]:
    """Each check; with several snapshots those of one that is well are told in one line."""
    several = sum(check.name == LEVELS[0] for check in result.checks) > 1
    drills = {drilled.deploy_id: drilled for drilled in result.drills}
    for subject, group in groupby(result.checks, key=lambda check: check.subject):
        checks = list(group)
        if several and len(checks) > 1 and all(check.ok for check in checks):
            yield _line("ok", ", ".join(check.name for check in checks), subject, _all_said(checks, drills))
        else:
            for check in checks:
                yield from _check(check, drills)


def _check(check: Check, drills: dict[str, Drilled]) -> Iterator[RenderableType]:
    if check.ok:
        yield _line("ok", check.name, check.subject, _said(check, drills))
    elif not check.checked:
        yield _line("unchecked", check.name, check.subject)
        yield Text(f"{_INDENT}could not check it: {check.unchecked}", overflow="fold")
    else:
        yield _line("failed", check.name, check.subject)
        yield from (Text(f"{_INDENT}{detail}", overflow="fold") for detail in check.details)


def _line(state: str, name: str, subject: str, said: str = "") -> Text:
    style = {"ok": "green", "failed": "red", "unchecked": "yellow"}[state]
    return Text(f"{state:<{len(_INDENT)}}{name}: {subject}" + (f": {said}" if said else ""), style=style)


def _said(check: Check, drills: dict[str, Drilled]) -> str:
    drilled = drills.get(check.subject) if check.name == "drill" else None
    if drilled is None:
        return check.said
    kept = f"; kept as {drilled.database}" if drilled.database else ""
    took = f"restored and proven in {drilled.seconds:.1f} s ({size(drilled.bytes)})"
    return f"{took} on {drilled.where}: that is the time to recover{kept}"


def _all_said(checks: Sequence[Check], drills: dict[str, Drilled]) -> str:
    return "; ".join(filter(None, (_said(check, drills) for check in checks)))
