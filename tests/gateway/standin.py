"""A model server for tests of the gateway: a real gRPC server that answers windows, and fails as TorchServe does."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, ParamSpec

import grpc
import grpc.aio

from whisper_serve.gateway.backend import Backend
from whisper_serve.gateway.observer import Silent
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.speech import SAMPLE_RATE, Audio, Segment, TokenLogprob, WindowTranscript, Word
from whisper_serve.torchserve import inference_pb2, inference_pb2_grpc
from whisper_serve.wire import ErrorReply, WindowOptions, pack_reply, unpack_window

P = ParamSpec("P")

Failure = tuple[grpc.StatusCode, str]
DIED: Final[Failure] = (grpc.StatusCode.INTERNAL, "Worker died.")
KILLED: Final[Failure] = (grpc.StatusCode.RESOURCE_EXHAUSTED, "Worker died.")
FULL: Final[Failure] = (
    grpc.StatusCode.INTERNAL,
    'Model "whisper" has no worker to serve inference request. Please use scale workers API to add workers.',
)
FAILED: Final[Failure] = (grpc.StatusCode.INTERNAL, "Prediction failed")
PROBE_SECONDS: Final = 0.2


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, and fail if it does not come true in time."""
    async with _timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def _timeout(seconds: float) -> AsyncIterator[None]:
    task = asyncio.current_task()
    assert task
    handle = asyncio.get_running_loop().call_later(seconds, task.cancel)
    try:
        yield
    except asyncio.CancelledError as error:
        raise AssertionError(f"waited {seconds} s in vain") from error
    finally:
        handle.cancel()


@dataclass(frozen=True, slots=True)
class Received:
    """A window that came."""

    audio: Audio
    options: WindowOptions
    company: int
    """Other windows that were in work when it came."""

    @property
    def text(self) -> str:
        return text_of(len(self.audio))


def text_of(samples: int) -> str:
    """What the stand-in hears in a window of so many samples: their number."""
    return f" {samples}"


class StandIn(inference_pb2_grpc.InferenceAPIsServiceServicer):
    """Answers windows with their number of samples."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.probes = 0
        self.traceparents: list[str] = []
        """Those that came with windows."""
        self.most_at_once = 0
        self.seconds = 0.0
        """How long a window takes."""
        self.delay: Callable[[Received], float] = lambda received: self.seconds
        """The same, by window."""
        self.failures: deque[Failure | ErrorReply] = deque()
        """What the next windows get instead of an answer."""
        self.refuses_probes: Failure | None = None
        self.poison: Callable[[Received], bool] = lambda received: False
        """Windows that end the worker, and with it all others in work."""
        self.hears: Callable[[Received], str] = lambda received: received.text
        self.says: Callable[[Received], Sequence[Word]] | None = None
        """The same as words with their times, where they are asked for; goes before `hears`."""
        self.language = "en"
        self.speaks: Callable[[Received], str] = lambda received: self.language
        self.open = asyncio.Event()
        """Answers wait for it."""
        self.open.set()
        self.port = 0
        self._at_work: set[asyncio.Event] = set()
        self._server: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        return f"ipv4:127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; after a stop on the same port as before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        inference_pb2_grpc.add_InferenceAPIsServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Vanish, with all that is in work."""
        if self._server:
            await self._server.stop(None)
            self._server = None

    async def Predictions(  # noqa: N802
        self, request: inference_pb2.PredictionsRequest, context: Any
    ) -> inference_pb2.PredictionResponse:
        audio, options = unpack_window(request.input["window"])
        if len(audio) < PROBE_SECONDS * SAMPLE_RATE:
            self.probes += 1
            if self.refuses_probes:
                await context.abort(*self.refuses_probes)
            return _response(WindowTranscript("en", 1.0, ()))
        received = Received(audio, options, len(self._at_work))
        self.received.append(received)
        self.traceparents += [str(value) for key, value in context.invocation_metadata() or () if key == "traceparent"]
        if self.failures:
            failure = self.failures.popleft()
            if isinstance(failure, ErrorReply):
                return _response(failure)
            await context.abort(*failure)
        if await self._work(received):
            await context.abort(*KILLED)
        return _response(self._answer(received))

    async def _work(self, received: Received) -> bool:
        """Work on a window: whether the worker died of it or of another."""
        death = asyncio.Event()
        self._at_work.add(death)
        self.most_at_once = max(self.most_at_once, len(self._at_work))
        try:
            await asyncio.sleep(self.delay(received))
            await self.open.wait()
            if self.poison(received):
                for each in self._at_work:
                    each.set()
            return death.is_set()
        finally:
            self._at_work.discard(death)

    def _answer(self, received: Received) -> WindowTranscript:
        language = self.speaks(received)
        if received.options.detect_only:
            return WindowTranscript(language, 0.9, (), {language: 0.9})
        end = len(received.audio) / SAMPLE_RATE
        segment = Segment(0, 0, 0.0, round(end, 2), self.hears(received), (1, 2), 0.0, -0.1, 1.0, 0.0)
        if self.says is not None:
            segment = _saying(segment, self.says(received), received.options)
        asked = received.options.language
        return WindowTranscript(asked or language, None if asked else 0.9, (segment,))


