"""Requests to a store: sent again if they failed in passing, see `patience`; other errors are for people, at once."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from flagsnap.stores.s3.errors import bad_endpoint, code_of, worded
from flagsnap.stores.s3.options import S3Options
from flagsnap.stores.s3.patience import Patience

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

CONNECTIONS = 32
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


class Expected(Exception):
    """An answer that the caller has asked to see."""

    def __init__(self, code: str, cause: ClientError) -> None:
        super().__init__(code)
        self.code = code
        self.cause = cause


class Client:
    """boto3's client, made when it is first needed; for one thread or several."""

    def __init__(self, url: str, options: S3Options) -> None:
        """`url` is for the errors."""
        self.url = url
        self.patience = Patience()
        self._options = options

    def ask(self, permission: str, request: "Callable[[S3Client], T]", expected: Iterable[str] = ()) -> T:
        """Send a request, which needs an IAM permission.

        An answer with one of the `expected` codes is Expected, any other error is StoreFailed or UsageError.
        """
        try:
            return request(self._client)
        except ClientError as error:
            if (code := code_of(error)) in expected:
                raise Expected(code, error) from error
            raise worded(error, self.url, permission) from error
        except (BotoCoreError, ResponseParserError) as error:
            raise worded(error, self.url, permission) from error

    @cached_property
    def checksum(self) -> Mapping[str, Any]:
        """The parameters of every request that stores something, so that the store can check what arrives."""
        return {"ChecksumAlgorithm": "SHA256"} if self._options.checksums == "when_supported" else {}

    @property
    def encryption(self) -> Mapping[str, Any]:
        """And those that say how the store encrypts it."""
        return self._options.encryption

    @cached_property
    def _client(self) -> "S3Client":
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            s3={"addressing_style": self._options.addressing_style},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=CONNECTIONS,
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
        self.patience.guide(client)
        return client
