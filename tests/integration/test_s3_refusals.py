"""A store that refuses, or is none: one line that names the cause, a hint, the exit code, and no second try."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flagsnap.stores.s3 import client, patience
from tests.faults import ErrorInside, Status
from tests.faults.faults import Fault
from tests.fix_databases import Database
from tests.fix_s3 import SECRET, place
from tests.integration.s3_captures import Scene, said
from tests.integration.s3_faults import Instead, captured, database_for_all
from tests.integration.s3_tls import TlsProxy, make_certificate

NEXT = ("capture", "--deploy-id", "v3")
LIST, SHOW, VERIFY = ("list",), ("show", "v2"), ("verify", "v2")
ROLLBACK = ("rollback", "--to", "v2", "--strategy", "restore", "--on-loss", "accept", "--yes")
RESTORE = ("restore", "v2", "--into", "flagsnap_copy")
COMMANDS = (NEXT, LIST, VERIFY, ROLLBACK)
ENDPOINT = "FLAGSNAP_S3_ENDPOINT_URL"
README = "allow it; the README has the whole policy"
TLS = "check FLAGSNAP_S3_ENDPOINT_URL; AWS_CA_BUNDLE names a file of trusted certificates"
KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another of the ways that boto3 knows"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with database_for_all() as made:
        yield made


@pytest.fixture(scope="module")
def at(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A scene with a snapshot; none of these tests adds one."""
    with captured(place("moto"), database, tmp_path_factory.mktemp("refusals")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_rules(at: Scene) -> Iterator[None]:
    at.proxy.clear()
    yield
    at.proxy.clear()
    assert at.snapshots() == ["v2"]


def refused(at: Scene, *words: str, **environment: str) -> tuple[str, str]:
    """The one line, without what stands before the cause in all of them, and the hint."""
    ended = at.flagsnap.within(*words, code=1, **environment)
    assert SECRET not in ended.err
    error, hint = said(ended)
    before = f"the store {at.place.url} cannot be used: "
    assert error.startswith(before)
    assert hint
    return error.removeprefix(before), hint


@pytest.mark.parametrize(
    ("words", "operation", "key", "permission"),
    [
        (LIST, "ListObjectsV2", "", "s3:ListBucket"),
        (SHOW, "GetObject", "manifest.json", "s3:GetObject"),
        (VERIFY, "GetObject", "dumps/", "s3:GetObject"),
        (VERIFY, "ListObjectsV2", "", "s3:ListBucket"),
        (ROLLBACK, "GetObject", "manifest.json", "s3:GetObject"),
        (RESTORE, "GetObject", "dumps/", "s3:GetObject"),
        (NEXT, "ListObjectsV2", "", "s3:ListBucket"),
        (NEXT, "PutObject", ".drafts/", "s3:PutObject"),
        (NEXT, "PutObject", "dumps/", "s3:PutObject"),
        (NEXT, "CreateMultipartUpload", "", "s3:PutObject"),
        (NEXT, "UploadPart", "", "s3:PutObject"),
        (NEXT, "CompleteMultipartUpload", "", "s3:PutObject"),
        (NEXT, "GetObject", ".drafts/", "s3:GetObject"),
        (NEXT, "PutObject", "manifest.json", "s3:PutObject"),
    ],
    ids=str,
)
def test_a_missing_permission_is_named(
    words: tuple[str, ...], operation: str, key: str, permission: str, at: Scene
) -> None:
    at.proxy.inject(Status(403), operation, key, times=None)
    assert refused(at, *words) == (f"these credentials lack {permission}", README)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("fault", "what", "hint"),
    [
        (Status(400, "ExpiredToken"), "the credentials have expired", "renew them, and run the same command again"),
        (
            Status(403, "RequestTimeTooSkewed"),
            "this machine's clock is not the store's",
            "set the clock, and run the same command again",
        ),
        (Status(403, "InvalidAccessKeyId"), "the store does not know the access key", KEYS),
        (Status(403, "SignatureDoesNotMatch"), "the secret key is wrong", KEYS),
        (Status(404, "NoSuchBucket"), "there is no bucket {bucket}", "create it, or check --store (FLAGSNAP_STORE)"),
    ],
    ids=str,
)
def test_credentials_clock_bucket_and_region(
    words: tuple[str, ...], fault: Fault, what: str, hint: str, at: Scene
) -> None:
    at.proxy.inject(fault, times=None)
    assert refused(at, *words) == (what.format(bucket=at.place.bucket), hint)
    assert len(at.proxy.requests) == 1


