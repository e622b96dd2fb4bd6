"""What boto3 raises, worded for people: what was refused, which permission is missing, what to do.

The codes are those of "Error responses" in Amazon S3's API reference; other makers use the same.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from flagsnap.errors import FlagsnapError, StoreFailed, UsageError

_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another of the ways that boto3 knows"
_AGAIN = "run the same command again"
_ENDPOINT = "check --store, FLAGSNAP_S3_ENDPOINT_URL and the network"
_REGION = "set FLAGSNAP_S3_REGION to the bucket's region"

_NOT_S3 = ("what answers at its address is not S3{said}", "check FLAGSNAP_S3_ENDPOINT_URL")
_FAILS = ("what answers at its address fails, and not as S3 does{said}", f"{_AGAIN}; {_ENDPOINT} if that does not help")
_ELSEWHERE = ("what answers at its address refers to another one", "check FLAGSNAP_S3_ENDPOINT_URL (http or https?)")
_OPTIONS = "check the store options; checksums=when_required is for stores that do not know SHA-256"

# The code: what it means, and the way out; {permission}, {bucket} and what the store has {said} are filled in.
_MEANINGS: Mapping[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no bucket {bucket}", "create it, or check --store (FLAGSNAP_STORE)"),
    "AccessDenied": ("these credentials lack {permission}", "allow it; the README has the whole policy"),
    "AllAccessDisabled": ("all access to the bucket is disabled", "ask who owns it"),
    "InvalidAccessKeyId": ("the store does not know the access key", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key is wrong", _CREDENTIALS),
    "InvalidToken": ("the session token is wrong", _CREDENTIALS),
    "ExpiredToken": ("the credentials have expired", f"renew them, and {_AGAIN}"),
    "RequestExpired": ("the credentials have expired", f"renew them, and {_AGAIN}"),
    "RequestTimeTooSkewed": ("this machine's clock is not the store's", f"set the clock, and {_AGAIN}"),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "TemporaryRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "InvalidObjectState": ("the file is in cold storage", "have the store restore the snapshot's objects first"),
    "InvalidStorageClass": ("it does not know the storage class", "check FLAGSNAP_S3_STORAGE_CLASS"),
    "BadDigest": ("what arrived is not what was sent", _AGAIN),
    "XAmzContentSHA256Mismatch": ("what arrived is not what was sent", _AGAIN),
    "IncompleteBody": ("what arrived is not all that was sent", _AGAIN),
    "NotImplemented": ("it cannot do what {permission} asks{said}", _OPTIONS),
    "InvalidRequest": ("it cannot do what {permission} asks{said}", _OPTIONS),
    "SlowDown": ("it is overloaded", _AGAIN),
    "ServiceUnavailable": ("it is overloaded", _AGAIN),
    "InternalError": ("it has an internal error", _AGAIN),
}
# The first digit of the status, where an answer has no code of S3's.
_STATUSES = {"3": _ELSEWHERE, "5": _FAILS}


def code_of(error: ClientError) -> str:
    """The store's own code of an error; the status, in digits, where the answer has none."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "403" and error.operation_name == "HeadObject":  # no answer to this has a body
        return "AccessDenied"
    return code or str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def worded(
    error: ClientError | BotoCoreError | ResponseParserError | HTTPError, url: str, permission: str
) -> FlagsnapError:
    """The error for people; `permission` is the IAM action that was needed."""
    if isinstance(error, ClientError):
        return _refused(error, url, permission)
    what, hint = next(
        ((what, hint) for kinds, what, hint in _TROUBLES if isinstance(error, kinds)), ("{why}", _ENDPOINT)
    )
    what = what.format(address=_address(error), why=_brief(error), said="")
    return StoreFailed(f"the store {url} cannot be used: {what}", hint)


def is_not_s3(url: str) -> FlagsnapError:
    """The error for an answer that makes no sense."""
    return worded(ResponseParserError(), url, "")


def _refused(error: ClientError, url: str, permission: str) -> FlagsnapError:
    code = code_of(error)
    said = " ".join(str(error.response.get("Error", {}).get("Message", "")).split()).rstrip(".")
    # AWS names the action, which with KMS is not the one that was asked for.
    if named := re.search(r"not authorized to perform: ([\w:*]+)", said):
        permission = named[1]
    bucket = url.removeprefix("s3://").split("/")[0]
    if code.isdigit():
        what, hint = _STATUSES.get(code[0], _NOT_S3)
        said = f"{code} {said}".strip()
    elif code.startswith("KMS."):
        what, hint = "its key cannot be used{said}", "check FLAGSNAP_S3_SSE_KMS_KEY_ID"
    else:
        what, hint = _MEANINGS.get(code, ("{permission} failed with {code}{said}", _ENDPOINT))
    what = what.format(permission=permission, bucket=bucket, code=code, said=said and f": {said}")
    return StoreFailed(f"the store {url} cannot be used: {what}", hint)


_TROUBLES: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    (
        (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError),
        "there are no credentials for it",
        _CREDENTIALS,
    ),
    ((exceptions.ProfileNotFound,), "there is no such profile", "check FLAGSNAP_S3_PROFILE and AWS_PROFILE"),
    (
        (exceptions.TokenRetrievalError, exceptions.UnauthorizedSSOTokenError),
        "the login has expired",
        f"log in again, and {_AGAIN}",
    ),
    ((exceptions.NoRegionError,), "its region is not known", _REGION),
    (
        (exceptions.SSLError,),
        "no TLS with {address}: {why}",
        "check FLAGSNAP_S3_ENDPOINT_URL; AWS_CA_BUNDLE names a file of trusted certificates",
    ),
    ((exceptions.ParamValidationError,), "that is no name for a bucket", "check --store (FLAGSNAP_STORE)"),
    ((ResponseParserError,), *_NOT_S3),
    ((exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError), "{address} does not answer in time", _ENDPOINT),
    ((exceptions.EndpointConnectionError,), "nobody answers at {address}", _ENDPOINT),
    (
        (exceptions.HTTPClientError, HTTPError),
        "the connection broke off",
        f"{_AGAIN}; {_ENDPOINT} if that does not help",
    ),
)


def _address(error: Exception) -> str:
    """Where the request went, without the path and without what stands before an `@`."""
    parts = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "its address"


def _brief(error: Exception) -> str:
    if isinstance(error, exceptions.SSLError):
        found = re.search(r"\] ([^(]+)", str(error))
        return found[1].strip() if found else "the handshake failed"
    text = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    return text[:1].lower() + text[1:]


def bad_endpoint(url: str, endpoint: str) -> UsageError:
    """The error for an endpoint that is no URL."""
    return UsageError(
        f"the store {url} has the endpoint {endpoint!r}, which is not a URL", "write it as https://host:port"
    )
