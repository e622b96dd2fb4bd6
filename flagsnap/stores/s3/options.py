"""What can be said of a bucket: where it is, how it is addressed, how its objects are stored."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flagsnap.errors import UsageError

_PARTS_OF_A_FILE = 1000
_SMALLEST_PART = 8 << 20
_LARGEST_PART = 5 << 30
_MEBIBYTE = 1 << 20


class S3Options(BaseModel):
    """The store options of a bucket; what is not given is left to boto3 and to the bucket.

    Attributes:
        endpoint_url: another maker's address, such as https://minio.example:9000.
        region: the bucket's region.
        profile: a profile of AWS's configuration files.
        addressing_style: `path` where the bucket cannot be a part of the host's name.
        storage_class: of the dump's files.
        sse: how the store encrypts; without it, as the bucket says.
        sse_kms_key_id: the key for `aws:kms`.
        checksums: `when_required` for makers that refuse SHA-256 checksums.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    storage_class: str | None = None
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    sse_kms_key_id: str | None = None
    checksums: Literal["when_supported", "when_required"] = "when_supported"

    @property
    def encryption(self) -> Mapping[str, str]:
        """The parameters of every request that stores something."""
        named = {"ServerSideEncryption": self.sse, "SSEKMSKeyId": self.sse_kms_key_id}
        return {name: value for name, value in named.items() if value}


def read_options(options: Mapping[str, str]) -> S3Options:
    """Read store options; UsageError for a name or value that makes no sense."""
    try:
        return S3Options.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            near = get_close_matches(name, S3Options.model_fields, 1)
            known = f"did you mean {near[0]}?" if near else f"there are {', '.join(S3Options.model_fields)}"
            raise UsageError(f"there is no store option {name}", known) from error
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise UsageError(f"the store option {name} cannot be {options[name]!r}: {message}") from error


def read_url(url: str) -> tuple[str, str]:
    """The bucket and the prefix of `s3://bucket/prefix`; UsageError."""
    match = re.fullmatch(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,254})/*((?:[^/?#@]+/*)*)", url, re.IGNORECASE)
    parts = [part for part in match[2].split("/") if part] if match else []
    if not match or {".", ".."} & set(parts):
        raise UsageError(
            "the store is not a bucket: its URL cannot be read", "write it as s3://bucket/prefix, without credentials"
        )
    return match[1], "/".join(parts)


def part_size(size: int) -> int:
    """The bytes of each part in which a file of `size` bytes is uploaded.

    S3 takes 10,000 parts of at most 5 GiB ("Amazon S3 multipart upload limits"); some makers take 1,000 parts. With
    parts that grow, files of up to 5 TB fit into 1,000. They cost no memory: parts are read from disk as they are sent.
    """
    wanted = -(-size // _PARTS_OF_A_FILE)
    rounded = -(-wanted // _MEBIBYTE) * _MEBIBYTE
    return min(max(rounded, _SMALLEST_PART), _LARGEST_PART)
