"""What a user may say of a bucket: its URL, its options; and the parts in which files go there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.errors import UsageError
from flagsnap.stores.s3.options import part_size, read_options, read_url

TERABYTE = 10**12
LARGEST_OF_S3 = 5 << 40


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("S3://my.bucket-1/a/b c/", ("my.bucket-1", "a/b c")),
        ("s3://bucket//a//b", ("bucket", "a/b")),
    ],
)
def test_urls(url: str, expected: tuple[str, str]) -> None:
    assert read_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///x",
        "s3://key:sesame@bucket/x",
        "s3://b/x?versionId=1",
        "s3://b/x#y",
        "s3://bucket/a/../b",
        "s3://b",
    ],
)
def test_other_urls_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="the store is not a bucket") as refused:
        read_url(url)
    assert "s3://bucket/prefix" in refused.value.hint
    assert "sesame" not in str(refused.value)


def test_options_are_what_was_given() -> None:
    options = read_options({"endpoint_url": "http://127.0.0.1:1", "sse": "aws:kms", "sse_kms_key_id": "k"})
    assert options.endpoint_url == "http://127.0.0.1:1"
    assert options.encryption == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}
    assert read_options({}).encryption == {}


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"sses": "AES256"}, "there is no store option sses", "did you mean sse?"),
        ({"xyz": "1"}, "there is no store option xyz", "endpoint_url, region"),
        ({"sse": "rot13"}, "the store option sse cannot be 'rot13'", ""),
        ({"checksums": "never"}, "the store option checksums cannot be 'never'", ""),
        ({"addressing_style": ""}, "the store option addressing_style cannot be ''", ""),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_options(options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert hint in refused.value.hint


@given(st.integers(min_value=0, max_value=LARGEST_OF_S3))
def test_every_file_fits_into_the_parts_that_stores_allow(size: int) -> None:
    part = part_size(size)
    assert 5 << 20 <= part <= 5 << 30, "S3's own limits for a part"
    assert part * 10_000 >= size
    assert size > 5 * TERABYTE or part * 1000 >= size


def test_small_files_go_in_small_parts() -> None:
    assert part_size(0) == part_size(8_000 << 20) == 8 << 20
    assert part_size((8_000 << 20) + 1) == 9 << 20
