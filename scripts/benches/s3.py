"""Captures to a bucket, against the bare tools: on a real S3 server that is slowed to a fixed rate."""

import shutil
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from flagsnap.postgres import embedded
from scripts.benches.ground import Bench, timed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "bench"
LONGEST = 1.15  # of the longer one of a capture to disk and the bare upload of the same bytes
CLEARLY_LESS = 0.90
SCRATCH_LIMIT = 0.60
MEMORY_LIMIT = 200e6
_KEY, _SECRET = "bench", "bench-secret"


@dataclass
class S3:
    """A server that takes a fixed number of bytes in a second."""

    url: str
    scratch: Path
    peak: int = 0

    @property
    def settings(self) -> dict[str, str]:
        """What flagsnap and the AWS command line are told."""
        return {
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": "us-east-1",
            "FLAGSNAP_STORE": f"s3://{BUCKET}/app",
            "FLAGSNAP_S3_ENDPOINT_URL": self.url,
            "FLAGSNAP_S3_ADDRESSING_STYLE": "path",
            "AWS_ENDPOINT_URL": self.url,
            "TMPDIR": str(self.scratch),
        }

    def client(self) -> "S3Client":
        """A client."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=_KEY,
            aws_secret_access_key=_SECRET,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=40),
        )

    def upload(self, folder: Path) -> None:
        """Upload a folder, several files at once, and nothing else."""
        client = self.client()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda file: client.upload_file(str(file), BUCKET, f"bare/{file.name}"), folder.iterdir()))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep the peak of the scratch space."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                self.peak = max(self.peak, _size(self.scratch))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def to_bucket(bench: Bench, rate: float) -> bool:
    """Compare; False if something is over its limit."""
    with _running(bench.folder, rate) as s3:
        numbers = iter(range(1000))
        bench.flagsnap("capture", "--deploy-id", "same-bytes")
        same = bench.folder / "store" / "same-bytes" / "dumps" / "default"
        bench.memory = 0

        def ours() -> None:
            with s3.watched():
                bench.flagsnap("capture", "--deploy-id", f"bench-{next(numbers)}", **s3.settings)

        def dump_then_copy() -> None:
            folder = bench.dumped(*bench.directory())
            aws = str(Path(sysconfig.get_path("scripts")) / "aws")
            bench.run(aws, "s3", "cp", "--quiet", "--recursive", str(folder), f"s3://{BUCKET}/copy/", **s3.settings)
            shutil.rmtree(folder)

        against_longer, against_copy = [], []
        for _ in range(bench.runs):
            took, disk = timed(ours), timed(bench.capture)
            upload, copy = timed(lambda: s3.upload(same)), timed(dump_then_copy)
            against_longer.append((took, max(disk, upload)))
            against_copy.append((took, copy))
        title = f"capture to S3 at {rate:.0f} MB/s"
        good = [
            bench.report(f"{title} / to disk, or bare upload", against_longer, LONGEST),
            bench.report(f"{title} / pg_dump, then aws s3 cp", against_copy, CLEARLY_LESS),
        ]
        share = s3.peak / _size(same)
        print(f"peak scratch space: {s3.peak / 1e6:.0f} MB, {share:.2f} of the dump (at most {SCRATCH_LIMIT:.2f})")
        print(f"peak memory of flagsnap: {bench.memory / 1e6:.0f} MB (under {MEMORY_LIMIT / 1e6:.0f} MB)")
        return all(good) and share < SCRATCH_LIMIT and bench.memory < MEMORY_LIMIT


@contextmanager
def _running(folder: Path, rate: float) -> Iterator[S3]:
    """`rclone serve s3` on a folder, slowed to `rate` MB in a second."""
    program = str(Path(sysconfig.get_path("scripts")) / "rclone")
    for name in ("buckets", "scratch"):
        (folder / name).mkdir()
    port = embedded.free_port()
    pair = f"{_KEY},{_SECRET}"
    options = ("--config", "", "--addr", f"127.0.0.1:{port}", "--auth-key", pair, "--bwlimit", f"{rate * 1e6:.0f}B")
    argv = [program, "serve", "s3", *options, str(folder / "buckets")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            s3 = S3(f"http://127.0.0.1:{port}", folder / "scratch")
            time.sleep(1)
            s3.client().create_bucket(Bucket=BUCKET)
            yield s3
        finally:
            process.terminate()


def _size(folder: Path) -> int:
    total = 0
    with suppress(FileNotFoundError):  # something was uploaded meanwhile
        for path in folder.rglob("*"):
            total += path.stat().st_size if path.is_file() else 0
    return total
