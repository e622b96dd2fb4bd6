"""What is put beside a snapshot in a bucket: `pin` and `unpin` killed at any request."""

from pathlib import Path

import pytest

from flagsnap.attached.pin import PIN
from tests.fix_databases import Database
from tests.fix_s3 import place
from tests.integration.captures import ended_afterwards, wait_for
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, Hold, Scene, scene

WORDS = {"pin": ("pin", "v2", "--reason", "the move"), "unpin": ("unpin", "v2")}
# All requests that change something, in their order.
CHANGES = {
    "pin": (
        ("PutObject", ".index/v2/of=pin.json"),  # in doubt
        ("PutObject", "v2/pin.json"),
        ("PutObject", ".index/v2/of=pin.json&at="),
        ("DeleteObjects", ""),  # no longer in doubt
    ),
    "unpin": (
        ("PutObject", ".index/v2/of=pin.json"),
        ("DeleteObjects", ""),  # the brief
        ("DeleteObjects", ""),  # the pin
        ("DeleteObjects", ""),
    ),
}


def is_listed_as_pinned(at: Scene) -> bool:
    (found,) = at.flagsnap.within("list", "--json").json["snapshots"]
    return bool(found["pinned"])


@pytest.mark.parametrize(("kind", "answer"), [("moto", False), ("rclone", True)], ids=["request", "answer"])
@pytest.mark.parametrize("command", WORDS)
def test_killed_at_any_request(command: str, kind: str, answer: bool, database: Database, tmp_path: Path) -> None:
    """On the way to the store, or when it has done it; the list tells what is there, and the same again ends well."""
    database.execute(MIGRATIONS)
    there = place(kind)
    with scene(there, database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        for number, (operation, key) in enumerate(CHANGES[command]):
            at.flagsnap.within(*WORDS["pin" if command == "unpin" else "unpin"])
            at.proxy.clear()
            before = [each for each, _ in CHANGES[command][:number]].count(operation) if not key else 0
            hold = Hold(answer)
            at.proxy.inject(hold, operation, key, after=before)
            with ended_afterwards(at.flagsnap.start(*WORDS[command])) as process:
                wait_for(hold.reached.is_set, process)
                process.kill()
                process.communicate()
            at.proxy.down()  # what it had sent does not arrive later
            at.proxy.up()
            at.proxy.clear()
            assert is_listed_as_pinned(at) == (f"v2/{PIN}" in set(there.keys())), (command, number)
            at.flagsnap.within(*WORDS[command])
            assert is_listed_as_pinned(at) == (command == "pin")
        at.flagsnap.within(*WORDS["unpin"])
        at.assert_whole("v2")
