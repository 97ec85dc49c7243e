from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.gateway.deterministic import Deterministic, Served, serve
from tests.gateway.rpc_calls import chunks, detail, failure, stub_of
from tests.gateway.test_app import TEXT, post, wait_until
from whisper_serve.gateway.arrivals import Arrivals
from whisper_serve.gateway.failures import (
    BackendUnavailable,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    PoisonWindow,
    Refused,
    StorageFailed,
)
from whisper_serve.gateway.keys import add_key
from whisper_serve.gateway.lifecycle import Lifecycle
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.rpc.server import RpcServer
from whisper_serve.gateway.service import Service
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.spool import SpoolSpace
from whisper_serve.settings import SettingsError
from whisper_serve.speech_v1 import speech_pb2 as pb
from whisper_serve.wire import ErrorReply

CODES = grpc.StatusCode
SERVICE = "whisper.v1.SpeechService"


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serve(max_upload_bytes=40_000_000, spool_memory_bytes=1000, upload_idle_seconds=0.5) as served:
        yield served


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    """As new."""
    pipeline = running.pipeline
    pipeline.works.clear()
    yield running
    pipeline.ready, pipeline.refuse, pipeline.fail_after = True, None, None
    running.call(pipeline.gate.set)


@pytest.fixture
def stub(served: Served) -> Iterator[Any]:
    with stub_of(served.grpc) as made:
        yield made


def request(content: bytes = b"audio", **options: Any) -> pb.TranscribeRequest:
    return pb.TranscribeRequest(audio=content, options=pb.TranscriptionOptions(**options))


def stream_request(content: bytes = b"audio", **options: Any) -> pb.TranscribeStreamRequest:
    return pb.TranscribeStreamRequest(audio=content, options=pb.TranscriptionOptions(**options))


def test_every_way_gives_what_rest_gives(served: Served, stub: Any) -> None:
    rest = post(served, response_format="verbose_json").json()
    whole = stub.Transcribe(request()).transcription
    assert stub.TranscribeChunks(chunks(b"au", b"dio")).transcription == whole
    events = list(stub.TranscribeStream(stream_request()))
    assert [event.WhichOneof("event") for event in events] == ["segment", "segment", "transcription"]
    assert [event.segment for event in events[:2]] == list(whole.segments)
    assert events[2].transcription == whole
    assert (whole.text, whole.language, whole.duration) == (rest["text"], rest["language"], rest["duration"])
    assert (whole.language_code, whole.task, whole.usage.seconds) == ("en", pb.TASK_TRANSCRIBE, 2)
    assert whole.language_probability == rest["language_probability"] == 0.9
    given = stub.Transcribe(request(language="en")).transcription
    assert not given.HasField("language_probability")
    assert "language_probability" not in post(served, response_format="verbose_json", language="en").json()
    for ours, theirs in zip(whole.segments, rest["segments"], strict=True):
        assert {name: getattr(ours, name) for name in theirs} == theirs
    assert [(each.start, each.end, each.text) for each in whole.dropped] == [
        (each["start"], each["end"], each["text"]) for each in rest["dropped"]
    ]
    assert {each.reason for each in whole.dropped} == {pb.DROP_REASON_REPETITION}
    found = stub.DetectLanguage(pb.DetectLanguageRequest(audio=b"audio"))
    assert (found.language, found.language_code) == ("english", "en")
    assert [(each.language_code, each.probability) for each in found.probabilities] == [("en", 0.9), ("fr", 0.1)]
    models = httpx.get(f"{served.url}/v1/models", trust_env=False).json()["data"]
    assert [each.id for each in stub.ListModels(pb.ListModelsRequest()).models] == [each["id"] for each in models]


def test_a_translation_tells_what_is_spoken(served: Served, stub: Any) -> None:
    whole = stub.Transcribe(request(language="de", task=pb.TASK_TRANSLATE)).transcription
    assert (whole.language, whole.language_code) == ("german", "de")
    rest = post(served, "/v1/audio/translations", language="de", response_format="verbose_json").json()
    assert (rest["task"], rest["language"], rest["source_language"]) == ("translate", "english", "german")


def test_transcripts_are_rendered_as_rest_renders_them(served: Served, stub: Any) -> None:
    for name in pb.RenderFormat.keys()[1:]:
        answer = stub.Transcribe(request(render=pb.RenderOptions(format=name))).transcription
        assert answer.rendered == post(served, response_format=name.removeprefix("RENDER_FORMAT_").lower()).text


