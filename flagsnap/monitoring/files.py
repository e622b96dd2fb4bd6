"""Files that other programs read at any moment: replaced as a whole, or not at all."""

import os
import tempfile
from pathlib import Path

from flagsnap.errors import UsageError

_MODE = 0o644
"""A collector runs as a user of its own; there is no secret in a metrics file."""


def check_replaceable(path: Path) -> None:
    """UsageError unless `path` is, or can become, a file in a folder that is there."""
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the metrics file", "make it, or name another --metrics")
    if path.exists() and not path.is_file():
        raise UsageError(f"the metrics file {path} is no file", "name a file with --metrics")


def replace_file(path: Path, text: str) -> None:
    """Write and sync it beside its place under another name, then rename it. OSError.

    The other name does not end with .prom, by which node_exporter's textfile collector finds what it reads.
    """
    target = path.resolve()  # a link stays a link
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, _MODE)
            stream.write(text.encode())
            stream.flush()
            os.fsync(handle)
        written.replace(target)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
