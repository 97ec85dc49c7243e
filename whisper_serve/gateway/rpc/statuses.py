"""Errors as gRPC statuses: the code, the sentence, and details that programs can read.

======  ==================  ===========================================================
status  code                details beside ErrorInfo
======  ==================  ===========================================================
400     INVALID_ARGUMENT    BadRequest
401     UNAUTHENTICATED
404     NOT_FOUND
408     DEADLINE_EXCEEDED
413     INVALID_ARGUMENT    BadRequest
422     INVALID_ARGUMENT    BadRequest
429     RESOURCE_EXHAUSTED  RetryInfo; ErrorInfo's metadata may have audioSecondsAhead
503     UNAVAILABLE         RetryInfo
504     DEADLINE_EXCEEDED
507     RESOURCE_EXHAUSTED  RetryInfo
others  INTERNAL
======  ==================  ===========================================================
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from whisper_serve.gateway.failures import GatewayError, Overloaded
from whisper_serve.gateway.rpc.options import field_path
from whisper_serve.wire import ErrorReply

DOMAIN: Final = "whisper.v1"
_CODES: Final = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    404: code_pb2.NOT_FOUND,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.INVALID_ARGUMENT,
    422: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
    507: code_pb2.RESOURCE_EXHAUSTED,
}
"""By the status that the REST API answers."""


def status_of(error: Exception, reply: ErrorReply, request: Descriptor) -> grpc.Status:
    """What a caller is told of an error; `reply` is what the REST API would tell, `request` the call's message."""
    code = _CODES.get(reply.status, code_pb2.INTERNAL)
    reason = (reply.code or "other").upper()
    details: list[Message] = [ErrorInfo(reason=reason, domain=DOMAIN, metadata=_metadata(error))]
    if code == code_pb2.INVALID_ARGUMENT and reply.param:
        violation = BadRequest.FieldViolation(field=field_path(reply.param, request), description=reply.message)
        details.append(BadRequest(field_violations=[violation]))
    if isinstance(error, GatewayError) and error.retry_after is not None:
        details.append(RetryInfo(retry_delay=timedelta(seconds=error.retry_after)))
    return rpc_status.to_status(Status(code=code, message=reply.message, details=map(_packed, details)))


def _metadata(error: Exception) -> dict[str, str]:
    """What `x-audio-seconds-ahead` is in REST."""
    ahead = error.audio_seconds_ahead if isinstance(error, Overloaded) else None
    return {} if ahead is None else {"audioSecondsAhead": str(ahead)}


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
