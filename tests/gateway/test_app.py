from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.gateway.deterministic import Served, serve
from whisper_serve.gateway.exposition import exposed
from whisper_serve.gateway.failures import BackendUnavailable, Overloaded, PoisonWindow
from whisper_serve.gateway.keys import add_key, list_keys, revoke_key
from whisper_serve.gateway.metrics import Metrics
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.settings import SettingsError

TEXT = "One window. And another."
CLIP = ("clip.wav", b"audio")
PATH = "/v1/audio/transcriptions"


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


def sdk(served: Served, key: str = "none") -> Any:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)


def post(served: Served, path: str = PATH, content: bytes = b"audio", **fields: Any) -> httpx.Response:
    return httpx.post(served.url + path, files={"file": ("../../etc/passwd", content)}, data=fields, trust_env=False)


def metrics_of(served: Served) -> str:
    return httpx.get(f"{served.url}/metrics", trust_env=False).text


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_sdk_gets_every_format(served: Served) -> None:
    with sdk(served) as client:
        create = client.audio.transcriptions.create
        assert create(model="whisper-1", file=CLIP).text == TEXT
        assert create(model="whisper-1", file=CLIP, response_format="text") == TEXT + "\n"
        assert create(model="whisper-1", file=CLIP, response_format="srt").startswith("1\n00:00:00,000 --> ")
        assert create(model="whisper-1", file=CLIP, response_format="vtt").startswith("WEBVTT\n\n")
        granular = ["segment", "segment"]
        verbose = create(model="base", file=CLIP, response_format="verbose_json", timestamp_granularities=granular)
        assert (verbose.language, verbose.segments[1].start) == ("english", 1.0)
        create(model="whisper-1", file=CLIP, response_format="vtt", extra_body={"highlight_words": "true"})
        assert served.pipeline.works[-1].options.word_timestamps
        assert create(model="whisper-1", file=CLIP, include=["logprobs"]).logprobs[0].logprob == -0.5
        strategy = {"type": "server_vad", "threshold": 0.7, "prefix_padding_ms": 200, "silence_duration_ms": 400}
        create(model="whisper-1", file=CLIP, chunking_strategy=strategy)
        vad = served.pipeline.works[-1].vad
        assert vad is not None
        assert (vad.threshold, vad.padding_ms, vad.min_silence_ms) == (0.7, 200, 400)
        with pytest.warns(DeprecationWarning, match="deprecated"):  # by OpenAI, of its own
            client.audio.translations.create(model="whisper-1", file=CLIP)
        assert served.pipeline.works[-1].options.task == "translate"
        assert {"whisper", "whisper-1"} <= {model.id for model in client.models.list()}
    answer = post(served, "/v1/audio/language")
    assert answer.json() == {"language": "english", "language_code": "en", "probabilities": {"en": 0.9, "fr": 0.1}}


def test_fields_of_a_text_are_not_looked_at_where_only_the_language_is_asked_for(served: Served) -> None:
    fields: dict[str, Any] = {"best_of": "{}", "response_format": "braille", "chunking_strategy[threshold]": "0.7"}
    assert post(served, "/v1/audio/language", **fields).status_code == 200
    vad = served.pipeline.works[-1].vad
    assert vad is not None
    assert vad.threshold == 0.7
    assert post(served, "/v1/audio/language", vad_filter="maybe").status_code == 400


def test_what_was_dropped_is_told_and_counted(served: Served) -> None:
    with sdk(served) as client:
        verbose = client.audio.transcriptions.create(model="whisper-1", file=CLIP, response_format="verbose_json")
    assert verbose.dropped[1] == {"start": 2.0, "end": 3.0, "reason": "repetition", "text": "And another."}
    assert post(served, stream="true").text.endswith("[DONE]\n\n")
    metrics = httpx.get(f"{served.url}/metrics", trust_env=False).text
    assert 'whisper_gateway_dropped_segments_total{model="whisper",reason="repetition"} 4.0' in metrics


