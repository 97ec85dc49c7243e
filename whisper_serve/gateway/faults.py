"""What a failed call to TorchServe means, read from the status and words it fails with.

=====================  ==============================================================  =====================
fault                  how TorchServe or gRPC says it                                  what follows
=====================  ==============================================================  =====================
``WORKER_DIED``        INTERNAL or RESOURCE_EXHAUSTED, "Worker died."                  counts for the window
``QUEUE_FULL``         INTERNAL or others, "has no worker to serve inference request"  sent again, later
``ADDRESS_GONE``       UNAVAILABLE, CANCELLED; NOT_FOUND while it has no model yet     sent again
``TIMEOUT``            DEADLINE_EXCEEDED                                               sent again, bounded
``FAILED``             anything else, and replies that say that the model failed       sent again, bounded
=====================  ==============================================================  =====================
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import grpc
import grpc.aio


class Fault(Enum):
    """Why an attempt failed; the value is its name in metrics."""

    WORKER_DIED = "worker_died"
    QUEUE_FULL = "queue_full"
    ADDRESS_GONE = "address_gone"
    TIMEOUT = "timeout"
    FAILED = "failed"


_BY_WORDS: Final = {
    "Worker died": Fault.WORKER_DIED,
    "no worker to serve inference request": Fault.QUEUE_FULL,
}
_BY_CODE: Final = {
    grpc.StatusCode.UNAVAILABLE: Fault.ADDRESS_GONE,
    grpc.StatusCode.CANCELLED: Fault.ADDRESS_GONE,
    grpc.StatusCode.NOT_FOUND: Fault.ADDRESS_GONE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Fault.TIMEOUT,
}
_CUT_OFF: Final = ("RST_STREAM", "Stream removed")
"""gRPC's words, under other codes, for a call whose connection was lost."""


class AttemptFailed(Exception):
    """One attempt to have a window computed failed."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


def read_fault(error: grpc.aio.AioRpcError) -> AttemptFailed:
    """What a failed call means."""
    details = error.details() or ""
    return AttemptFailed(_fault(error.code(), details), f"{error.code().name}: {details}")


def _fault(code: grpc.StatusCode, details: str) -> Fault:
    for words, fault in _BY_WORDS.items():
        if words in details:
            return fault
    cut_off = any(words in details for words in _CUT_OFF)
    return _BY_CODE.get(code, Fault.ADDRESS_GONE if cut_off else Fault.FAILED)
