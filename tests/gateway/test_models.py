"""Several models behind one gateway: what they are called, and that each request reaches its own and no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.gateway.deterministic import Served, serve
from tests.gateway.live.test_websocket import END, PCM, closed_with, open_socket
from tests.gateway.rpc_calls import chunks, failure, stub_of
from tests.gateway.standin import KILLED, Cluster, Log, cluster, in_loop, settings_for_tests, until
from tests.gateway.test_app import PATH, post
from tests.gateway.test_pipeline import LONG, SHORT, work
from tests.gateway.test_rpc import SERVICE, health, request, stream_request
from whisper_serve.gateway.failures import NotReady, Overloaded
from whisper_serve.gateway.live.options import LiveOptions
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.observer import Silent
from whisper_serve.gateway.pipeline import Pipeline, Work
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.settings import SettingsError
from whisper_serve.speech_v1 import speech_pb2 as pb

LARGE: dict[str, Any] = {"name": "large-v3", "torchserve": "large:7070", "aliases": ["whisper-1", "large-v3"]}
TURBO: dict[str, Any] = {"name": "turbo", "torchserve": "[::1]:7071", "torchserve_model": "fast"}
NAMES = ["large-v3", "whisper-1", "turbo"]


# What they are called ---------------------------------------------------------------------------------------------


def test_models_come_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", json.dumps([LARGE, TURBO]))
    settings = GatewaySettings.read({})
    assert settings.model_names == tuple(NAMES)
    assert [(each.torchserve, each.torchserve_model) for each in settings.served] == [
        ("large:7070", "whisper"),
        ("[::1]:7071", "fast"),
    ]


def test_one_model_needs_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODEL_ALIASES", "whisper-1, base")
    settings = GatewaySettings.read({"model": "own", "torchserve_grpc": "here:1"})
    assert settings.model_names == ("own", "whisper-1", "base")
    (model,) = settings.served
    assert (model.torchserve, model.torchserve_model) == ("here:1", "own")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("large-v3", "models: must be a list of objects as JSON"),
        ('{"name": "turbo"}', "models: must be a list of objects as JSON"),
        ("[]", "models: the list is empty"),
        ([{"name": "turbo"}], r"models\.0\.torchserve: Field required"),
        ([{**TURBO, "torchserve": "nowhere"}], r"models\.0\.torchserve: "),
        ([LARGE, {**TURBO, "name": "tur bo"}], r"models\.1\.name: "),
        ([{**TURBO, "aliases": [""]}], r"models\.0\.aliases\.0: "),
        ([{**TURBO, "alias": "fast"}], r"models\.0\.alias: "),
        ([LARGE, {**TURBO, "aliases": ["whisper-1"]}], r"models\.0 and models\.1 are both called 'whisper-1'"),
        ([LARGE, TURBO, {**TURBO, "torchserve": "h:1"}], r"models\.1 and models\.2 are both called 'turbo'"),
    ],
)
def test_what_cannot_be_served_is_named(models: object, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", models if isinstance(models, str) else json.dumps(models))
    with pytest.raises(SettingsError, match=said):
        GatewaySettings.read({})


def test_either_one_model_or_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", json.dumps([LARGE]))
    monkeypatch.setenv("WHISPER_MODEL_ALIASES", "whisper-1")
    with pytest.raises(SettingsError, match=r": models names all models: model_aliases and torchserve_grpc must not"):
        GatewaySettings.read({"torchserve_grpc": "here:1"})


def test_a_name_with_slashes_can_be_asked_for() -> None:
    name = "openai/whisper-large-v3"
    with serve(models=[{**LARGE, "aliases": [name]}]) as served, httpx.Client(trust_env=False) as client:
        listed = [each["id"] for each in client.get(f"{served.url}/v1/models").json()["data"]]
        assert listed == ["large-v3", name]
        for written in (name, name.replace("/", "%2F"), "large-v3"):
            answer = client.get(f"{served.url}/v1/models/{written}")
            assert (answer.status_code, answer.json().get("id")) == (200, written.replace("%2F", "/"))
        for unknown in ("openai/none", "openai", f"{name}/", "", "/"):
            assert client.get(f"{served.url}/v1/models/{unknown}").status_code == 404
        paths = client.get(f"{served.url}/openapi.json").json()["paths"]
        (parameter,) = paths["/v1/models/{model}"]["get"]["parameters"]
        assert (parameter["name"], parameter["in"]) == ("model", "path")


# Before real gRPC servers -----------------------------------------------------------------------------------------


class Logs(Silent):
    """An observer that remembers what each model did."""

    def __init__(self, logs: Mapping[str, Log]) -> None:
        self._logs = logs

    def of(self, model: str) -> Log:
        return self._logs[model]


@dataclass
class Two:
    """A pipeline with two models, each of one server."""

    pipeline: Pipeline
    clusters: Mapping[str, Cluster]

    def windows(self) -> list[int]:
        """How many each has received."""
        return [len(it.received) for it in self.clusters.values()]

    async def transcribe(self, asked: Work) -> str:
        async with self.pipeline.open(asked) as run:
            async for _ in run:
                pass
            return run.transcript().text


@asynccontextmanager
async def two(*, down: str = "", **changes: Any) -> AsyncIterator[Two]:
    async with cluster(**changes) as large, cluster(**changes) as turbo:
        clusters = {"large-v3": large, "turbo": turbo}
        if down:
            clusters[down].servers[0].refuses_probes = KILLED
        logs = Logs({name: it.log for name, it in clusters.items()})
        backends = {name: it.backend for name, it in clusters.items()}
        pipeline = Pipeline(settings_for_tests(**changes), backends, logs)
        await pipeline.start()
        try:
            await until(lambda: pipeline.models == {name: name != down for name in clusters})
            yield Two(pipeline, clusters)
        finally:
            await pipeline.close()


@in_loop
async def test_each_file_goes_to_its_model() -> None:
    async with two() as it:
        assert await it.transcribe(work(SHORT, model="turbo"))
        assert it.windows() == [0, 1]
        await it.pipeline.detect_language(work(SHORT, model="large-v3"))
        assert it.windows() == [1, 1]
        assert [each.log.sent != [] for each in it.clusters.values()] == [True, True]
        assert it.clusters["turbo"].log.loads[-1] == (0, 0)


@in_loop
async def test_a_model_that_is_not_there_holds_its_own_requests_alone() -> None:
    async with two(down="large-v3") as it:
        held = asyncio.create_task(it.transcribe(work(SHORT, model="large-v3")))
        assert await it.transcribe(work(SHORT, model="turbo"))
        assert it.pipeline.ready
        assert not held.done()
        it.clusters["large-v3"].servers[0].refuses_probes = None
        assert await held
    async with two(down="turbo", hold_seconds=0.2) as it:
        with pytest.raises(NotReady, match="the model 'turbo' is not ready"):
            await it.transcribe(work(SHORT, model="turbo"))
        assert await it.transcribe(work(SHORT, model="large-v3"))


@in_loop
async def test_what_waits_for_a_model_keeps_nobody_from_another() -> None:
    async with two(max_queued_audio_seconds=20) as it:
        it.clusters["large-v3"].servers[0].open.clear()
        async with it.pipeline.open(work(LONG, model="large-v3")):
            await until(lambda: sum(it.clusters["large-v3"].log.loads[-1]) > 20)
            with pytest.raises(Overloaded):
                await it.transcribe(work(SHORT, model="large-v3"))
            with pytest.raises(Overloaded), it.pipeline.live("me", "large-v3"):
                pass
            assert await it.transcribe(work(SHORT, model="turbo"))
            # Not known yet which: it depends on what is chosen then.
            with it.pipeline.live("me", None) as place:
                with pytest.raises(Overloaded):
                    async with place.open(LiveOptions(), "large-v3"):
                        pass
                assert await caption(it, place) == "done"


async def caption(it: Two, place: Any) -> str:
    """Have a recording captioned by the model turbo: the kind of the last event."""
    before = it.windows()
    async with place.open(LiveOptions(interim_results=False), "turbo") as session:
        await session.write(PCM)
        await session.end()
        events = [event.as_json() async for event in session.events()]
    assert it.windows() == [before[0], before[1] + 3]
    return str(events[-1]["type"])


@in_loop
async def test_a_stream_that_chooses_another_model_leaves_the_first_ones_queue() -> None:
    async with two() as it:
        with it.pipeline.live("me", "large-v3") as place:
            assert await caption(it, place) == "done"
            large, turbo = (upstream.admission for upstream in it.pipeline._upstreams.values())
            assert [len(each._tickets) for each in (large, turbo)] == [0, 1]
        assert [len(each._tickets) for each in (large, turbo)] == [0, 0]
        assert await it.pipeline.drain(0)


# Over HTTP, WebSockets and gRPC -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serve(models=[LARGE, TURBO]) as started:
        yield started


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    """As new."""
    yield running
    running.pipeline.works.clear()
    running.pipeline.down.clear()
    for hearer in running.pipeline.hearers.values():
        hearer.asked.clear()


def get(served: Served, path: str) -> httpx.Response:
    return httpx.get(served.url + path, trust_env=False)


ASKED = [
    ({}, "large-v3"),
    ({"model": ""}, "large-v3"),
    ({"model": "whisper-1"}, "large-v3"),
    ({"model": "turbo"}, "turbo"),
]


@pytest.mark.parametrize(("fields", "model"), ASKED)
def test_rest_routes_by_name(served: Served, fields: dict[str, Any], model: str) -> None:
    for path in (PATH, "/v1/audio/translations", "/v1/audio/language"):
        assert post(served, path, **fields).status_code == 200
    assert "[DONE]" in post(served, stream="true", **fields).text
    assert [each.model for each in served.pipeline.works] == [model] * 4
    assert post(served, model="gpt-9").status_code == 404


@pytest.mark.parametrize(("options", "model"), ASKED)
def test_grpc_routes_by_name(served: Served, options: dict[str, Any], model: str) -> None:
    with stub_of(served.grpc) as stub:
        stub.Transcribe(request(**options))
        stub.TranscribeChunks(chunks(b"audio", **options))
        list(stub.TranscribeStream(stream_request(**options)))
        stub.DetectLanguage(pb.DetectLanguageRequest(audio=b"audio", **options))
        assert [each.model for each in served.pipeline.works] == [model] * 4
        list(stub.StreamingRecognize(live_requests(**options)))
    assert {name for name, hearer in served.pipeline.hearers.items() if hearer.asked} == {model}


def test_grpc_names_the_model_that_is_not_here(served: Served) -> None:
    with stub_of(served.grpc) as stub:
        error = failure(lambda: stub.StreamingRecognize(live_requests(model="gpt-9")))
        assert error.details() == "the model 'gpt-9' does not exist here"


def live_requests(**options: Any) -> Iterator[pb.StreamingRecognizeRequest]:
    config = pb.StreamingRecognitionConfig(encoding=pb.AUDIO_ENCODING_PCM16, options=pb.TranscriptionOptions(**options))
    yield pb.StreamingRecognizeRequest(config=config)
    yield pb.StreamingRecognizeRequest(audio=PCM)


@pytest.mark.parametrize(
    ("query", "message", "model"),
    [
        ({}, {}, "large-v3"),
        ({"model": "turbo"}, {}, "turbo"),
        ({}, {"model": "turbo"}, "turbo"),
        ({"model": "turbo"}, {"model": "whisper-1"}, "large-v3"),
    ],
)
def test_a_socket_is_routed_by_its_query_and_first_message(
    served: Served, query: dict[str, str], message: dict[str, str], model: str
) -> None:
    with open_socket(served, None, **query) as socket:
        socket.send(json.dumps({"type": "config", **message}))
        socket.send(PCM)
        socket.send(END)
        events, code = closed_with(socket)
    assert (events[-1]["type"], code) == ("done", 1000)
    assert {name for name, hearer in served.pipeline.hearers.items() if hearer.asked} == {model}


def test_all_names_are_listed(served: Served) -> None:
    assert [each["id"] for each in get(served, "/v1/models").json()["data"]] == NAMES
    assert get(served, "/v1/models/turbo").json()["id"] == "turbo"
    assert get(served, "/v1/models/gpt-9").status_code == 404
    with stub_of(served.grpc) as stub:
        assert [each.id for each in stub.ListModels(pb.ListModelsRequest()).models] == NAMES


def test_it_is_ready_while_any_model_is(served: Served) -> None:
    assert get(served, "/readyz").json() == {"status": "ready", "models": {"large-v3": "ready", "turbo": "ready"}}
    served.pipeline.down.add("turbo")
    assert get(served, "/readyz").json()["models"] == {"large-v3": "ready", "turbo": "not ready"}
    states = [health(served, name) for name in ("", SERVICE, "large-v3", "turbo")]
    assert states == ["SERVING"] * 3 + ["NOT_SERVING"]


def test_requests_are_counted_by_model(served: Served) -> None:
    post(served, model="turbo")
    post(served, model="gpt-9")
    metrics = get(served, "/metrics").text
    assert f'requests_total{{format="json",model="turbo",route="{PATH}",status="200"}}' in metrics
    assert f'request_seconds_count{{model="turbo",route="{PATH}",status="2xx"}}' in metrics
    assert 'whisper_gateway_audio_seconds_total{model="turbo"}' in metrics
    assert 'rejections_total{model="none",reason="model_not_found"}' in metrics


def test_a_models_series_are_there_before_its_first_request() -> None:
    metrics = Metrics()
    metrics.of("turbo").queue(0, 0)
    text = metrics.render().decode()
    for name in ("queued_audio_seconds", "in_flight_audio_seconds", "windows_sent_total", "audio_seconds_total"):
        assert f'whisper_gateway_{name}{{model="turbo"}} 0.0' in text
