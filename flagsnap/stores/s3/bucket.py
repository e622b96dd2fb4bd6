"""A place in a bucket: objects by their names below a prefix. The only user of boto3, from one thread or several.

Requests that failed in passing are sent again, see `patience`. What cannot pass is StoreFailed at once.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from s3transfer.exceptions import CancelledError
from urllib3.exceptions import HTTPError

from flagsnap.errors import Interrupted, SnapshotMissing
from flagsnap.stores.s3.errors import bad_endpoint, code_of, is_not_s3, worded
from flagsnap.stores.s3.options import S3Options, part_size
from flagsnap.stores.s3.patience import Patience

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef
    from s3transfer.futures import TransferFuture

T = TypeVar("T")

UPLOADS = 8
_PARTS_AT_ONCE = 4
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_CHUNK = 1 << 20
_KEYS_OF_A_REQUEST = 1000
_TRIES, _READINGS = 3, 9
# Nobody is to blame for these, and the same request would not help: the bytes were altered or cut off on their way, or
# an answer was lost, so that an upload is complete which we ask to complete.
_SEND_AGAIN = {"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "NoSuchUpload"}
_IN_PASSING = {"InternalError", "SlowDown", "ServiceUnavailable"}


@dataclass(frozen=True)
class Entry:
    """An object as the store lists it."""

    name: str
    size: int
    etag: str


class Bucket:
    """The objects of `s3://bucket/prefix`."""

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        """Nothing is asked of the store yet."""
        self.bucket = bucket
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._patience = Patience()
        self._cancelled = False
        self._running: set[TransferFuture] = set()

    def hurry(self) -> None:
        """Wait for the store no longer than for one that has never answered: what follows may as well be left."""
        self._patience.hurry()

    def put(self, name: str, body: bytes, *, if_absent: bool = False) -> bool:
        """Store a small object. False if `if_absent` and it was there, where the store knows conditional writes."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        refusals = {"PreconditionFailed", "ConditionalRequestConflict", "NotImplemented"} if if_absent else set()
        try:
            self._ask(
                "s3:PutObject",
                lambda client: client.put_object(
                    Bucket=self.bucket,
                    Key=self._prefix + name,
                    Body=body,
                    **condition,
                    **self._checksum,
                    **self._options.encryption,  # type: ignore[arg-type]  # checked by pydantic
                ),
                refusals,
            )
        except _Expected as error:
            return error.code == "NotImplemented" and self.put(name, body)
        return True

    def knows_conditions(self, name: str, body: bytes) -> bool:
        """Whether the store refuses to write over an object that is there, when it is asked to."""
        return not self.put(name, body, if_absent=True)

    def get(self, name: str) -> bytes | None:
        """A small object, None if there is none."""
        try:
            return b"".join(self.read(name))
        except SnapshotMissing:
            return None

    def read(self, name: str) -> Iterator[bytes]:
        """An object, piece by piece; goes on where the connection broke off. SnapshotMissing."""
        position, tries = 0, _READINGS
        seen: dict[str, Any] = {}
        while True:
            try:
                if not (answer := self._get(name, position, seen)):
                    return
                if not (etag := answer.get("ETag")):
                    raise is_not_s3(self.url)
                seen = {"IfMatch": etag}
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    position += len(chunk)
                    tries = _READINGS
                    yield chunk
            except (BotoCoreError, HTTPError) as error:  # from the body; that of the request is worded already
                tries -= 1
                if not tries:
                    raise worded(error, self.url, "s3:GetObject") from error
                time.sleep(0.2 * (_READINGS - tries))
            else:
                return

    def _get(self, name: str, position: int, condition: Mapping[str, Any]) -> Any:
        wanted: dict[str, Any] = {"Range": f"bytes={position}-"} if position else {}
        try:
            return self._ask(
                "s3:GetObject",
                lambda client: client.get_object(Bucket=self.bucket, Key=self._prefix + name, **wanted, **condition),
                {"NoSuchKey", "AccessDenied", "PreconditionFailed", "InvalidRange"},
            )
        except _Expected as error:
            if error.code == "InvalidRange":  # the connection broke off after the last byte
                return None
            # Who may list only some is told that access is denied where there is nothing (GetObject, "Permissions").
            if error.code == "AccessDenied" and self.exists(name):
                raise worded(error.cause, self.url, "s3:GetObject") from error
            raise SnapshotMissing(f"there is no {self.url}/{name}", "`flagsnap list` shows what is there") from error

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return any(entry.name == name for entry in self.list(name, at_most=1))

    def list(self, prefix: str, *, at_most: int = _KEYS_OF_A_REQUEST) -> Iterator[Entry]:
        """The objects whose names begin so: of the first request if `at_most` is given, else all."""
        for page in self._pages(Prefix=self._prefix + prefix, MaxKeys=at_most):
            for found in page.get("Contents", ()):
                yield Entry(found["Key"].removeprefix(self._prefix), found["Size"], found["ETag"].strip('"'))
            if at_most < _KEYS_OF_A_REQUEST:
                return

    def folders(self) -> Iterator[str]:
        """What stands before the first slash of names."""
        for page in self._pages(Prefix=self._prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", ()):
                yield found["Prefix"].removeprefix(self._prefix).rstrip("/")

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; one that is not there is as good as deleted."""
        waiting = [self._prefix + name for name in names]
        while waiting:
            self._delete(waiting[:_KEYS_OF_A_REQUEST])
            del waiting[:_KEYS_OF_A_REQUEST]

    def upload(self, name: str, path: Path, on_bytes: Callable[[int], None]) -> frozenset[str]:
        """Store a file, a large one in parts, and give back the ETags that it may have now.

        `on_bytes` is told what was sent, from any thread; less than nothing when something must be sent again.
        """
        size = path.stat().st_size
        part = part_size(size)
        for tries in range(_TRIES, 0, -1):
            try:
                self._upload(name, path, part, on_bytes)
            except _Expected as error:
                if tries == 1:
                    raise worded(error.cause, self.url, "s3:PutObject") from error
            else:
                break
        return _etags(path, part)

    def cancel_uploads(self) -> None:
        """End all uploads, now and from now on, with Interrupted; parts that are on their way still arrive."""
        self._cancelled = True
        self._patience.stop_uploads()
        for transfer in tuple(self._running):
            transfer.cancel()

    @property
    def uploads_in_doubt(self) -> bool:
        """Whether an upload in parts may have been begun that nobody but the store knows of."""
        return self._patience.uploads_in_doubt

    def abort_uploads(self, prefix: str) -> None:
        """Abort the uploads in parts, of names that begin so, which nobody has completed."""
        try:
            answer = self._ask(
                "s3:ListBucketMultipartUploads",
                lambda client: client.list_multipart_uploads(Bucket=self.bucket, Prefix=self._prefix + prefix),
                {"NoSuchUpload", "NotImplemented", "MethodNotAllowed"},
            )
        except _Expected:  # how some makers say that there are none, or that they keep none
            return
        for found in answer.get("Uploads", ()):
            self._abort(found["Key"], found["UploadId"])
        if answer.get("IsTruncated"):
            self.abort_uploads(prefix)

    def verified_by_store(self, name: str) -> bool:
        """Whether the store has compared the object with a SHA-256 when it arrived, and its ETag is not its MD5.

        So it is with keys of KMS ("Checking object integrity in Amazon S3").
        """
        answer = self._ask(
            "s3:GetObject",
            lambda client: client.head_object(Bucket=self.bucket, Key=self._prefix + name, ChecksumMode="ENABLED"),
        )
        return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") and "ChecksumSHA256" in answer

    def _upload(self, name: str, path: Path, part: int, on_bytes: Callable[[int], None]) -> None:
        config = TransferConfig(
            multipart_threshold=part + 1,
            multipart_chunksize=part,
            max_concurrency=_PARTS_AT_ONCE,
            preferred_transfer_client="classic",
        )
        extra = {**self._checksum, **self._options.encryption}
        if self._options.storage_class:
            extra["StorageClass"] = self._options.storage_class

        def send(client: "S3Client") -> None:
            with create_transfer_manager(client, config) as manager:
                transfer = manager.upload(
                    str(path), self.bucket, self._prefix + name, extra, [ProgressCallbackInvoker(on_bytes)]
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

        self._ask("s3:PutObject", send, _SEND_AGAIN)

    def _abort(self, key: str, upload: str) -> None:
        with suppress(_Expected):  # it has been completed or aborted
            self._ask(
                "s3:AbortMultipartUpload",
                lambda client: client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload),
                {"NoSuchUpload"},
            )

    def _delete(self, keys: Sequence[str]) -> None:
        for tries in range(_TRIES, 0, -1):
            errors = self._delete_once([{"Key": key} for key in keys])
            if not errors:
                return
            lasting = [error for error in errors if error.get("Code") not in _IN_PASSING]
            if lasting or tries == 1:
                first = (lasting or errors)[0]
                raise worded(ClientError({"Error": dict(first)}, "DeleteObjects"), self.url, "s3:DeleteObject")  # type: ignore[typeddict-item]
            keys = [str(error.get("Key")) for error in errors]

    def _delete_once(self, objects: "Sequence[ObjectIdentifierTypeDef]") -> "Sequence[ErrorTypeDef]":
        """What could not be deleted; the answer is 200 all the same (DeleteObjects, "Response Elements")."""
        answer = self._ask(
            "s3:DeleteObject",
            lambda client: client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}),
        )
        return answer.get("Errors", ())

    def _pages(self, **parameters: Any) -> Iterator[Any]:
        while True:
            page = self._ask("s3:ListBucket", lambda client: client.list_objects_v2(Bucket=self.bucket, **parameters))
            if "IsTruncated" not in page:  # any page of the Web would pass for an empty bucket
                raise is_not_s3(self.url)
            yield page
            if not page["IsTruncated"]:
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def _ask(self, permission: str, request: "Callable[[S3Client], T]", expected: Iterable[str] = ()) -> T:
        """Send a request; an answer with one of the `expected` codes is _Expected, any other error is for people."""
        try:
            return request(self._client)
        except ClientError as error:
            if (code := code_of(error)) in expected:
                raise _Expected(code, error) from error
            raise worded(error, self.url, permission) from error
        except (BotoCoreError, ResponseParserError) as error:
            raise worded(error, self.url, permission) from error

    @cached_property
    def _checksum(self) -> Mapping[str, Any]:
        return {"ChecksumAlgorithm": "SHA256"} if self._options.checksums == "when_supported" else {}

    @cached_property
    def _client(self) -> "S3Client":
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            s3={"addressing_style": self._options.addressing_style},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=UPLOADS * _PARTS_AT_ONCE,
            request_checksum_calculation=self._options.checksums,
            # Whoever reads has a SHA-256 to compare with, from the manifest.
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.Session(profile_name=self._options.profile, region_name=self._options.region)
            client = session.client("s3", endpoint_url=self._options.endpoint_url, config=config)
        except ValueError as error:
            raise bad_endpoint(self.url, self._options.endpoint_url or "") from error
        except BotoCoreError as error:
            raise worded(error, self.url, "s3:ListBucket") from error
        self._patience.guide(client)
        return client


class _Expected(Exception):
    """An answer that the caller has asked to see."""

    def __init__(self, code: str, cause: ClientError) -> None:
        super().__init__(code)
        self.code = code
        self.cause = cause


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
