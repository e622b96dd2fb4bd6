"""Without a fault the faulty proxy cannot be noticed, and it leaves nothing behind."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ConnectionClosedError
from mypy_boto3_s3.type_defs import CompletedMultipartUploadTypeDef, CompletedPartTypeDef

from tests.faults import FaultyProxy, FlipRequest, Stall
from tests.fix_s3 import S3Place, place

MIB = 2**20


def test_a_large_upload_and_download_pass_unchanged(s3: S3Place) -> None:
    content = os.urandom(20 * MIB + 7)
    name = "a folder/ä+b%2F&?#.dat"
    key = f"{s3.prefix}/{name}"
    with FaultyProxy(s3.server.url) as proxy:
        behind = s3.through(proxy.url)
        _upload(behind, key, content)
        assert behind.keys() == [name]
        assert behind.get(name) == content == s3.get(name)
    middle = ["UploadPart"] * 3
    assert proxy.operations == [
        "CreateMultipartUpload",
        *middle,
        "CompleteMultipartUpload",
        "ListObjectsV2",
        "GetObject",
    ]
    assert {each.key for each in proxy.requests} == {key, ""}
    # boto3 waits to be asked for a body, and takes what comes first if it is not.
    assert proxy.requests[1].headers["expect"] == "100-continue"


def test_concurrent_transfers_pass_unchanged(s3: S3Place) -> None:
    content = os.urandom(10 * MIB)
    with FaultyProxy(s3.server.url) as proxy, ThreadPoolExecutor(4) as pool:
        behind = s3.through(proxy.url)
        behind.put("first", b"")  # rclone cannot make a folder for several at once
        list(pool.map(lambda number: behind.put(f"{number}.dat", content[: number * MIB]), range(1, 11)))
        for number, found in enumerate(pool.map(lambda number: behind.get(f"{number}.dat"), range(1, 11)), start=1):
            assert found == content[: number * MIB] == s3.get(f"{number}.dat")


def test_every_operation_has_its_name(s3: S3Place) -> None:
    with FaultyProxy(s3.server.url) as proxy:
        client, bucket = s3.through(proxy.url).client, s3.bucket
        client.put_object(Bucket=bucket, Key="k", Body=b"1")
        client.head_object(Bucket=bucket, Key="k")
        client.list_objects(Bucket=bucket)
        upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        client.list_multipart_uploads(Bucket=bucket)
        client.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
        client.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", MetadataDirective="REPLACE")
        client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
        client.delete_object(Bucket=bucket, Key="k")
        client.head_bucket(Bucket=bucket)
        client.list_buckets()
    assert " ".join(proxy.operations) == (
        "PutObject HeadObject ListObjects CreateMultipartUpload ListMultipartUploads AbortMultipartUpload CopyObject "
        "DeleteObjects DeleteObject HeadBucket ListBuckets"
    )


def test_a_chunked_body_passes_unchanged() -> None:
    direct = place("moto")  # rclone takes no unsigned request
    pieces = [os.urandom(length) for length in (1, 300_000, 70_000)]
    whole = b"".join(pieces)
    with FaultyProxy(direct.server.url) as proxy:
        proxy.inject(FlipRequest(300_001), key_contains="flipped")
        for name in ("plain", "flipped"):
            connection = HTTPConnection(urlsplit(proxy.url).netloc)
            path = f"/{direct.bucket}/{direct.prefix}/{name}"
            connection.request("PUT", path, iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            with connection.getresponse() as answer:
                assert answer.status == 200
            connection.close()
    assert direct.get("plain") == whole
    assert direct.get("flipped") == whole[:300_001] + bytes([whole[300_001] ^ 1]) + whole[300_002:]


def test_nothing_is_left_behind() -> None:
    direct = place("moto")
    threads = set(threading.enumerate())
    with FaultyProxy(direct.server.url) as proxy, ThreadPoolExecutor(1) as pool:
        behind = direct.through(proxy.url)
        proxy.inject(Stall(600), key_contains="stalled")
        pending = pool.submit(behind.put, "stalled", b"1")
        behind.put("new", b"1")
        while len(proxy.requests) < 2:
            time.sleep(0.01)
        proxy.__exit__()  # the client is in the middle of something
        with pytest.raises(ConnectionClosedError):
            pending.result()
    assert set(threading.enumerate()) == threads


def _upload(place_: S3Place, key: str, content: bytes) -> None:
    bucket, client = place_.bucket, place_.client
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts: list[CompletedPartTypeDef] = []
    for number, start in enumerate(range(0, len(content), 8 * MIB), start=1):
        body = content[start : start + 8 * MIB]
        done = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    whole: CompletedMultipartUploadTypeDef = {"Parts": parts}
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=whole)
