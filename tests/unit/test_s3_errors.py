"""What boto3 raises, in words: that which no server at hand says."""

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from flagsnap.stores.s3.errors import bad_endpoint, code_of, worded

URL = "s3://backups/app"
BEFORE = f"the store {URL} cannot be used: "


def refused(code: str, message: str = "", status: int = 400, operation: str = "PutObject") -> ClientError:
    """An answer of the store's."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)  # type: ignore[arg-type]  # a part of it will do


def told(error: ClientError | BotoCoreError) -> tuple[str, str]:
    found = worded(error, URL, "s3:PutObject")
    assert str(found).startswith(BEFORE)
    assert "\n" not in str(found)
    return str(found).removeprefix(BEFORE), found.hint


@pytest.mark.parametrize(
    ("error", "what", "hint"),
    [
        (
            refused("AccessDenied", "User: x is not authorized to perform: kms:GenerateDataKey on resource: y"),
            "these credentials lack kms:GenerateDataKey",
            "allow it",
        ),
        (refused("KMS.NotFoundException", "no such key."), "its key cannot be used: no such key", "SSE_KMS_KEY_ID"),
        (
            refused("NotImplemented", "A header\n you sent."),
            "it cannot do what s3:PutObject asks: A header you sent",
            "=",
        ),
        (refused("QuotaExceeded", "{full}"), "s3:PutObject failed with QuotaExceeded: {full}", "check"),
        (refused("{odd}"), "s3:PutObject failed with {odd}", "check"),
        (refused("", "", 418), "what answers at its address is not S3: 418", "FLAGSNAP_S3_ENDPOINT_URL"),
        (
            refused("504", "Gateway Timeout", 504),
            "what answers at its address fails, and not as S3 does: 504 ",
            "again",
        ),
        (refused("403", "Forbidden", 403, "HeadObject"), "these credentials lack s3:PutObject", "allow it"),
        (exceptions.NoCredentialsError(), "there are no credentials for it", "AWS_ACCESS_KEY_ID"),
        (exceptions.ProfileNotFound(profile="x"), "there is no such profile", "FLAGSNAP_S3_PROFILE"),
        (exceptions.NoRegionError(), "its region is not known", "FLAGSNAP_S3_REGION"),
        (
            exceptions.ConnectTimeoutError(endpoint_url="https://key:sesame@host:9000/bucket?list"),
            "https://host:9000 does not answer in time",
            "the network",
        ),
        (
            exceptions.SSLError(endpoint_url="https://host/b", error=OSError("EOF")),
            "no TLS with https://host: the ",
            "AWS_CA",
        ),
        (exceptions.InvalidConfigError(error_msg="Odd.\nVery odd."), "odd", "check"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words(error: ClientError | BotoCoreError, what: str, hint: str) -> None:
    found = told(error)
    assert found[0].startswith(what)
    assert hint in found[1]
    assert "sesame" not in found[0]


def test_codes() -> None:
    assert code_of(refused("SlowDown", status=503)) == "SlowDown"
    assert code_of(refused("", status=502)) == "502"


def test_an_endpoint_that_is_no_url_is_a_matter_of_usage() -> None:
    assert bad_endpoint(URL, "minio:9000").exit_code == 2