def test_the_sdk_streams_and_sees_errors_on_the_way(served: Served) -> None:
    with sdk(served) as client:
        events = list(client.audio.transcriptions.create(model="whisper-1", file=CLIP, stream=True))
        assert [event.type.rsplit(".", 1)[1] for event in events] == ["delta", "delta", "done"]
        assert "".join(event.delta for event in events[:2]) == events[2].text == TEXT
        served.pipeline.fail_after = PoisonWindow(1, 2)
        with pytest.raises(openai.APIError, match="fails on the audio"):
            list(client.audio.transcriptions.create(model="whisper-1", file=CLIP, stream=True))


def test_a_stream_of_verbose_json_ends_with_what_the_whole_answer_is(served: Served) -> None:
    fields: dict[str, Any] = {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "word"]}
    whole = post(served, **fields)
    lines = post(served, stream="true", **fields).text.splitlines()
    done = next(line for line in lines if "transcript.text.done" in line)
    assert done.removeprefix("data: ").replace('"type": "transcript.text.done", ', "", 1) == whole.text
    assert lines[-2] == "data: [DONE]"


def test_errors_are_those_the_sdk_knows(served: Served) -> None:
    with sdk(served) as client:
        create = client.audio.transcriptions.create
        for fields, param in (
            ({"language": "klingon"}, "language"),
            ({"response_format": "diarized_json"}, "response_format"),
            ({"timestamp_granularities": ["segment", "letter"]}, "timestamp_granularities[]"),
            ({"response_format": "srt", "extra_body": {"max_line_count": "2"}}, "max_line_count"),
            ({"file": ("a", b"noise")}, "file"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                create(**{"model": "whisper-1", "file": CLIP, **fields})
            assert caught.value.param == param
        with pytest.raises(openai.NotFoundError):
            create(model="gpt-9", file=CLIP)
        served.pipeline.refuse = Overloaded(2.5)
        with pytest.raises(openai.RateLimitError) as limited:
            create(model="whisper-1", file=CLIP)
        assert (limited.value.response.headers["retry-after"], limited.value.type) == ("3", "rate_limit_error")
        assert limited.value.response.headers["retry-after-ms"] == "2500"
        assert "x-audio-seconds-ahead" not in limited.value.response.headers
        served.pipeline.refuse = Overloaded(2.5, audio_seconds_ahead=239.2)
        with pytest.raises(openai.RateLimitError) as limited:
            create(model="whisper-1", file=CLIP)
        assert limited.value.response.headers["x-audio-seconds-ahead"] == "240"


def test_every_error_has_the_envelope_and_the_request_id(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        for method, path, status in (("GET", "/v1/nothing", 404), ("GET", PATH, 405), ("POST", PATH, 400)):
            answer = client.request(method, path, headers={"x-request-id": "mine-1"})
            assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine-1")
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        served.pipeline.ready = False
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200


def test_keys_are_asked_for_and_reloaded(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    entry, key = add_key(path, "first")
    assert key not in path.read_text()
    assert [each.label for each in list_keys(path)] == ["first"]
    with serve(keys_file=path) as served, sdk(served, key) as client, sdk(served, key + "x") as stranger:
        assert client.audio.transcriptions.create(model="whisper-1", file=CLIP).text == TEXT
        assert served.pipeline.works[-1].client == f"key {entry.id}"
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        assert revoke_key(path, entry.id)
        assert not revoke_key(path, entry.id)

        def refused() -> bool:
            header = {"authorization": f"Bearer {key}"}
            return httpx.get(f"{served.url}/v1/models", headers=header, trust_env=False).status_code == 401

        wait_until(refused)


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_client_that_leaves_ends_its_work(served: Served, stream: str) -> None:
    served.call(served.pipeline.gate.clear)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(served.url + PATH, files={"file": CLIP}, data={"stream": stream}, timeout=0.5, trust_env=False)
    assert served.pipeline.works
    wait_until(lambda: served.pipeline.open_now == 0, 2)


def test_draining_finishes_what_runs_and_takes_nothing_new(served: Served) -> None:
    served.call(served.pipeline.gate.clear)
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(post(served)))
    thread.start()
    wait_until(lambda: served.pipeline.open_now == 1)
    served.server.handle_exit(15, None)
    assert httpx.get(f"{served.url}/readyz", trust_env=False).status_code == 503
    refused = post(served)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    served.call(served.pipeline.gate.set)
    thread.join(10)
    assert answers[0].json()["text"] == TEXT


def test_bad_forms_are_refused() -> None:
    with serve(max_upload_bytes=200_000, spool_memory_bytes=1000, upload_idle_seconds=0.5) as served:
        assert post(served, content=b"audio" + bytes(100_000)).status_code == 200
        assert post(served, content=bytes(300_000)).status_code == 413
        assert post(served, prompt="x" * 70_000).status_code == 413
        many: dict[str, Any] = {f"f{number}": "x" for number in range(200)}
        assert post(served, **many).status_code == 413
        with httpx.Client(base_url=served.url, trust_env=False) as client:
            wrong = {"content-type": "multipart/form-data; boundary=a"}
            assert client.post(PATH, content=b"--b\r\n\r\n", headers=wrong).status_code == 400
            cut = b'--a\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\naudio'
            assert client.post(PATH, content=cut, headers=wrong).status_code == 400

            def slow() -> Iterator[bytes]:
                yield cut
                time.sleep(1.5)
                yield b"more"

            assert client.post(PATH, content=slow(), headers=wrong).status_code == 408


def test_routes_are_counted_by_the_names_that_the_document_has(served: Served) -> None:
    httpx.get(f"{served.url}/v1/models/whisper", trust_env=False).raise_for_status()
    wait_until(lambda: 'route="/v1/models/{model}",status="200"' in metrics_of(served))


def test_a_stream_that_fails_is_counted_and_logged_as_failed(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    served.pipeline.fail_after = BackendUnavailable()
    assert post(served, stream="true").status_code == 200
    labels = f'format="sse",model="whisper",route="{PATH}",status="503"'
    wait_until(lambda: f"whisper_gateway_requests_total{{{labels}}} 1.0" in metrics_of(served))
    metrics = metrics_of(served)
    assert 'whisper_gateway_rejections_total{model="whisper",reason="model_unavailable"} 1.0' in metrics
    [line] = [record for record in caplog.records if record.getMessage() == f"POST {PATH}"]
    assert (line.__dict__["status"], line.__dict__["error"]) == (503, "model_unavailable")


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", "*", "10.0.0.1"])
def test_clients_behind_a_trusted_proxy_are_told_apart(proxies: str) -> None:
    with serve(trusted_proxies=proxies) as served:
        for address in ("192.0.2.1", "192.0.2.2"):
            headers = {"x-forwarded-for": address}
            httpx.post(
                served.url + PATH, files={"file": ("a", b"audio")}, headers=headers, trust_env=False
            ).raise_for_status()
    clients = [work.client for work in served.pipeline.works]
    trusted = proxies != "10.0.0.1"
    assert clients == (["address 192.0.2.1", "address 192.0.2.2"] if trusted else ["address 127.0.0.1"] * 2)


@pytest.mark.parametrize("proxies", ["ingress", "10.0.0.1/8", "", "10.0.0.1,"])
def test_a_proxy_that_is_no_address_is_an_error(proxies: str) -> None:
    with pytest.raises(SettingsError, match="trusted_proxies"):
        GatewaySettings.read({"trusted_proxies": proxies})


def test_metrics_on_a_port_of_their_own() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(metrics_port=port) as served:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
        assert "# TYPE whisper_gateway_queued_audio_seconds gauge" in answer.text
        assert httpx.get(f"{served.url}/metrics", trust_env=False).status_code == 404
        assert "/metrics" not in httpx.get(f"{served.url}/openapi.json", trust_env=False).json()["paths"]
        with pytest.raises(SettingsError, match="WHISPER_METRICS_PORT"), exposed(Metrics(), "127.0.0.1", port):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
