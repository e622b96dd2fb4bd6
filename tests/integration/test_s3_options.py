"""What the store options say of encryption, storage class and checksums is asked of the store, and nothing else is."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flagsnap.snapshot import MANIFEST
from tests.faults import FlipRequest, Request
from tests.faults.exchange import Exchange
from tests.faults.http import Body
from tests.fix_databases import Database
from tests.fix_s3 import KINDS, place
from tests.integration.s3_captures import CAPTURE, Scene, said, scene
from tests.integration.s3_faults import database_for_all
from tests.integration.s3_tls import TlsProxy, make_certificate
from tests.unit.sample_rehearsals import sample_rehearsal

SSE, KEY = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"
CLASS, SUM = "x-amz-storage-class", "x-amz-checksum-sha256"
STORING = {"PutObject", "CreateMultipartUpload"}


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with database_for_all() as made:
        yield made


@pytest.fixture
def at(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Scene]:
    with scene(place(getattr(request, "param", "moto")), database, tmp_path) as made:
        yield made


both_kinds = pytest.mark.parametrize("at", KINDS, indirect=True)


def sent(at: Scene, *operations: str) -> list[Request]:
    """The requests of these operations; there are some."""
    found = [each for each in at.proxy.requests if each.operation in operations]
    assert {each.operation for each in found} == set(operations)
    return found


def heads(at: Scene) -> dict[str, Any]:
    """What the server knows of each object of the bucket."""
    return {
        key: at.place.client.head_object(Bucket=at.place.bucket, Key=f"{at.place.prefix}/{key}") for key in keys(at)
    }


def keys(at: Scene) -> list[str]:
    return at.flagsnap.files()


def test_without_options_the_bucket_decides(at: Scene) -> None:
    at.flagsnap.within(*CAPTURE)
    for request in sent(at, *STORING):
        assert not {SSE, KEY, CLASS} & request.headers.keys()


def test_aes256(at: Scene) -> None:
    at.flagsnap.within(*CAPTURE, FLAGSNAP_S3_SSE="AES256")
    at.flagsnap.environment["FLAGSNAP_S3_SSE"] = "AES256"
    snapshots = at.flagsnap.snapshots
    snapshots.attach_rehearsal(sample_rehearsal(snapshots.get("v2")))
    assert all(request.headers[SSE] == "AES256" for request in sent(at, *STORING))
    assert {key for key, head in heads(at).items() if head.get("ServerSideEncryption") != "AES256"} == set()
    at.place.delete("v2/rehearsal.json")
    at.assert_whole("v2")


@pytest.mark.parametrize("sse", ["aws:kms", "aws:kms:dsse"])
def test_a_key_of_kms(sse: str, at: Scene) -> None:
    options = ("--store-option", f"sse={sse}", "--store-option", "sse_kms_key_id=alias/backups")
    at.flagsnap.within(*CAPTURE, *options)
    for request in sent(at, *STORING):
        assert (request.headers[SSE], request.headers[KEY]) == (sse, "alias/backups")
    found = heads(at)
    assert f"v2/{MANIFEST}" in found
    for head in found.values():
        assert head["ServerSideEncryption"] == sse
        assert head.get("SSEKMSKeyId") == ("alias/backups" if sse == "aws:kms" else None)  # moto keeps no key for dsse
    at.assert_whole("v2")


def test_the_storage_class_is_that_of_the_files_alone(at: Scene) -> None:
    at.flagsnap.within(*CAPTURE, FLAGSNAP_S3_STORAGE_CLASS="STANDARD_IA")
    for request in sent(at, *STORING):
        assert request.headers.get(CLASS) == ("STANDARD_IA" if "/dumps/" in request.key else None)
    for key, head in heads(at).items():
        assert head.get("StorageClass") == ("STANDARD_IA" if "/dumps/" in key else None)
    at.assert_whole("v2")


@both_kinds
def test_all_that_is_stored_has_a_checksum(at: Scene) -> None:
    at.flagsnap.within(*CAPTURE)
    assert all(SUM in request.headers for request in sent(at, "PutObject", "UploadPart"))


@both_kinds
def test_none_of_it_has_one_for_stores_that_know_none(at: Scene) -> None:
    at.flagsnap.within(*CAPTURE, FLAGSNAP_S3_CHECKSUMS="when_required")
    for request in sent(at, "PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload", "GetObject"):
        assert not [name for name in request.headers if "checksum" in name or "trailer" in name]
    at.assert_whole("v2")


def test_over_tls_the_checksums_come_last(at: Scene, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "certificate.pem")
    with TlsProxy(at.place.server.url, certificate) as proxy:
        at.flagsnap.within(*CAPTURE, FLAGSNAP_S3_ENDPOINT_URL=proxy.url, AWS_CA_BUNDLE=str(certificate))
        stored = [each for each in proxy.requests if each.operation in {"PutObject", "UploadPart"}]
    assert stored
    assert all(SUM in {*each.headers, each.headers.get("x-amz-trailer")} for each in stored)
    at.assert_whole("v2")


class OtherETags:
    """A fault: the ETags of a listing are something else than MD5s, as with KMS or some makers."""

    def play(self, exchange: Exchange) -> None:
        """Change them; the answer stays as long as it was."""
        exchange.pass_on(down=self._changed)

    def _changed(self, body: Body) -> Iterable[bytes]:
        yield re.sub(rb"(<ETag>[^<]*?)([0-9a-f]{32})", lambda found: found[1] + found[2][::-1], b"".join(body))


@both_kinds
def test_files_are_read_back_where_etags_tell_nothing(at: Scene) -> None:
    at.proxy.inject(OtherETags(), "ListObjectsV2", times=None)
    at.flagsnap.within(*CAPTURE)
    files = {f"{at.place.prefix}/v2/{file.path}" for file in at.manifest().files}
    assert {each.key for each in sent(at, "GetObject") if "/dumps/" in each.key} == files
    at.proxy.clear()
    at.assert_whole("v2")


@both_kinds
@pytest.mark.parametrize("operation", ["PutObject", "UploadPart"])
def test_what_was_altered_is_found_there_too(operation: str, at: Scene) -> None:
    at.proxy.inject(OtherETags(), "ListObjectsV2", times=None)
    at.proxy.inject(FlipRequest(77), operation, "/dumps/")
    assert "is not what was sent" in said(at.flagsnap.within(*CAPTURE, code=1))[0]
    at.proxy.clear()
    at.assert_nothing()


def test_with_kms_the_store_has_compared_them(at: Scene) -> None:
    at.proxy.inject(OtherETags(), "ListObjectsV2", times=None)
    at.flagsnap.within(*CAPTURE, FLAGSNAP_S3_SSE="aws:kms")
    assert len(sent(at, "HeadObject")) == len(at.manifest().files)
    assert not [each for each in sent(at, "GetObject") if "/dumps/" in each.key]
    at.proxy.clear()
    at.assert_whole("v2")
