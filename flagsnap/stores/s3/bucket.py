"""A place in a bucket: objects by their names below a prefix."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from flagsnap.errors import SnapshotMissing
from flagsnap.stores.s3.client import Client, Expected
from flagsnap.stores.s3.errors import is_not_s3, worded
from flagsnap.stores.s3.options import S3Options
from flagsnap.stores.s3.uploads import Uploads

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef

_CHUNK = 1 << 20
_KEYS_OF_A_REQUEST = 1000
_TRIES, _READINGS = 3, 9
_IN_PASSING = {"InternalError", "SlowDown", "ServiceUnavailable"}


@dataclass(frozen=True)
class Entry:
    """An object as the store lists it."""

    name: str
    size: int
    etag: str


class Bucket:
    """The objects of `s3://bucket/prefix`, for one thread or several; large files go there by its `uploads`."""

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        """Nothing is asked of the store yet."""
        self.bucket = bucket
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = Client(self.url, options)
        self.uploads = Uploads(self._client, bucket, self._prefix, options)

    def hurry(self) -> None:
        """Wait for the store no longer than for one that has never answered: what follows may as well be left."""
        self._client.patience.hurry()

    def put(self, name: str, body: bytes, *, if_absent: bool = False) -> bool:
        """Store a small object. False if `if_absent` and it was there, where the store knows conditional writes."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        refusals = {"PreconditionFailed", "ConditionalRequestConflict", "NotImplemented"} if if_absent else set()
        try:
            self._client.ask(
                "s3:PutObject",
                lambda client: client.put_object(
                    Bucket=self.bucket,
                    Key=self._prefix + name,
                    Body=body,
                    **condition,
                    **self._client.checksum,
                    **self._client.encryption,
                ),
                refusals,
            )
        except Expected as error:
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
            return self._client.ask(
                "s3:GetObject",
                lambda client: client.get_object(Bucket=self.bucket, Key=self._prefix + name, **wanted, **condition),
                {"NoSuchKey", "AccessDenied", "PreconditionFailed", "InvalidRange"},
            )
        except Expected as error:
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

    def verified_by_store(self, name: str) -> bool:
        """Whether the store has compared the object with a SHA-256 when it arrived, and its ETag is not its MD5.

        So it is with keys of KMS ("Checking object integrity in Amazon S3").
        """
        answer = self._client.ask(
            "s3:GetObject",
            lambda client: client.head_object(Bucket=self.bucket, Key=self._prefix + name, ChecksumMode="ENABLED"),
        )
        return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") and "ChecksumSHA256" in answer

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
        answer = self._client.ask(
            "s3:DeleteObject",
            lambda client: client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True}),
        )
        return answer.get("Errors", ())

    def _pages(self, **parameters: Any) -> Iterator[Any]:
        while True:
            page = self._client.ask(
                "s3:ListBucket", lambda client: client.list_objects_v2(Bucket=self.bucket, **parameters)
            )
            if "IsTruncated" not in page:  # any page of the Web would pass for an empty bucket
                raise is_not_s3(self.url)
            yield page
            if not page["IsTruncated"]:
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]
