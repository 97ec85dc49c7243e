"""TorchServe without the gateway: its own REST and its own gRPC, with whole files."""

from __future__ import annotations

import json
import time

from loadtest.answers import NO_ANSWER, Answer, RequestError
from loadtest.clips import Clip
from whisper_serve.torchserve.client import GrpcClient, RestClient
from whisper_serve.torchserve.errors import RequestFailed


class TorchServeRestTransport:
    """`url` is TorchServe's address for inference, `model` what it calls the model."""

    def __init__(self, url: str, model: str = "whisper", *, timeout: float = 600.0) -> None:
        self._client = RestClient(f"{url}/predictions/{model}", timeout=timeout)

    def transcribe(self, clip: Clip) -> Answer:
        """See `Transport`."""
        started = time.perf_counter()
        try:
            body = self._client.predict_form(clip.content, {"language": clip.language}).body
        except RequestFailed as error:
            kind = NO_ANSWER if error.status is None else f"HTTP {error.status}"
            raise RequestError(kind, str(error)) from error
        return Answer(_text(body), time.perf_counter() - started)

    def close(self) -> None:
        """See `Transport`."""
        self._client.close()


class TorchServeGrpcTransport:
    """`target` is host:port of TorchServe's gRPC for inference."""

    def __init__(self, target: str, model: str = "whisper", *, timeout: float = 600.0) -> None:
        self._client = GrpcClient(target, model, timeout=timeout)

    def transcribe(self, clip: Clip) -> Answer:
        """See `Transport`."""
        started = time.perf_counter()
        try:
            body = self._client.predict(clip.content, {"language": clip.language})
        except RequestFailed as error:
            raise RequestError(f"gRPC {error.status}", str(error)) from error
        return Answer(_text(body), time.perf_counter() - started)

    def close(self) -> None:
        """See `Transport`."""
        self._client.close()


def _text(body: bytes) -> str:
    """The text of an answer, which over gRPC may be an error although the call went well."""
    answer = json.loads(body)
    if "error" in answer:
        raise RequestError("error in answer", str(answer["error"].get("message")))
    return str(answer["text"])