@pytest.mark.parametrize("headers", [(), (("x-amz-bucket-region", "eu-west-3"),)], ids=["unnamed", "named"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_bucket_in_another_region(words: tuple[str, ...], headers: tuple[tuple[str, str], ...], at: Scene) -> None:
    at.proxy.inject(Status(301, headers=headers), times=None)
    assert refused(at, *words) == ("the bucket is in another region", "set FLAGSNAP_S3_REGION to the bucket's region")
    assert len(at.proxy.requests) == 2  # botocore asks for the region, or goes there; once


def test_a_capture_goes_without_listing_unfinished_uploads(at: Scene) -> None:
    at.proxy.inject(Status(403), "ListMultipartUploads", times=None)
    ended = at.flagsnap.within(*NEXT)
    assert (
        "warning: unfinished uploads were not looked for: "
        f"the store {at.place.url} cannot be used: these credentials lack s3:ListBucketMultipartUploads\n"
    ) in ended.err
    at.proxy.clear()
    remove(at, "v3")


@pytest.mark.parametrize("fault", [Status(403), ErrorInside("AccessDenied")], ids=str)
def test_a_capture_that_may_not_delete_says_so(fault: Fault, at: Scene) -> None:
    at.proxy.inject(fault, "DeleteObjects", times=None)
    for deploy_id in ("v3", "v4"):
        ended = at.flagsnap.within("capture", "--deploy-id", deploy_id)
        assert "warning: " in ended.err
        assert "these credentials lack s3:DeleteObject\n" in ended.err
    at.proxy.clear()
    remove(at, "v3")
    remove(at, "v4")


def remove(at: Scene, deploy_id: str) -> None:
    """Take a snapshot out of the store, as a person does."""
    for key in at.flagsnap.files():
        if deploy_id in key.split("/"):
            at.place.delete(key)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nobody_is_there(words: tuple[str, ...], at: Scene) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://nowhere.invalid"):
        what, hint = refused(at, *words, **{ENDPOINT: url})
        assert what == f"nobody answers at {url}"
        assert hint == "check --store, FLAGSNAP_S3_ENDPOINT_URL and the network"


def test_somebody_is_there_and_says_nothing(at: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_READ_SECONDS", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        what, hint = refused(at, *LIST, **{ENDPOINT: url})
    assert what == f"{url} does not answer in time"
    assert hint == "check --store, FLAGSNAP_S3_ENDPOINT_URL and the network"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "page",
    [
        Instead(b"<!DOCTYPE html><html><head><meta charset=utf-8><title>Welcome</title></head><body><p>It works!"),
        Instead(b"<html><body><p>It works!</p></body></html>"),
        Instead(b'{"hello": "world"}'),
        Instead(b"<html><body>Not Found</body></html>", 404),
        Instead(b"<!DOCTYPE html><html><head><title>Forbidden</title><body>", 403),
        Instead(b"<html><body>Bad Gateway</body></html>", 502),
        Instead(b"<html><body>Moved</body></html>", 301),
        Instead(b""),
    ],
    ids=["html", "xml", "json", "404", "403", "502", "301", "empty"],
)
def test_what_answers_is_not_s3(
    page: Instead, words: tuple[str, ...], at: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SECONDS", 1)
    at.proxy.inject(page, times=None)
    what, hint = refused(at, *words)
    assert what.startswith(("what answers at its address ", "the connection broke off"))
    assert "FLAGSNAP_S3_ENDPOINT_URL" in hint


def test_https_where_nobody_speaks_it(at: Scene) -> None:
    url = at.place.server.url.replace("http:", "https:")
    what, hint = refused(at, *LIST, **{ENDPOINT: url})
    assert (what, hint) == (f"no TLS with {url}: wrong version number", TLS)


def test_a_certificate_that_nobody_trusts(at: Scene, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "certificate.pem")
    with TlsProxy(at.place.server.url, certificate) as proxy:
        for words in COMMANDS:
            what, hint = refused(at, *words, **{ENDPOINT: proxy.url})
            assert (what, hint) == (f"no TLS with {proxy.url}: certificate verify failed: self-signed certificate", TLS)
        what, hint = refused(at, *LIST, **{ENDPOINT: proxy.url.replace("https:", "http:")})
        assert what == "the connection broke off"
        assert "FLAGSNAP_S3_ENDPOINT_URL" in hint
        at.flagsnap.within("verify", "v2", FLAGSNAP_S3_ENDPOINT_URL=proxy.url, AWS_CA_BUNDLE=str(certificate))


def test_rclone_does_not_know_the_keys_and_has_no_such_bucket(database: Database, tmp_path: Path) -> None:
    there = place("rclone")
    with captured(there, database, tmp_path) as at:
        for words in COMMANDS:
            assert refused(at, *words, AWS_SECRET_ACCESS_KEY="wrong") == ("the secret key is wrong", KEYS)
            assert refused(at, *words, AWS_ACCESS_KEY_ID="wrong") == ("the store does not know the access key", KEYS)
            error, hint = said(at.flagsnap.within(*words, code=1, FLAGSNAP_STORE="s3://no-such-bucket/x"))
            assert error == "the store s3://no-such-bucket/x cannot be used: there is no bucket no-such-bucket"
            assert hint == "create it, or check --store (FLAGSNAP_STORE)"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_json_says_the_same(words: tuple[str, ...], at: Scene) -> None:
    at.proxy.inject(Status(400, "ExpiredToken"), times=None)
    what, hint = refused(at, *words)
    found = json.loads(at.flagsnap.within(*words, "--json", code=1).out)
    message = f"the store {at.place.url} cannot be used: {what}"
    if words == VERIFY:
        assert [(check["checked"], check["detail"]) for check in found["checks"]] == [(False, f"{message}; {hint}")]
    else:
        assert found["error"] == {"kind": "store_failed", "message": message, "hint": hint, "exit_code": 1}
    assert found["ok"] is False
