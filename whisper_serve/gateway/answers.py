"""Answers to audio: read the form, have the work done, send what was asked for, and leave when the client does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import ClassVar

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whisper_serve.gateway.connection import body_of, while_connected
from whisper_serve.gateway.model_metrics import ModelMetrics
from whisper_serve.gateway.service import Run, Service
from whisper_serve.gateway.streaming import EventStream
from whisper_serve.gateway.uploads import Limits, announced_bytes, open_upload
from whisper_serve.gateway.work import Work, work_of
from whisper_serve.request import FileRequest
from whisper_serve.speech import RESPONSE_FORMATS, WindowTranscript, language_name, render


class AudioAnswer(Response):
    """Reads and answers one request when it is called, so that the file and the work end with it."""

    task: ClassVar[str] = "transcribe"

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._started = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, limits, client = Headers(scope=scope), limits_of(self._service), scope["client_name"]
        announced = announced_bytes(headers)
        with self._service.lifecycle.work(), self._service.arrivals.upload(client, announced) as arrival:
            async with open_upload(headers, arrival.counted(body_of(receive), len), limits) as upload:
                scope["model"] = self._service.model_named(model_asked(upload.fields))
                asked = FileRequest.from_form(self._asked(upload.fields))
                work = work_of(asked, scope["model"], upload.file, upload.size, client)
                scope["response_format"] = "sse" if asked.stream else asked.response_format
                await while_connected(receive, self._answer(work, asked, scope, receive, send))

    def _asked(self, fields: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """The fields of the form that concern this answer."""
        return (*fields, ("task", self.task))

    async def _answer(self, work: Work, asked: FileRequest, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._service.pipeline.open(work) as run:
            metrics = self._service.metrics.of(work.model)
            if asked.stream:
                await self._stream(run, asked, metrics, scope, send)
            else:
                await (await self._whole(run, asked, metrics))(scope, receive, send)

    async def _whole(self, run: Run, asked: FileRequest, metrics: ModelMetrics) -> Response:
        async for _ in run:
            pass
        transcript = run.transcript()
        text = render(transcript, asked.response_format, asked.render)
        metrics.transcribed(transcript, self._took())
        return Response(text, headers={"content-type": RESPONSE_FORMATS[asked.response_format].content_type})

    async def _stream(self, run: Run, asked: FileRequest, metrics: ModelMetrics, scope: Scope, send: Send) -> None:
        stream = EventStream(send, asked)
        first = True
        async with aclosing(stream.run(run, self._service.settings.keepalive_seconds)) as deltas:
            async for _ in deltas:
                if first:
                    metrics.first_token(self._took())
                    first = False
        scope["failure"] = stream.failure
        if not stream.failure:
            metrics.transcribed(run.transcript(), self._took())

    def _took(self) -> float:
        return time.monotonic() - self._started


class TranslationAnswer(AudioAnswer):
    """The same, to English."""

    task = "translate"


class LanguageAnswer(AudioAnswer):
    """Only which language is spoken: how a text is decoded and written does not matter, and is not looked at."""

    def _asked(self, fields: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        return [(name, value) for name, value in fields if name.startswith(("vad_filter", "chunking_strategy"))]

    async def _answer(self, work: Work, asked: FileRequest, scope: Scope, receive: Receive, send: Send) -> None:
        window = await self._service.pipeline.detect_language(work)
        response = Response(language_body(window), media_type="application/json")
        await response(scope, receive, send)


def language_body(window: WindowTranscript) -> str:
    """The language of a window and the probabilities of all, the likeliest first, as JSON."""
    probabilities = window.language_probabilities or {}
    ordered = dict(sorted(probabilities.items(), key=lambda item: -item[1]))
    body = {"language": language_name(window.language), "language_code": window.language, "probabilities": ordered}
    return json.dumps(body, ensure_ascii=False)


def model_asked(fields: Sequence[tuple[str, str]]) -> str | None:
    """The name in the last field that names a model."""
    return next((value for name, value in reversed(fields) if name == "model" and value), None)


def limits_of(service: Service) -> Limits:
    """How large and slow a body may be."""
    settings = service.settings
    return Limits(settings.max_upload_bytes, settings.spool_memory_bytes, settings.upload_idle_seconds, service.space)
