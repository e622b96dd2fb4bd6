"""The way back to flagsnap: one line of JSON a message, and a heartbeat."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

HEARTBEAT_SECONDS = 1.0


class Refused(Exception):
    """The database is not in the state that the plan was made for; nothing of this segment was done."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Channel:
    """The way back to flagsnap."""

    def __init__(self, begin: str, end: str) -> None:
        self._begin, self._end = begin, end
        self._lock = threading.Lock()

    def send(self, type: str, **content: Any) -> None:  # noqa: A002  # the name of the message's key
        """Write one message on a line of its own."""
        line = "\n" + self._begin + json.dumps(dict(content, type=type)) + self._end + "\n"
        left = line.encode()
        with self._lock:
            # Not through sys.stdout, which a project may replace, and whose lock a daemon thread may take to the grave.
            while left:
                left = left[os.write(1, left) :]

    def beat(self) -> None:
        """Tell every second that the process lives; end it at once when flagsnap is gone.

        A killed flagsnap leaves a pipe without a reader. Ending here drops the connection, and PostgreSQL undoes the
        segment; going on would change the database while somebody starts the same command again.
        """
        while True:
            try:
                self.send("alive")
            except (OSError, ValueError):
                os._exit(1)
            threading.Event().wait(HEARTBEAT_SECONDS)
