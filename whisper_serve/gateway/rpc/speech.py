"""The methods of the service: read what is asked, have the work done, send what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import BinaryIO

from whisper_serve.gateway.rpc.call import Call
from whisper_serve.gateway.rpc.chunks import open_chunks
from whisper_serve.gateway.rpc.live import recognize
from whisper_serve.gateway.rpc.messages import Segments, detection, transcription
from whisper_serve.gateway.rpc.options import read_detection, read_options
from whisper_serve.gateway.service import OWNER, Run, Service
from whisper_serve.gateway.work import work_of
from whisper_serve.request import FileRequest
from whisper_serve.speech_v1 import speech_pb2, speech_pb2_grpc


class SpeechService(speech_pb2_grpc.SpeechServiceServicer):
    """All of them; what surrounds a call is in `Surroundings`. A call that is cancelled stops its work."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def Transcribe(  # noqa: N802
        self, request: speech_pb2.TranscribeRequest, call: Call
    ) -> speech_pb2.TranscribeResponse:
        """One file in a message."""
        call.model = self._service.model_named(request.options.model)
        asked = read_options(request.options)
        with self._service.lifecycle.work():
            whole = await self._whole(asked, request.options, BytesIO(request.audio), len(request.audio), call)
        return speech_pb2.TranscribeResponse(transcription=whole)

    async def TranscribeChunks(  # noqa: N802
        self, requests: AsyncIterator[speech_pb2.TranscribeChunksRequest], call: Call
    ) -> speech_pb2.TranscribeChunksResponse:
        """One file in pieces."""
        service = self._service
        with service.lifecycle.work(), service.arrivals.upload(call.client) as arrival:
            counted = arrival.counted(requests, lambda request: len(request.chunk))
            async with open_chunks(counted, service.settings, service.space) as chunks:
                call.model = self._service.model_named(chunks.options.model)
                asked = read_options(chunks.options)
                await chunks.receive()
                whole = await self._whole(asked, chunks.options, chunks.file, chunks.size, call)
        return speech_pb2.TranscribeChunksResponse(transcription=whole)

    async def TranscribeStream(self, request: speech_pb2.TranscribeStreamRequest, call: Call) -> None:  # noqa: N802
        """One file in a message, answered segment by segment."""
        call.model = self._service.model_named(request.options.model)
        asked = read_options(request.options)
        segments = Segments(with_language=asked.language_per_window)
        with self._service.lifecycle.work():
            work = work_of(asked, call.model, BytesIO(request.audio), len(request.audio), call.client)
            async with self._service.pipeline.open(work) as run:
                first = True
                async for part in run:
                    for segment in segments.of(part):
                        await call.write(speech_pb2.TranscribeStreamResponse(segment=segment))
                        if first:
                            self._service.metrics.of(call.model).first_token(call.took)
                            first = False
                whole = self._transcription(run, asked, request.options, call)
            await call.write(speech_pb2.TranscribeStreamResponse(transcription=whole))

    async def StreamingRecognize(  # noqa: N802
        self, requests: AsyncIterator[speech_pb2.StreamingRecognizeRequest], call: Call
    ) -> None:
        """Live audio."""
        await recognize(self._service, requests, call)

    async def DetectLanguage(  # noqa: N802
        self, request: speech_pb2.DetectLanguageRequest, call: Call
    ) -> speech_pb2.DetectLanguageResponse:
        """The language of one file."""
        call.model = self._service.model_named(request.model)
        asked = read_detection(request)
        with self._service.lifecycle.work():
            work = work_of(asked, call.model, BytesIO(request.audio), len(request.audio), call.client)
            return detection(await self._service.pipeline.detect_language(work))

    async def ListModels(  # noqa: N802
        self, _request: speech_pb2.ListModelsRequest, _call: Call
    ) -> speech_pb2.ListModelsResponse:
        """All names."""
        created, names = self._service.created, self._service.settings.model_names
        models = [speech_pb2.Model(id=name, created=created, owned_by=OWNER) for name in names]
        return speech_pb2.ListModelsResponse(models=models)

    async def _whole(
        self, asked: FileRequest, options: speech_pb2.TranscriptionOptions, file: BinaryIO, size: int, call: Call
    ) -> speech_pb2.Transcription:
        work = work_of(asked, call.model, file, size, call.client)
        async with self._service.pipeline.open(work) as run:
            async for _ in run:
                pass
            return self._transcription(run, asked, options, call)

    def _transcription(
        self, run: Run, asked: FileRequest, options: speech_pb2.TranscriptionOptions, call: Call
    ) -> speech_pb2.Transcription:
        transcript = run.transcript()
        self._service.metrics.of(call.model).transcribed(transcript, call.took)
        return transcription(transcript, asked, rendered=bool(options.render.format))
