"""Which requests are sent again, and when: those that failed in passing (500, 503, a broken connection, a timeout).

botocore's own way will not do. It grants all requests of a client together a few dozen repetitions, and in newer
versions hardly a pause: eight uploads use that up in the first second in which the network is gone.
"""

import random
import threading
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionClosedError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SECONDS = 60.0
_TRIES_OF_A_STRANGER = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 5.0
_STATUSES = {429, 500, 502, 503, 504}
_NEVER_EMPTY = {"CreateMultipartUpload", "CompleteMultipartUpload", "ListObjectsV2", "ListMultipartUploads"}
_CODES = {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable"}


class Patience:
    """How long a store is waited for: a minute once it has answered, until then it may be that nobody is there.

    Attributes:
        uploads_in_doubt: whether an upload in parts may have been begun that nobody but the store knows of.
    """

    def __init__(self) -> None:
        self.uploads_in_doubt = False
        self._answered = False
        self._stopped = threading.Event()

    def guide(self, client: "S3Client") -> None:
        """Decide for a client, whose own retries are off."""
        client.meta.events.register("needs-retry.s3", self._pause)  # type: ignore[arg-type]  # it gives back the pause
        client.meta.events.register("before-parameter-build.s3", _redirect_once)

    def hurry(self) -> None:
        """Wait no longer than for one that has never answered: what follows may as well be left."""
        self._answered = False

    def stop_uploads(self) -> None:
        """Send nothing again that stores something."""
        self._stopped.set()

    def _pause(
        self,
        attempts: int,
        response: tuple[Any, Any] | None,
        caught_exception: Exception | None,
        operation: Any,
        request_dict: dict[str, Any],
        **_: object,
    ) -> float | None:
        """How long to wait before the request is sent again; None if it is not. Called after each attempt."""
        is_cut_off = response is not None and _is_cut_off(response[0], operation)
        if not (is_cut_off or _has_failed_in_passing(response, caught_exception)):
            self._answered = self._answered or response is not None
            return None
        self.uploads_in_doubt = self.uploads_in_doubt or operation.name == "CreateMultipartUpload"
        now = time.monotonic()
        since = request_dict["context"].setdefault("failing_since", now)
        if now - since > _SECONDS or (attempts >= _TRIES_OF_A_STRANGER and not self._answered):
            if is_cut_off:
                raise ConnectionClosedError(endpoint_url=request_dict["url"])
            return None
        # Not all at once: whoever failed together would come back together.
        pause = random.uniform(0.5, 1) * min(_FIRST_PAUSE * 2.0 ** (attempts - 1), _LONGEST_PAUSE)  # noqa: S311
        if operation.name.startswith(("Get", "Head", "List", "Delete", "Abort")):
            return pause
        return None if self._stopped.wait(pause) else 0


def _redirect_once(context: dict[str, Any], model: Any, **_: object) -> None:
    """Without this, botocore goes in circles where a server refers to another address and names no region."""
    if model.name == "HeadBucket":
        context["s3_redirect"]["redirected"] = True


def _is_cut_off(answer: Any, operation: Any) -> bool:
    """Whether the body has ended too early; botocore would take it for a whole one, and nothing for an empty list."""
    is_success = answer.status_code < 300
    if operation.http["method"] == "HEAD" or (operation.has_streaming_output and is_success):
        return False
    if is_success and operation.name in _NEVER_EMPTY and not answer.content:
        return True
    return len(answer.content) < int(answer.headers.get("Content-Length") or 0)


def _has_failed_in_passing(response: tuple[Any, Any] | None, error: Exception | None) -> bool:
    if response is None:
        return isinstance(error, BotoConnectionError | HTTPClientError)
    answer, content = response
    return answer.status_code in _STATUSES or content.get("Error", {}).get("Code") in _CODES
