"""Requests as the proxy sees them, with the names that S3 has for them; addressing is by path, `/bucket/key`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from tests.faults.http import Head

# Method, what the path names, and the subresource: the parameter that makes it another operation.
OPERATIONS = {
    ("PUT", "key", ""): "PutObject",
    ("PUT", "key", "partNumber"): "UploadPart",
    ("GET", "key", ""): "GetObject",
    ("HEAD", "key", ""): "HeadObject",
    ("DELETE", "key", ""): "DeleteObject",
    ("POST", "key", "uploads"): "CreateMultipartUpload",
    ("POST", "key", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "key", "uploadId"): "AbortMultipartUpload",
    ("GET", "key", "uploadId"): "ListParts",
    ("GET", "bucket", ""): "ListObjects",
    ("GET", "bucket", "list-type"): "ListObjectsV2",
    ("GET", "bucket", "uploads"): "ListMultipartUploads",
    ("GET", "bucket", "versions"): "ListObjectVersions",
    ("GET", "bucket", "versioning"): "GetBucketVersioning",
    ("GET", "bucket", "location"): "GetBucketLocation",
    ("POST", "bucket", "delete"): "DeleteObjects",
    ("PUT", "bucket", ""): "CreateBucket",
    ("HEAD", "bucket", ""): "HeadBucket",
    ("DELETE", "bucket", ""): "DeleteBucket",
    ("GET", "service", ""): "ListBuckets",
}
# An upload's part has both `partNumber` and `uploadId`: the first that is there counts.
SUBRESOURCES = (
    *("partNumber", "uploadId", "uploads", "delete", "list-type", "versions", "versioning", "location"),
    *("acl", "attributes", "encryption", "legal-hold", "lifecycle", "object-lock", "policy", "retention", "tagging"),
)


@dataclass(frozen=True)
class Request:
    """One request; the path and the query are as they were sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, head: Head) -> "Request":
        """The request that has this head; the names of its headers are in lower case."""
        method, target, _ = head.start.split(" ")
        path, _, query = target.partition("?")
        pairs = (line.partition(":") for line in head.headers)
        return cls(method, path, query, {name.lower(): value.strip() for name, _, value in pairs})

    @property
    def bucket(self) -> str:
        """The bucket's name; empty for the service itself."""
        return unquote(self.path.split("/", 2)[1])

    @property
    def key(self) -> str:
        """The object's key; empty if it is about a bucket, also where a body or a query names keys."""
        parts = self.path.split("/", 2)
        return unquote(parts[2]) if len(parts) > 2 else ""

    @property
    def parameters(self) -> dict[str, str]:
        """The query, taken apart."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def subresource(self) -> str:
        """The parameter that makes it another operation; empty for a plain one."""
        return next((name for name in SUBRESOURCES if name in self.parameters), "")

    @property
    def operation(self) -> str:
        """S3's name of the operation; what has none here is told by method and subresource."""
        target = "key" if self.key else "bucket" if self.bucket else "service"
        named = (self.method, target, self.subresource)
        copies = "Copy" if "x-amz-copy-source" in self.headers else ""
        operation = OPERATIONS.get(named, " ".join(named))
        return {"CopyPutObject": "CopyObject", "CopyUploadPart": "UploadPartCopy"}.get(copies + operation, operation)
