"""Stores: where snapshots are kept, behind one contract (`base.Store`)."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from flagsnap.errors import UsageError
from flagsnap.stores.base import Store
from flagsnap.stores.local import LocalStore


def open_store(url: str, options: Mapping[str, str] | None = None) -> Store:
    """The store at `url`: a path, `file:///path` or `s3://bucket/prefix`; UsageError for anything else.

    `options` are those of an S3 store; a folder has none.
    """
    scheme, is_url, _ = url.partition("://")
    if is_url and scheme.lower() == "s3":
        from flagsnap.stores.s3 import S3Store  # noqa: PLC0415  # boto3 takes its time, and a folder needs none of it

        return S3Store(url, options or {})
    if is_url and scheme.lower() != "file":
        raise UsageError(
            f"there are no {scheme}:// stores", "use a folder (a path, or file:///path) or s3://bucket/prefix"
        )
    return LocalStore(_from_url(url) if is_url or scheme.startswith("file:") else _from_path(url))


def _from_url(url: str) -> Path:
    match = re.fullmatch(r"file://(?:localhost)?(/[^?#]*)", url, re.IGNORECASE)
    if not match:
        raise UsageError(
            f"the store {url} is not a folder of this machine",
            "write it as file:///path, with special characters percent-encoded, or as a plain path",
        )
    return Path(unquote(match[1]))


def _from_path(path: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"the store {path} cannot be found: there is no such user", "write the whole path") from error