def _saying(segment: Segment, words: Sequence[Word], options: WindowOptions) -> Segment:
    """The segment with other words, each of which is a token."""
    tokens = tuple(TokenLogprob(word.word, tuple(word.word.encode()), -0.1) for word in words)
    return replace(
        segment,
        text="".join(word.word for word in words),
        tokens=tuple(range(len(words))),
        words=tuple(words) if options.word_timestamps else (),
        token_logprobs=tokens if options.logprobs else (),
    )


def _response(reply: WindowTranscript | ErrorReply) -> inference_pb2.PredictionResponse:
    return inference_pb2.PredictionResponse(prediction=pack_reply(reply))


@dataclass
class Log(Silent):
    """An observer that remembers."""

    sent: list[float] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    audio: float = 0.0
    loads: list[tuple[float, float]] = field(default_factory=list)
    known: tuple[int, int] = (0, 0)
    """Addresses, and those of them that are ready."""

    def addresses(self, known: int, ready: int) -> None:
        self.known = (known, ready)

    def window_sent(self, seconds: float) -> None:
        self.sent.append(seconds)

    def window_retried(self, reason: str) -> None:
        self.retried.append(reason)

    def window_failed(self, reason: str) -> None:
        self.failed.append(reason)

    def decoded(self, seconds: float, decoding: float, searching: float) -> None:
        assert searching > 0
        assert decoding > 0 or not seconds
        self.audio += seconds

    def queue(self, seconds_waiting: float, seconds_in_flight: float) -> None:
        self.loads.append((seconds_waiting, seconds_in_flight))


class Cluster:
    """Some stand-ins behind one name, and a backend that talks to them."""

    def __init__(self, size: int, settings: GatewaySettings) -> None:
        self.log = Log()
        self.servers = [StandIn() for _ in range(size)]
        self.targets: set[str] = set()
        self.unresolved: OSError | None = None
        """Why the name cannot be resolved."""
        (model,) = settings.served
        self.backend = Backend(settings, model, self.log, resolve=self._resolve)

    @property
    def received(self) -> list[Received]:
        return [each for server in self.servers for each in server.received]

    async def _resolve(self, _name: str) -> frozenset[str]:
        if self.unresolved or not self.targets:
            raise self.unresolved or OSError("no such name")
        return frozenset(self.targets)


def settings_for_tests(**changes: Any) -> GatewaySettings:
    """Settings with short times, so that what is waited for comes soon."""
    values: dict[str, Any] = {"resolve_seconds": 0.05, "hold_seconds": 5, "window_timeout": 20, "request_timeout": 30}
    return GatewaySettings(**{**values, **changes})


@asynccontextmanager
async def cluster(size: int = 1, **changes: Any) -> AsyncIterator[Cluster]:
    """Running stand-ins; the backend is not started."""
    it = Cluster(size, settings_for_tests(**changes))
    async with AsyncExitStack() as stack:
        for server in it.servers:
            await server.start()
            stack.push_async_callback(server.stop)
            it.targets.add(server.target)
        yield it


@asynccontextmanager
async def backend(size: int = 1, **changes: Any) -> AsyncIterator[Cluster]:
    """Running stand-ins with a backend that is ready for all of them."""
    async with cluster(size, **changes) as it:
        await it.backend.start()
        try:
            await until(lambda: it.backend.ready_addresses == size)
            yield it
        finally:
            await it.backend.close()
