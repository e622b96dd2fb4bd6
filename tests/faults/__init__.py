"""A reverse proxy for tests between a client and an S3 server, that fails in the ways in which networks and S3 fail.

with FaultyProxy(server.url) as proxy:
    rule = proxy.inject(AnswerLost(), operation="PutObject", key_contains="toc.dat")
    ...
assert rule.played == 1
"""

from tests.faults.faults import (
    AnswerLost,
    ErrorInside,
    FlipRequest,
    FlipResponse,
    Reset,
    ResetResponse,
    Slow,
    Stall,
    Status,
    TruncatedResponse,
)
from tests.faults.proxy import FaultyProxy, Rule
from tests.faults.requests import Request

__all__ = [
    "AnswerLost",
    "ErrorInside",
    "FaultyProxy",
    "FlipRequest",
    "FlipResponse",
    "Request",
    "Reset",
    "ResetResponse",
    "Rule",
    "Slow",
    "Stall",
    "Status",
    "TruncatedResponse",
]