def test_options_reach_the_work(served: Served, stub: Any) -> None:
    vad = pb.VadOptions(threshold=0.7, prefix_padding_ms=200, silence_duration_ms=400)
    options: dict[str, Any] = {"language": "German", "prompt": "Namen", "temperature": 0.5, "logprobs": True}
    stub.Transcribe(request(**options, task=pb.TASK_TRANSLATE, word_timestamps=True, vad=vad, model="whisper-1"))
    work = served.pipeline.works[-1]
    asked = work.options
    assert (asked.task, asked.language, asked.prompt, asked.temperature) == ("translate", "de", "Namen", 0.5)
    assert asked.word_timestamps
    assert asked.logprobs
    assert work.vad is not None
    assert (work.vad.threshold, work.vad.padding_ms, work.vad.min_silence_ms) == (0.7, 200, 400)
    assert (work.client, work.size_bytes) == ("address 127.0.0.1", 5)
    stub.Transcribe(request(vad_filter=False, condition_on_previous_text=True))
    work = served.pipeline.works[-1]
    assert (work.vad, work.condition_on_previous_text) == (None, True)
    assert (work.options.word_timestamps, work.options.logprobs) == (False, False)


def test_what_cannot_be_used_is_named(stub: Any) -> None:
    srt = pb.RENDER_FORMAT_SRT
    for wrong, path in (
        ({"language": "klingon"}, "options.language"),
        ({"temperature": 7}, "options.temperature"),
        ({"task": 9}, "options.task"),
        ({"prompt": "x" * 20_000}, "options.prompt"),
        ({"vad": pb.VadOptions(threshold=3)}, "options.vad"),
        ({"render": pb.RenderOptions(format=srt, max_line_count=2)}, "options.render.max_line_count"),
        ({"render": pb.RenderOptions(highlight_words=True)}, "options.render.highlight_words"),
        ({"content": b"noise"}, "audio"),
    ):
        error = failure(lambda wrong=wrong: stub.Transcribe(request(**wrong)))  # type: ignore[misc]
        assert error.code() is CODES.INVALID_ARGUMENT
        [violation] = detail(error, BadRequest).field_violations
        assert (violation.field, violation.description) == (path, error.details())
        assert detail(error, RetryInfo) is None
    error = failure(lambda: stub.TranscribeChunks(chunks(b"noise")))
    assert detail(error, BadRequest).field_violations[0].field == "chunk"
    error = failure(
        lambda: stub.DetectLanguage(pb.DetectLanguageRequest(audio=b"audio", vad=pb.VadOptions(threshold=3)))
    )
    assert detail(error, BadRequest).field_violations[0].field == "vad"


