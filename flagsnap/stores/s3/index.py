"""The index: summaries in the names of empty objects, so that one request lists a thousand of them.

    .index/<deploy-id>/captured_at=…&bytes=…&migrations=…&label.key=value

It is never needed: a snapshot without an entry, or with one that is too long, is listed by its manifest.
"""

from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from flagsnap.snapshot import Summary

FOLDER = ".index/"
_LABEL = "label."
_LONGEST = 255  # some makers keep objects as files, whose names are no longer


def entry_name(summary: Summary) -> str | None:
    """The object's name, None if it would be too long."""
    pairs = [
        ("captured_at", summary.captured_at.isoformat()),
        ("bytes", str(summary.bytes)),
        ("migrations", str(summary.migrations)),
        *([("archive_of", summary.archive_of)] if summary.archive_of else []),
        *((_LABEL + key, value) for key, value in summary.labels.items()),
    ]
    name = urlencode(pairs)
    return f"{FOLDER}{summary.deploy_id}/{name}" if len(name) <= _LONGEST else None


def read_entry(name: str) -> Summary | None:
    """The summary in an object's name, None if it cannot be read."""
    deploy_id, _, text = name.removeprefix(FOLDER).partition("/")
    try:
        values = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True))
        return Summary(
            deploy_id=deploy_id,
            captured_at=datetime.fromisoformat(values["captured_at"]),
            bytes=int(values["bytes"]),
            migrations=int(values["migrations"]),
            archive_of=values.get("archive_of"),
            labels={key.removeprefix(_LABEL): value for key, value in values.items() if key.startswith(_LABEL)},
        )
    except (KeyError, ValueError):
        return None
