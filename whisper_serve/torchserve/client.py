"""Small typed clients of TorchServe's inference API: REST and gRPC.

They send what the handler takes and give back what it answers; what that means is the caller's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import grpc
import httpx
from typing_extensions import Self

from whisper_serve.torchserve import inference_pb2, inference_pb2_grpc
from whisper_serve.torchserve.errors import RequestFailed

MODEL = "whisper"
FILE_KEY = "file"
WINDOW_KEY = "window"
MAX_BYTES = 100 * 1024 * 1024
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Prediction:
    """A successful REST answer."""

    body: bytes
    content_type: str

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class _Client(ABC):
    """A context manager that closes itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of the connections."""


class RestClient(_Client):
    """REST predictions of one model at `url`, such as ``http://127.0.0.1:8080/predictions/whisper``.

    Every method raises RequestFailed. `timeout` is in seconds, for each wait on the network.
    """

    def __init__(self, url: str, *, timeout: float = 600.0) -> None:
        self.url = url
        # trust_env: a proxy in the environment has nothing to do with a server on this machine or in this
        # cluster.
        self._http = httpx.Client(timeout=timeout, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def predict(self, body: bytes, *, content_type: str = "application/octet-stream") -> Prediction:
        """Send an audio file as the body."""
        return self._answer(self._http.build_request("POST", self.url, content=body, headers=_type(content_type)))

    def predict_form(
        self, content: bytes, fields: Mapping[str, str] | None = None, *, key: str = FILE_KEY
    ) -> Prediction:
        """Send a multipart form: an audio file with OpenAI's form fields, or, under WINDOW_KEY, a window."""
        files = {key: (key, content, "application/octet-stream")}
        return self._answer(self._http.build_request("POST", self.url, files=files, data=dict(fields or {})))

    def _answer(self, request: httpx.Request) -> Prediction:
        try:
            answer = self._http.send(request)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise RequestFailed(f"{self.url} did not answer: {reason}") from error
        if not answer.is_success:
            text = answer.text[:_SHOWN_CHARACTERS] or answer.reason_phrase
            raise RequestFailed(f"{self.url} answered {answer.status_code}: {text}", answer.status_code)
        return Prediction(answer.content, answer.headers.get("content-type", ""))


class GrpcClient(_Client):
    """gRPC predictions of one model at `target`, such as ``127.0.0.1:7070``.

    TorchServe reports a row that failed as OK: the answer itself must say its status. What raises
    RequestFailed is a failure of the call: no server, a full queue, a dead worker.
    """

    def __init__(self, target: str, model: str = MODEL, *, timeout: float = 600.0) -> None:
        self._model = model
        self._timeout = timeout
        self._channel = grpc.insecure_channel(
            target,
            options=[
                ("grpc.max_send_message_length", MAX_BYTES),
                ("grpc.max_receive_message_length", MAX_BYTES),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._stub: Any = inference_pb2_grpc.InferenceAPIsServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def predict(self, content: bytes, fields: Mapping[str, str] | None = None, *, key: str = FILE_KEY) -> bytes:
        """Send an audio file with OpenAI's fields, or, under WINDOW_KEY, a window; the answer's bytes."""
        texts = {name: value.encode("utf-8") for name, value in (fields or {}).items()}
        request = inference_pb2.PredictionsRequest(model_name=self._model, input={**texts, key: content})
        try:
            return bytes(self._stub.Predictions(request, timeout=self._timeout).prediction)
        except grpc.RpcError as error:
            raise _failure(error) from error


def _type(content_type: str) -> dict[str, str]:
    return {"content-type": content_type}


def _failure(error: grpc.RpcError) -> RequestFailed:
    call = cast("grpc.Call", error)  # What a failed call raises is one too, which its type does not say.
    code = call.code().name
    return RequestFailed(f"The gRPC call failed with {code}: {call.details()}", code)