def test_every_failure_has_its_status(served: Served, stub: Any) -> None:
    reply = ErrorReply(400, "no", "invalid_request_error", "language", "unsupported_language")
    for raised, code, reason, retry in (
        (StorageFailed(10.0), CODES.RESOURCE_EXHAUSTED, "STORAGE_FAILED", 10.0),
        (Overloaded(2.5), CODES.RESOURCE_EXHAUSTED, "OVERLOADED", 2.5),
        (Overloaded(1, "yours", code="too_many_requests"), CODES.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", 1),
        (NotReady(3), CODES.UNAVAILABLE, "MODEL_NOT_READY", 3),
        (BackendUnavailable(), CODES.UNAVAILABLE, "MODEL_UNAVAILABLE", 10),
        (DeadlineExceeded(600), CODES.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", None),
        (PoisonWindow(1, 2), CODES.INVALID_ARGUMENT, "AUDIO_CRASHES_MODEL", None),
        (Refused(reply), CODES.INVALID_ARGUMENT, "UNSUPPORTED_LANGUAGE", None),
        (ZeroDivisionError("secret"), CODES.INTERNAL, "INTERNAL_ERROR", None),
    ):
        served.pipeline.refuse = raised
        for call in (
            lambda: stub.Transcribe(request()),
            lambda: stub.TranscribeStream(stream_request()),
            lambda: stub.TranscribeChunks(chunks(b"audio")),
            lambda: stub.DetectLanguage(pb.DetectLanguageRequest(audio=b"audio")),
        ):
            error = failure(call)
            assert error.code() is code
            assert "secret" not in error.details()
            info = detail(error, ErrorInfo)
            assert (info.reason, info.domain) == (reason, "whisper.v1")
            waiting = detail(error, RetryInfo)
            assert (waiting and waiting.retry_delay.ToTimedelta().total_seconds()) == retry
    for ahead, metadata in ((None, {}), (0.0, {"audioSecondsAhead": "0"}), (239.2, {"audioSecondsAhead": "240"})):
        served.pipeline.refuse = Overloaded(audio_seconds_ahead=ahead)
        assert detail(failure(lambda: stub.Transcribe(request())), ErrorInfo).metadata == metadata
    error = failure(lambda: stub.Transcribe(request(model="gpt-9")))
    assert (error.code(), error.details()) == (CODES.NOT_FOUND, "the model 'gpt-9' does not exist here")
    error = failure(lambda: stub.DetectLanguage(pb.DetectLanguageRequest(model="gpt-9")))
    assert error.code() is CODES.NOT_FOUND


def test_a_failure_on_the_way_ends_a_stream(served: Served, stub: Any) -> None:
    served.pipeline.fail_after = PoisonWindow(1, 2)
    call = stub.TranscribeStream(stream_request())
    assert next(call).segment.text == " One window."
    assert failure(lambda: next(call)).code() is CODES.INVALID_ARGUMENT


def test_calls_have_an_id_a_line_in_the_log_and_a_count(
    served: Served, stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "whisper_serve.gateway.rpc.call")
    _, call = stub.Transcribe.with_call(request(), metadata=(("x-request-id", "mine-1"),))
    assert ("x-request-id", "mine-1") in call.initial_metadata()
    error = failure(lambda: stub.Transcribe(request(b"noise"), metadata=(("x-request-id", "not fit for a log"),)))
    [number] = [value for name, value in error.trailing_metadata() if name == "x-request-id"]
    assert number.startswith("req_")

    def statuses() -> list[str]:
        """Of this test's calls: one that an earlier test broke off may end, and be logged, only now."""
        return [vars(line)["status"] for line in caplog.records if line.getMessage() == f"gRPC {SERVICE}.Transcribe"]

    wait_until(lambda: len(statuses()) == 2)
    assert statuses() == ["OK", "INVALID_ARGUMENT"]
    metrics = httpx.get(f"{served.url}/metrics", trust_env=False).text
    for code in ("OK", "INVALID_ARGUMENT"):
        assert (
            f'requests_total{{format="grpc",model="whisper",route="{SERVICE}.Transcribe",status="{code}"}}' in metrics
        )
    assert "whisper_gateway_requests_running 1.0" in metrics, "which is that for the metrics"


def test_keys_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    entry, key = add_key(path)
    with serve(keys_file=path) as served, stub_of(served.grpc) as stub:
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", key),)):
            error = failure(lambda metadata=metadata: stub.ListModels(pb.ListModelsRequest(), metadata=metadata))  # type: ignore[misc]
            assert error.code() is CODES.UNAUTHENTICATED
            assert detail(error, ErrorInfo).reason == "INVALID_API_KEY"
            assert failure(lambda m=metadata: stub.Transcribe(request(), metadata=m)).code() is CODES.UNAUTHENTICATED  # type: ignore[misc]
        assert served.pipeline.works == []
        stub.Transcribe(request(), metadata=(("authorization", f"Bearer {key}"),))
        assert served.pipeline.works[-1].client == f"key {entry.id}"
        assert health(served) == "SERVING", "probes have no key"


@pytest.mark.parametrize("way", ["unary", "chunks", "stream"])
def test_a_client_that_leaves_ends_its_work(served: Served, stub: Any, way: str) -> None:
    served.call(served.pipeline.gate.clear)
    call = {
        "unary": lambda: stub.Transcribe.future(request()),
        "chunks": lambda: stub.TranscribeChunks.future(chunks(b"audio")),
        "stream": lambda: stub.TranscribeStream(stream_request()),
    }[way]()
    wait_until(lambda: served.pipeline.open_now == 1)
    call.cancel()
    wait_until(lambda: served.pipeline.open_now == 0, 2)


def test_a_deadline_ends_the_work(served: Served, stub: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "whisper_serve.gateway.rpc.call")
    served.call(served.pipeline.gate.clear)
    for call in (
        lambda: stub.Transcribe(request(), timeout=0.3),
        lambda: stub.TranscribeStream(stream_request(), timeout=0.3),
    ):
        assert failure(call).code() is CODES.DEADLINE_EXCEEDED
        assert served.pipeline.works
        wait_until(lambda: served.pipeline.open_now == 0, 2)
    wait_until(lambda: len(caplog.records) == 2)
    assert {vars(record)["status"] for record in caplog.records} == {"DEADLINE_EXCEEDED"}


def test_sizes_are_bounded(served: Served, stub: Any) -> None:
    assert stub.Transcribe(request(b"audio" + bytes(20_000_000))).transcription.text == TEXT
    assert served.pipeline.works[-1].size_bytes == 20_000_005
    error = failure(lambda: stub.Transcribe(request(b"audio" + bytes(33 * 1024**2))))
    assert error.code() is CODES.RESOURCE_EXHAUSTED
    pieces = [b"audio", *[bytes(1_000_000)] * 39]
    assert stub.TranscribeChunks(chunks(*pieces)).transcription.text == TEXT
    assert served.pipeline.works[-1].size_bytes == 39_000_005
    error = failure(lambda: stub.TranscribeChunks(chunks(*pieces, bytes(1_000_000))))
    assert (error.code(), detail(error, ErrorInfo).reason) == (CODES.INVALID_ARGUMENT, "UPLOAD_TOO_LARGE")
    assert len(served.pipeline.works) == 2


def test_bad_streams_of_chunks_are_refused(served: Served, stub: Any) -> None:
    options = pb.TranscribeChunksRequest(options=pb.TranscriptionOptions())
    wrong = pb.TranscribeChunksRequest(options=pb.TranscriptionOptions(language="klingon"))
    audio = pb.TranscribeChunksRequest(chunk=b"audio")
    for requests in ([], [audio], [options], [options, audio, options], [pb.TranscribeChunksRequest()]):
        error = failure(lambda requests=requests: stub.TranscribeChunks(iter(requests)))  # type: ignore[misc]
        assert (error.code(), detail(error, ErrorInfo).reason) == (CODES.INVALID_ARGUMENT, "INVALID_UPLOAD")
    more = threading.Event()

    def idle(first: pb.TranscribeChunksRequest) -> Iterator[pb.TranscribeChunksRequest]:
        yield first
        more.wait(20)

    assert failure(lambda: stub.TranscribeChunks(idle(wrong))).code() is CODES.INVALID_ARGUMENT
    error = failure(lambda: stub.TranscribeChunks(idle(options)))
    assert (error.code(), detail(error, ErrorInfo).reason) == (CODES.DEADLINE_EXCEEDED, "UPLOAD_TOO_SLOW")
    more.set()
    assert served.pipeline.works == []


def health(served: Served, service: str = SERVICE) -> str:
    with grpc.insecure_channel(served.grpc) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def test_health_tells_whether_a_model_is_ready(served: Served) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        kinds = health_pb2.HealthCheckResponse
        assert next(watch).status == kinds.SERVING
        served.pipeline.ready = False
        assert [health(served, name) for name in ("", SERVICE)] == ["NOT_SERVING"] * 2
        assert next(watch).status == kinds.NOT_SERVING
        served.pipeline.ready = True
        assert next(watch).status == kinds.SERVING
        watch.cancel()
    assert failure(lambda: health(served, "nothing")).code() is CODES.NOT_FOUND


def test_reflection_describes_the_service(served: Served) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        methods = DescriptorPool(database).FindServiceByName(SERVICE).methods
    assert [method.name for method in methods] == [
        method.name for method in pb.DESCRIPTOR.services_by_name["SpeechService"].methods
    ]


def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    with serve() as served, stub_of(served.grpc) as stub:
        served.call(served.pipeline.gate.clear)
        running = stub.TranscribeStream(stream_request())
        assert next(running).segment.text == " One window."
        served.server.handle_exit(15, None)
        wait_until(lambda: health(served) == "NOT_SERVING")
        error = failure(lambda: stub.Transcribe(request()))
        assert (error.code(), detail(error, ErrorInfo).reason) == (CODES.UNAVAILABLE, "DRAINING")
        assert detail(error, RetryInfo).retry_delay.seconds == 1
        served.call(served.pipeline.gate.set)
        assert [event.WhichOneof("event") for event in running] == ["segment", "transcription"]
        wait_until(lambda: served.server.should_exit)


def test_it_can_be_switched_off() -> None:
    with serve(grpc_port="off") as served:
        assert not served.grpc
        assert post(served).json()["text"] == TEXT


def test_a_taken_port_is_named(served: Served) -> None:
    port = int(served.grpc.rpartition(":")[2])
    pipeline = Deterministic()
    settings = GatewaySettings.read({})
    service = Service(settings, pipeline, Metrics(), Lifecycle(), Arrivals(settings), SpoolSpace())
    with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}.*WHISPER_GRPC_PORT"):
        asyncio.run(RpcServer(service, None, port).start())
