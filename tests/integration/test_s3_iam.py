"""The policy of the README is enough, and nothing in it is more than is needed; moto enforces it here."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest

from flagsnap.errors import StoreFailed
from flagsnap.postgres.embedded import free_port
from flagsnap.stores import open_store
from tests.fix_databases import Database
from tests.fix_s3 import COMMANDS, REGION, S3Place, S3Server
from tests.integration.captures import wait_for
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, said, scene, tables, unfinished

MANY = 1_000_000
README = (Path(__file__).parents[2] / "README.md").read_text()
POLICY = re.findall(r"^```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[0]


@dataclass(frozen=True)
class Guarded:
    """A moto server of its own that can be told to enforce policies."""

    url: str

    def enforce(self, *, after: int = 0) -> None:
        """Let so many requests pass, and then only those that are allowed."""
        self._post("/moto-api/reset-auth", str(after).encode())

    def place_for(self, policy: str) -> S3Place:
        """A bucket, and a user who may do what the policy says."""
        self.enforce(after=MANY)
        administrator = S3Place(S3Server("moto", self.url), f"test-{uuid4().hex}", "snapshots/app")
        administrator.client.create_bucket(Bucket=administrator.bucket)
        iam = boto3.client(
            "iam", endpoint_url=self.url, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
        )
        name = uuid4().hex
        iam.create_user(UserName=name)
        text = policy.replace("my-backups", administrator.bucket).replace("/flagsmith/", f"/{administrator.prefix}/")
        iam.put_user_policy(UserName=name, PolicyName="flagsnap", PolicyDocument=text)
        if "s3:DeleteObject" in policy:
            # Moto looks for the permission of DeleteObjects on the bucket; AWS does so on each object.
            extra = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{administrator.bucket}"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [extra]})
            iam.put_user_policy(UserName=name, PolicyName="moto", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        iam.close()
        self.enforce()
        server = replace(administrator.server, key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        return replace(administrator, server=server)

    def _post(self, path: str, body: bytes) -> None:
        connection = HTTPConnection(urlsplit(self.url).netloc)
        connection.request("POST", path, body, {"Content-Type": "text/plain"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The server; it ends with the module."""
    port = free_port()
    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(MANY)}
    log = tmp_path_factory.mktemp("guarded") / "log"
    with log.open("wb") as file:
        command = COMMANDS["moto"](port, log)
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
    with process:
        try:
            wait_for(lambda: answers(port))
            yield Guarded(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError):
        connection.request("GET", "/moto-api/")
        return connection.getresponse().status > 0
    return False


def without(permission: str) -> str:
    """The policy, less one permission."""
    policy: dict[str, Any] = json.loads(POLICY)
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != permission]
    return json.dumps(policy)


def test_the_whole_policy(guarded: Guarded, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS + tables(1, 10, "large") + tables(1, 0.1))
    with scene(guarded.place_for(POLICY), database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        assert at.snapshots() == ["v2"]
        at.flagsnap.within("show", "v2")
        at.flagsnap.within("verify", "v2")
        at.flagsnap.within("restore", "v2", "--into", f"{database.name}_copy")
        at.flagsnap.within(*CAPTURE, "--store", f"s3://{at.place.bucket}/others", code=1)
        at.assert_whole("v2")


def test_nothing_is_asked_for_that_the_policy_does_not_have(
    guarded: Guarded, database: Database, tmp_path: Path
) -> None:
    """Moto knows the permission of an operation by its name only; this is the list."""
    database.execute(MIGRATIONS + tables(1, 10, "large"))
    with scene(guarded.place_for(POLICY), database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        at.flagsnap.within("restore", "v2", "--into", f"{database.name}_copy")
        assert set(at.proxy.operations) == {
            *("ListObjectsV2", "ListMultipartUploads", "GetObject", "PutObject", "DeleteObjects"),
            *("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"),  # all of them s3:PutObject
        }


@pytest.mark.parametrize("permission", ["s3:ListBucket", "s3:GetObject", "s3:PutObject"])
def test_a_permission_without_which_nothing_goes(
    permission: str, guarded: Guarded, database: Database, tmp_path: Path
) -> None:
    database.execute(MIGRATIONS + tables(2, 0.1))
    with scene(guarded.place_for(without(permission)), database, tmp_path) as at:
        ended = at.flagsnap.within(*CAPTURE, code=1)
        guarded.enforce(after=MANY)
        assert said(ended) == (
            f"the store {at.place.url} cannot be used: these credentials lack {permission}",
            "allow it; the README has the whole policy",
        )
        at.assert_nothing()


@pytest.mark.parametrize(
    ("permission", "warning", "warnings_again"),
    [
        ("s3:DeleteObject", "something of v2 was left, the next capture tries to remove it", 2),
        ("s3:ListBucketMultipartUploads", "unfinished uploads were not looked for", 1),
        ("s3:AbortMultipartUpload", "unfinished uploads were not looked for", 0),  # there are none
    ],
)
def test_a_permission_without_which_something_stays(
    permission: str, warning: str, warnings_again: int, guarded: Guarded, database: Database, tmp_path: Path
) -> None:
    """The capture succeeds, and says what it could not do."""
    database.execute(MIGRATIONS + tables(2, 0.1))
    there = guarded.place_for(without(permission))
    with scene(there, database, tmp_path) as at:
        guarded.enforce(after=MANY)
        key = f"{there.prefix}/v2/dumps/default/1.dat"
        there.client.create_multipart_upload(Bucket=there.bucket, Key=key)
        guarded.enforce()
        ended = at.flagsnap.within(*CAPTURE)
        assert (
            f"warning: {warning}: the store {there.url} cannot be used: these credentials lack {permission}\n"
            in ended.err
        )
        assert len(re.findall("^warning:", ended.err, re.MULTILINE)) == 1
        assert at.snapshots() == ["v2"]
        at.flagsnap.within("verify", "v2")
        again = at.flagsnap.within("capture", "--deploy-id", "v3")
        assert len(re.findall("^warning:", again.err, re.MULTILINE)) == warnings_again
        assert at.snapshots() == ["v2", "v3"]
        guarded.enforce(after=MANY)
        assert bool(there.uploads()) == (permission != "s3:DeleteObject")


@pytest.mark.parametrize(
    ("permission", "left"),
    [
        ("s3:ListBucket", 0),
        ("s3:GetObject", 0),
        ("s3:PutObject", 0),
        ("s3:DeleteObject", 1),
        ("s3:ListBucketMultipartUploads", 0),
        ("s3:AbortMultipartUpload", 0),
    ],
)
def test_a_right_that_is_missing_is_named_when_they_are_tried(
    permission: str, left: int, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = guarded.place_for(without(permission))
    for name, value in there.server.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(there.url, {"endpoint_url": there.server.url, "addressing_style": "path"})
    with pytest.raises(StoreFailed) as refused:
        store.try_rights()
    guarded.enforce(after=MANY)
    assert str(refused.value) == f"the store {there.url} cannot be used: these credentials lack {permission}"
    assert refused.value.hint == "allow it; the README has the whole policy"
    assert len(there.keys()) == left
    assert unfinished(there) == [] or "Multipart" in permission
