"""Files on their way to a bucket: several at once, large ones in parts."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from s3transfer.exceptions import CancelledError

from flagsnap.errors import Interrupted
from flagsnap.stores.s3.client import CONNECTIONS, Client, Expected
from flagsnap.stores.s3.errors import worded
from flagsnap.stores.s3.options import S3Options, part_size

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from s3transfer.futures import TransferFuture

AT_ONCE = 8
_PARTS_AT_ONCE = CONNECTIONS // AT_ONCE
_CHUNK = 1 << 20
_TRIES = 3
# Nobody is to blame for these, and the same request would not help: the bytes were altered or cut off on their way, or
# an answer was lost, so that an upload is complete which we ask to complete.
_SEND_AGAIN = {"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "NoSuchUpload"}


class Uploads:
    """The uploads of one bucket; the names are those below `prefix`."""

    def __init__(self, client: Client, bucket: str, prefix: str, options: S3Options) -> None:
        """Nothing is sent yet."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._options = options
        self._cancelled = False
        self._running: set[TransferFuture] = set()

    def send(self, name: str, path: Path, on_bytes: Callable[[int], None]) -> frozenset[str]:
        """Store a file, a large one in parts, and give back the ETags that it may have now.

        `on_bytes` is told what was sent, from any thread; less than nothing when something must be sent again.
        """
        size = path.stat().st_size
        part = part_size(size)
        for tries in range(_TRIES, 0, -1):
            try:
                self._send(name, path, part, on_bytes)
            except Expected as error:
                if tries == 1:
                    raise worded(error.cause, self._client.url, "s3:PutObject") from error
            else:
                break
        return _etags(path, part)

    def cancel(self) -> None:
        """End all uploads, now and from now on, with Interrupted; parts that are on their way still arrive."""
        self._cancelled = True
        self._client.patience.stop_uploads()
        for transfer in tuple(self._running):
            transfer.cancel()

    @property
    def in_doubt(self) -> bool:
        """Whether an upload in parts may have been begun that nobody but the store knows of."""
        return self._client.patience.uploads_in_doubt

    def abort(self, prefix: str) -> None:
        """Abort the uploads in parts, of names that begin so, which nobody has completed."""
        try:
            answer = self._client.ask(
                "s3:ListBucketMultipartUploads",
                lambda client: client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix + prefix),
                {"NoSuchUpload", "NotImplemented", "MethodNotAllowed"},
            )
        except Expected:  # how some makers say that there are none, or that they keep none
            return
        for found in answer.get("Uploads", ()):
            self._abort_one(found["Key"], found["UploadId"])
        if answer.get("IsTruncated"):
            self.abort(prefix)

    def try_rights(self, name: str) -> None:
        """Begin an upload in parts, then list and abort all in the name's folder: killed runs may have left some."""
        with suppress(Expected):  # that it keeps none is how some makers say so
            self._client.ask(
                "s3:PutObject",
                lambda client: client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._prefix + name, **self._client.checksum, **self._client.encryption
                ),
                {"NotImplemented", "MethodNotAllowed"},
            )
            self.abort(name.rpartition("/")[0])

    def _send(self, name: str, path: Path, part: int, on_bytes: Callable[[int], None]) -> None:
        config = TransferConfig(
            multipart_threshold=part + 1,
            multipart_chunksize=part,
            max_concurrency=_PARTS_AT_ONCE,
            preferred_transfer_client="classic",
        )
        extra = {**self._client.checksum, **self._client.encryption}
        if self._options.storage_class:
            extra["StorageClass"] = self._options.storage_class

        def send(client: "S3Client") -> None:
            with create_transfer_manager(client, config) as manager:
                transfer = manager.upload(
                    str(path), self._bucket, self._prefix + name, extra, [ProgressCallbackInvoker(on_bytes)]
                )
                self._running.add(transfer)
                try:
                    if self._cancelled:
                        transfer.cancel()
                    transfer.result()
                except CancelledError:
                    raise Interrupted("the upload was stopped") from None
                finally:
                    self._running.discard(transfer)

        self._client.ask("s3:PutObject", send, _SEND_AGAIN)

    def _abort_one(self, key: str, upload: str) -> None:
        with suppress(Expected):  # it has been completed or aborted
            self._client.ask(
                "s3:AbortMultipartUpload",
                lambda client: client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload),
                {"NoSuchUpload"},
            )


def _etags(path: Path, part: int) -> frozenset[str]:
    """The ETags by which a store tells that it has exactly these bytes.

    The MD5 of the object or, of one in parts, that of the parts' MD5s and their number (Amazon S3, "Object", ETag).
    """
    whole, parts = hashlib.md5(usedforsecurity=False), []
    with path.open("rb") as stream:
        while True:
            one, left = hashlib.md5(usedforsecurity=False), part
            while left and (chunk := stream.read(min(_CHUNK, left))):
                one.update(chunk)
                whole.update(chunk)
                left -= len(chunk)
            if left == part:
                break
            parts.append(one.digest())
    together = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return frozenset({whole.hexdigest(), f"{together}-{len(parts)}"})
