"""The faulty proxy does what it says: nothing that is not asked for, and each fault as its name tells."""

import os
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import md5
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)
from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef, DeleteTypeDef

from tests.faults import (
    AnswerLost,
    ErrorInside,
    FaultyProxy,
    FlipRequest,
    FlipResponse,
    Reset,
    ResetResponse,
    Slow,
    Stall,
    Status,
    TruncatedResponse,
)
from tests.faults.faults import Fault
from tests.fix_s3 import KINDS, S3Place, place

MIB = 2**20
BROKEN = (ConnectionClosedError, EndpointConnectionError, HTTPClientError)


@pytest.fixture
def direct(request: pytest.FixtureRequest) -> S3Place:
    """The place itself, on moto unless `both_kinds` says otherwise."""
    return place(getattr(request, "param", "moto"))


@pytest.fixture
def proxy(direct: S3Place) -> Iterator[FaultyProxy]:
    """The proxy before the place."""
    with FaultyProxy(direct.server.url) as proxy:
        yield proxy


@pytest.fixture
def behind(direct: S3Place, proxy: FaultyProxy) -> S3Place:
    """The place as seen through the proxy."""
    return direct.through(proxy.url)


both_kinds = pytest.mark.parametrize("direct", KINDS, indirect=True)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Status(500), "InternalError"),
        (Status(503), "SlowDown"),
        (Status(403), "AccessDenied"),
        (Status(403, "RequestTimeTooSkewed"), "RequestTimeTooSkewed"),
        (Status(400, "ExpiredToken"), "ExpiredToken"),
        (Status(301, headers=(("x-amz-bucket-region", "us-east-1"),)), "PermanentRedirect"),
    ],
)
def test_status(fault: Status, code: str, direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    direct.put("old", b"1")
    rule = proxy.inject(fault, times=None)
    for attempt in (lambda: behind.put("new", b"x" * MIB), lambda: behind.get("old"), behind.keys):
        with pytest.raises(ClientError) as refused:
            attempt()
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == fault.status
    assert rule.played >= 3
    assert direct.keys() == ["old"]


def test_status_of_a_head_has_no_body_and_the_connection_goes_on(
    direct: S3Place, proxy: FaultyProxy, behind: S3Place
) -> None:
    direct.put("old", b"1")
    proxy.inject(Status(503), times=2)
    for _ in range(2):
        with pytest.raises(ClientError, match=r"\(503\)"):
            behind.client.head_object(Bucket=direct.bucket, Key=f"{direct.prefix}/old")
    assert behind.get("old") == b"1"


def test_a_client_that_tries_again_gets_past_the_faults(direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    proxy.inject(Status(500), "PutObject")
    proxy.inject(Reset(1000), "PutObject")
    proxy.inject(AnswerLost(), "PutObject")
    behind.server.client(attempts=4).put_object(Bucket=direct.bucket, Key=f"{direct.prefix}/new", Body=b"x" * MIB)
    assert proxy.operations == ["PutObject"] * 4
    assert direct.get("new") == b"x" * MIB


@both_kinds
@pytest.mark.parametrize("after_bytes", [0, 1, 100_000, 3 * MIB, 10 * MIB])
def test_reset_leaves_nothing(after_bytes: int, direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    rule = proxy.inject(Reset(after_bytes))
    with pytest.raises(BROKEN):
        behind.put("new", b"x" * 3 * MIB)
    assert rule.played == 1
    assert direct.keys() == []


@both_kinds
@pytest.mark.parametrize("fault", [ResetResponse(100_000), TruncatedResponse(100_000)])
def test_an_answer_ends_too_early(fault: Fault, direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    direct.put("old", b"x" * MIB)
    proxy.inject(fault, "GetObject")
    answer = behind.client.get_object(Bucket=direct.bucket, Key=f"{direct.prefix}/old")
    assert answer["ContentLength"] == MIB
    with closing(answer["Body"]) as body:
        assert body.read(100_000) == b"x" * 100_000
        with pytest.raises((IncompleteReadError, ResponseStreamingError)):
            body.read()
    assert behind.get("old") == b"x" * MIB


def test_reset_is_not_an_orderly_close(proxy: FaultyProxy, behind: S3Place) -> None:
    behind.put("old", b"x" * 100)
    for fault, outcome in ((ResetResponse(10), "reset"), (TruncatedResponse(10), "closed")):
        proxy.inject(fault, "GetObject")
        with _open(behind, "old") as connection:
            received = b""
            try:
                while piece := connection.recv(MIB):
                    received += piece
                ended = "closed"
            except ConnectionResetError:
                ended = "reset"
        assert (received[-14:], ended) == (b"\r\n\r\n" + b"x" * 10, outcome)


@pytest.mark.parametrize(("at", "offset"), [(0, 0), (1_234_567, 1_234_567), (-1, 3 * MIB - 1)])
def test_one_bit_flips(at: int, offset: int, direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    content = os.urandom(3 * MIB)
    proxy.inject(FlipRequest(at), "PutObject")
    behind.put("damaged", content)
    assert _differences(direct.get("damaged"), content) == [(offset, 1)]
    proxy.inject(FlipResponse(at), "GetObject")
    behind.put("whole", content)
    assert _differences(behind.get("whole"), content) == [(offset, 1)]
    assert behind.get("whole") == content


@pytest.mark.parametrize("direct", ["rclone"], indirect=True)
def test_rclone_sees_a_flipped_request_and_boto3_a_flipped_answer(proxy: FaultyProxy, behind: S3Place) -> None:
    content = os.urandom(MIB)
    digest = b64encode(md5(content).digest()).decode()
    proxy.inject(FlipRequest(1000))
    with pytest.raises(ClientError, match="BadDigest"):
        behind.client.put_object(Bucket=behind.bucket, Key="k", Body=content, ContentMD5=digest)
    behind.put("old", content)
    proxy.inject(FlipResponse(1000), "GetObject")
    found = behind.server.client().get_object(Bucket=behind.bucket, Key=f"{behind.prefix}/old")
    with closing(found["Body"]) as body, pytest.raises(FlexibleChecksumError):
        body.read()


def test_stall_and_slow_take_their_time(proxy: FaultyProxy, behind: S3Place) -> None:
    content = os.urandom(400_000)
    proxy.inject(Stall(0.5))
    assert _seconds(lambda: behind.put("new", content)) >= 0.5
    proxy.inject(Slow(1_000_000))
    assert _seconds(lambda: behind.put("new", content)) >= 0.4
    proxy.inject(Slow(1_000_000))
    assert _seconds(lambda: behind.get("new")) >= 0.4
    assert behind.get("new") == content


@both_kinds
def test_the_answer_is_lost_though_the_request_has_happened(
    direct: S3Place, proxy: FaultyProxy, behind: S3Place
) -> None:
    proxy.inject(AnswerLost())
    with pytest.raises(BROKEN):
        behind.put("new", b"x" * MIB)
    assert direct.get("new") == b"x" * MIB
    proxy.inject(AnswerLost(), "DeleteObject")
    with pytest.raises(BROKEN):
        behind.delete("new")
    assert direct.keys() == []


def test_an_upload_is_not_completed_within_a_success(direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    bucket, key = direct.bucket, f"{direct.prefix}/new"
    upload = behind.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = behind.client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x")
    whole: CompletedMultipartUploadTypeDef = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    proxy.inject(ErrorInside(), "CompleteMultipartUpload")
    with pytest.raises(ClientError, match="InternalError"):
        behind.client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=whole)
    assert (direct.keys(), direct.uploads()) == ([], ["new"])


def test_no_key_is_deleted_within_a_success(direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    direct.put("a & b", b"1")
    proxy.inject(ErrorInside("AccessDenied"), "DeleteObjects")
    names = [f"{direct.prefix}/{name}" for name in ("a & b", "<c>")]
    objects: DeleteTypeDef = {"Objects": [{"Key": name} for name in names]}
    answer = behind.client.delete_objects(Bucket=direct.bucket, Delete=objects)
    assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [(name, "AccessDenied") for name in names]
    assert direct.keys() == ["a & b"]


def test_rules_choose_their_requests(direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    rule = proxy.inject(Status(500), "PutObject", key_contains="toc", times=2, after=1)
    outcomes = ""
    for key in ("toc.dat", "other", "toc.dat", "toc.dat", "toc.dat"):
        try:
            behind.put(key, b"1")
            outcomes += "."
        except ClientError:
            outcomes += "F"
        behind.get("toc.dat")
    assert outcomes == "..FF."
    assert rule.played == 2
    proxy.inject(Status(403), times=None)
    for _ in range(3):
        with pytest.raises(ClientError):
            behind.keys()
    proxy.clear()
    assert behind.keys() == ["other", "toc.dat"]
    assert proxy.operations == ["ListObjectsV2"]


def test_all_uploads_share_the_rate_limit(proxy: FaultyProxy, behind: S3Place) -> None:
    proxy.rate_limit(4 * MIB)
    with ThreadPoolExecutor(4) as pool:
        assert 1 <= _seconds(lambda: list(pool.map(lambda number: behind.put(str(number), b"x" * MIB), range(4)))) < 4
    proxy.rate_limit(1000)
    assert _seconds(lambda: behind.get("0")) < 10  # the way down is free
    proxy.rate_limit(None)
    assert _seconds(lambda: behind.put("0", b"x" * MIB)) < 10


@both_kinds
def test_down_and_up(direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    behind.put("old", b"1")
    proxy.down()
    with pytest.raises(BROKEN):
        behind.get("old")
    proxy.up()
    assert behind.get("old") == b"1"


def test_down_reaches_what_is_under_way(direct: S3Place, proxy: FaultyProxy, behind: S3Place) -> None:
    proxy.inject(Stall(600), key_contains="stalled")
    proxy.inject(Slow(1000), key_contains="slow")
    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(behind.put, key, b"x" * MIB) for key in ("stalled", "slow")]
        while len(proxy.requests) < 2:
            time.sleep(0.01)
        assert _seconds(proxy.down) < 10
        assert all(isinstance(each.exception(), BROKEN) for each in pending)
    assert direct.keys() == []


def test_a_server_that_is_gone_breaks_the_connection() -> None:
    with FaultyProxy("http://127.0.0.1:1") as proxy, pytest.raises(BROKEN):
        S3Place(place("moto").through(proxy.url).server, "bucket", "prefix").put("new", b"1")


def _open(place_: S3Place, key: str) -> socket.socket:
    """A bare connection that has asked for an object."""
    where = {"Bucket": place_.bucket, "Key": f"{place_.prefix}/{key}"}
    url = urlsplit(place_.client.generate_presigned_url("get_object", where))
    connection = socket.create_connection((url.hostname or "", url.port or 80))
    connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    return connection


def _differences(one: bytes, other: bytes) -> list[tuple[int, int]]:
    """Where two contents differ, and in which bits; they must be equally long."""
    assert len(one) == len(other)
    bits = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return [(at, bit) for at, bit in enumerate(bits.to_bytes(len(one), "little")) if bit]


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
