"""The classes of users, and what each is called where requests are counted. It knows nothing of Locust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENDPOINTS: Final[Mapping[str, str]] = {
    "RestUser": "rest",
    "StreamingUser": "streaming",
    "GrpcUser": "grpc",
    "LiveUser": "live",
    "TorchServeUser": "torchserve-rest",
    "TorchServeGrpcUser": "torchserve-grpc",
}
"""The endpoint of each class of users."""
