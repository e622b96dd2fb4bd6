"""Folders and files of a local store: private, synced, and their errors worded for people."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flagsnap.errors import StoreFailed, UsageError

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600


def make_private(folder: Path) -> None:
    """Create a folder that only its owner may enter: snapshots hold every secret of the application."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


def write_private(file: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, and sync it."""
    file.touch(mode=PRIVATE_FILE)
    file.chmod(PRIVATE_FILE)
    file.write_bytes(content)
    sync(file)


def sync(path: Path) -> None:
    """Have the disk keep a file's content, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def worded(root: Path) -> Iterator[None]:
    """Word the operating system's errors for people; `root` is the store's folder."""
    try:
        yield
    except PermissionError as error:
        raise UsageError(
            f"the store {root} cannot be used: {(error.strerror or '').lower()}",
            "give this user a folder that it may write to",
        ) from error
    except OSError as error:
        hint = "check what --store (FLAGSNAP_STORE) names, and its disk"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            hint = "free space there, and run the same command again"
        raise StoreFailed(f"the store {root} failed: {(error.strerror or str(error)).lower()}", hint) from error
