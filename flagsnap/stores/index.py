"""The index: what `list` shows of a snapshot, in the names of empty objects or files beside the snapshots.

    .index/<deploy-id>/captured_at=…&bytes=…&migrations=…&state=…&label.key=value     the summary
    .index/<deploy-id>/of=verified.json&captured_at=…&files=…                         the brief of an attached file

It is never needed, and where it is in doubt it is not believed: a snapshot with no summary here, or with several, is
listed by its manifest; an attached file with several briefs, or with an empty one, is read. So whoever attaches a file
first puts an empty brief, and takes it away last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from flagsnap.snapshot import MANIFEST, Summary
from flagsnap.stores.base import Listed

FOLDER = ".index/"
_OF = "of"
_STAMP = "stamp"
_LABEL = "label."
_LONGEST = 255  # bytes of a file's name; some makers keep objects as files


@dataclass(frozen=True)
class Entry:
    """An entry of a snapshot.

    Attributes:
        path: the file that it tells of: the manifest for a summary, else an attached one.
        stamp: by which the local store knows whether it is still that file; empty elsewhere.
        values: what it says.
    """

    path: str
    stamp: str
    values: Mapping[str, str]


def summary_entry(summary: Summary, stamp: str = "") -> str | None:
    """The name for a summary, None if it would be too long."""
    pairs = {
        "captured_at": summary.captured_at.isoformat(),
        "bytes": str(summary.bytes),
        "migrations": str(summary.migrations),
        **({"archive_of": summary.archive_of} if summary.archive_of else {}),
        **({"state": summary.state} if summary.state else {}),
        **{_LABEL + key: value for key, value in summary.labels.items()},
    }
    return _name(pairs, stamp)


def brief_entry(path: str, brief: Mapping[str, str], stamp: str = "") -> str | None:
    """The name for the brief of an attached file, None if it would be too long."""
    return _name({_OF: path, **brief}, stamp)


def doubt_entry(path: str) -> str:
    """The name for an empty brief: who wants to know must read the file."""
    return urlencode({_OF: path})


def read_entry(name: str) -> Entry:
    """What a name says; one that is no entry's tells of the manifest, and nothing."""
    try:
        values = dict(parse_qsl(name, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        values = {}
    return Entry(values.pop(_OF, MANIFEST), values.pop(_STAMP, ""), values)


def read_entries(deploy_id: str, entries: Iterable[Entry]) -> Listed:
    """What the entries of a snapshot say together; nothing without exactly one summary."""
    summaries: list[Summary | None] = []
    briefs: dict[str, Mapping[str, str]] = {}
    for entry in entries:
        if entry.path == MANIFEST:
            summaries.append(_summary(deploy_id, entry.values))
        else:
            briefs[entry.path] = {} if entry.path in briefs else entry.values
    match summaries:
        case [Summary() as summary]:
            return Listed(summary, briefs)
    return Listed()


def _name(pairs: Mapping[str, str], stamp: str) -> str | None:
    name = urlencode({**pairs, **({_STAMP: stamp} if stamp else {})})
    return name if len(name) <= _LONGEST else None


def _summary(deploy_id: str, values: Mapping[str, str]) -> Summary | None:
    try:
        return Summary(
            deploy_id=deploy_id,
            captured_at=datetime.fromisoformat(values["captured_at"]),
            bytes=int(values["bytes"]),
            migrations=int(values["migrations"]),
            archive_of=values.get("archive_of"),
            state=values.get("state"),
            labels={key.removeprefix(_LABEL): value for key, value in values.items() if key.startswith(_LABEL)},
        )
    except (KeyError, ValueError):
        return None
