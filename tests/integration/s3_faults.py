"""What the tests of faults between flagsnap and a bucket share: a database for all of a file, and the invariant.

Whatever the network and the store do: a run has worked, or says what went wrong in one line with a hint; `list` shows
nothing that does not verify; and the next capture clears away what is left.
"""

import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.exchange import Exchange
from tests.fix_cli import Ended
from tests.fix_databases import Database
from tests.fix_s3 import SECRET, S3Place
from tests.fix_servers import DEFAULT_MAJOR, server_of
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, Scene, dumps_of, said, scene, tables, unfinished

# One table is uploaded in parts.
CONTENT = MIGRATIONS + tables(1, 10, "large") + tables(5, 0.1)


@contextmanager
def database_for_all() -> Iterator[Database]:
    """A database that no test changes."""
    made = Database(server_of(DEFAULT_MAJOR), f"test_{secrets.token_hex(6)}")
    made.create()
    try:
        made.execute(CONTENT)
        yield made
    finally:
        made.close()


@contextmanager
def captured(place: S3Place, database: Database, folder: Path) -> Iterator[Scene]:
    """A scene with a snapshot v2; the proxy has forgotten how it was made."""
    with scene(place, database, folder) as at:
        at.flagsnap.within(*CAPTURE)
        at.proxy.clear()
        yield at


def assert_invariant(at: Scene, ended: Ended, *allowed: int) -> None:
    """Look without the faults; `allowed` are the exit codes of a run that may fail."""
    at.proxy.up()
    at.proxy.clear()
    assert SECRET not in ended.out + ended.err
    if ended.code:
        assert ended.code in allowed, ended.err
        assert all(said(ended))
    for deploy_id in at.snapshots():
        at.flagsnap.within("verify", deploy_id, "--level", "files")
    assert not dumps_of(at.database)
    if at.flagsnap.within(*CAPTURE, "--json").json["reused"] and not is_complete(at):
        # What the first run has left goes with the next that makes a snapshot; an entry in the index may be missing.
        at.flagsnap.within("capture", "--deploy-id", "v3")
        at.flagsnap.within("verify", "v2", "--level", "files")
        for key in at.flagsnap.files():
            if "v2" in key.split("/")[:2]:
                at.place.delete(key)
        at.assert_whole("v3")
    else:
        at.assert_whole("v2")


def is_complete(at: Scene) -> bool:
    """Whether the snapshot is in the index, and nothing is there beside it."""
    return bool(at.flagsnap.files(".index/v2/")) and not at.flagsnap.files(".drafts/") and not unfinished(at.place)


@dataclass(frozen=True)
class Instead:
    """A fault: the server answers something else, well and good as HTTP has it."""

    content: bytes
    status: int = 200

    def play(self, exchange: Exchange) -> None:
        """Read the request, forward nothing, answer."""
        for _ in exchange.body():
            pass
        exchange.answer(self.status, self.content)


@dataclass(frozen=True)
class Traced:
    """PostgreSQL's programs, of which pg_restore leaves a trace; `folder` is for FLAGSNAP_PG_BIN."""

    folder: Path

    @property
    def restored(self) -> bool:
        """Whether pg_restore was started."""
        return (self.folder / "trace").exists()


def traced(database: Database, folder: Path) -> Traced:
    """Make such a folder."""
    bin_dir = database.server.bin_dir
    found = Traced(folder / "traced")
    found.folder.mkdir()
    for name in ("pg_dump", "psql"):
        (found.folder / name).symlink_to(bin_dir / name)
    script = found.folder / "pg_restore"
    trace, real = shlex.quote(str(found.folder / "trace")), shlex.quote(str(bin_dir / "pg_restore"))
    script.write_text(f'#!/bin/sh\ncase "$*" in *--version*) ;; *) touch {trace} ;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    return found
