"""Stores: where snapshots are kept, behind one contract (`base.Store`)."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from flagsnap.errors import UsageError
from flagsnap.stores.base import Store
from flagsnap.stores.local import LocalStore


def open_store(url: str) -> Store:
    """The store at `url`: a path, or `file:///path`; UsageError for anything else."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise UsageError(f"the store {url} is not on this machine", "write it as file:///path, or as a plain path")
        return LocalStore(Path(unquote(parts.path)))
    if "://" in url:
        raise UsageError(f"this flagsnap knows no {parts.scheme}:// stores", "use a folder: a path, or file:///path")
    return LocalStore(Path(url).expanduser().absolute())
