"""What the doctor has found, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from flagsnap.diagnosis.values import LINES, Diagnosis, Finding, State
from flagsnap.report.pieces import number

_STYLES: dict[State, str] = {"ok": "green", "advice": "yellow", "failed": "red", "unchecked": "red"}
_STATE_WIDTH = max(map(len, _STYLES))
_NAME_WIDTH = max(map(len, LINES))
_INDENT = " " * (_STATE_WIDTH + 2)


def diagnosis_text(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    """The verdict, then every line; why it matters and how to mend it where it is not ok."""
    yield Text(_verdict(diagnosis), style="bold")
    unchecked: dict[tuple[str, str], list[str]] = {}
    for finding in diagnosis.findings:
        if finding.state == "unchecked":
            unchecked.setdefault((finding.found, finding.mend), []).append(finding.name)
        else:
            yield _line(finding.state, finding.name, finding.found)
            yield from _explained(finding)
    for (found, mend), names in unchecked.items():  # one cause may keep many from being checked
        yield _line("unchecked", names[0], found)
        if names[1:]:
            yield Text(f"{_INDENT}and so: {', '.join(names[1:])}")
        if mend:
            yield Text(f"{_INDENT}mend: {mend}")


def diagnosis_content(diagnosis: Diagnosis) -> dict[str, Any]:
    """Every line as an object."""
    return {
        "checks": [
            {
                "name": finding.name,
                "ok": finding.ok,
                "state": finding.state,
                "found": finding.found,
                "why": finding.why,
                "mend": finding.mend,
            }
            for finding in diagnosis.findings
        ]
    }


def _verdict(diagnosis: Diagnosis) -> str:
    failed, unchecked, advice = (len(diagnosis.of(state)) for state in ("failed", "unchecked", "advice"))
    said = f"{number(failed, 'thing')} will not work" if failed else ""
    parts = [
        said,
        f"{unchecked} could not be checked" if unchecked else "",
        f"{advice} could be better" if advice else "",
    ]
    return ", ".join(filter(None, parts)) or "nothing is missing"


def _line(state: State, name: str, found: str) -> Text:
    return Text(f"{state:{_STATE_WIDTH}}  {name:{_NAME_WIDTH}}  {found}", _STYLES[state])


def _explained(finding: Finding) -> Iterator[RenderableType]:
    if finding.state != "ok":
        yield Text(f"{_INDENT}why:  {finding.why}", style="dim")
        yield Text(f"{_INDENT}mend: {finding.mend}")
