"""The gateway on a real port, and real WebSockets to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from tests.conftest import DATA
from tests.gateway.deterministic import Served, serve
from tests.gateway.test_app import metrics_of, wait_until
from tests.speech.conftest import encode_audio
from whisper_serve.gateway.failures import BackendUnavailable, Overloaded
from whisper_serve.gateway.keys import add_key
from whisper_serve.speech import load_audio

JFK = load_audio(DATA / "en-jfk.mp3")
PCM = (JFK * 32767).astype("<i2").tobytes()
END = json.dumps({"type": "end"})


@pytest.fixture
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


def open_socket(served: Served, headers: dict[str, str] | None = None, **query: Any) -> ClientConnection:
    url = f"{served.url.replace('http', 'ws')}/v1/audio/stream?{urlencode(query)}"
    return connect(url, additional_headers=headers, proxy=None, max_size=None)


def closed_with(socket: Connection) -> tuple[list[dict[str, Any]], int | None]:
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(20)))
    except ConnectionClosed:
        return found, socket.close_code


def metric(served: Served, name: str) -> float:
    lines = httpx.get(f"{served.url}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_audio_becomes_events(served: Served) -> None:
    with open_socket(served, {"x-request-id": "mine"}, language="en", words="true") as socket:
        assert socket.response is not None
        assert socket.response.headers["x-request-id"] == "mine"
        for at in range(0, len(PCM), 5001):
            socket.send(PCM[at : at + 5001])
        socket.send(END)
        events, code = closed_with(socket)
    assert code == 1000
    finals = [event for event in events if event["type"] == "final"]
    assert len(finals) == 3
    assert [event["utterance"] for event in finals] == [0, 1, 2]
    assert all(event["segments"][0]["start"] == event["start"] and event["words"] == [] for event in finals)
    assert events[-1] == {"type": "done", "duration": pytest.approx(11.0, abs=0.01), "utterances": 3}
    assert {asked.options.language for asked in served.pipeline.model.asked} == {"en"}
    wait_until(lambda: "/v1/audio/stream" in httpx.get(f"{served.url}/metrics", trust_env=False).text)


def test_the_first_message_may_bring_the_settings(served: Served) -> None:
    with open_socket(served, prompt="From the query.", interim_results="false") as socket:
        socket.send(
            json.dumps({"type": "config", "prompt": "Names.", "sample_rate": 8000, "words": True, "beam_size": 3})
        )
        socket.send((JFK[::2] * 32767).astype("<i2").tobytes())
        socket.send(END)
        events, code = closed_with(socket)
    assert (code, events[-1]["type"], events[-1]["duration"]) == (1000, "done", pytest.approx(11.0, abs=0.05))
    options = served.pipeline.model.asked[0].options
    assert (options.prompt, options.word_timestamps, options.beam_size) == ("Names.", True, 3)


@pytest.mark.parametrize("container", ["webm", "ogg"])
def test_what_a_browser_records_is_decoded(served: Served, container: str) -> None:
    options = {"live": "1", "cluster_time_limit": "200"} if container == "webm" else {"page_duration": "200000"}
    data = encode_audio(np.repeat(JFK, 3), container, "libopus", rate=48_000, options=options)
    with open_socket(served, encoding=container) as socket:
        for at in range(0, len(data), 2000):
            socket.send(data[at : at + 2000])
        socket.send(END)
        events, code = closed_with(socket)
    assert (code, events[-1]["type"], events[-1]["duration"]) == (1000, "done", pytest.approx(11.0, abs=0.1))
    assert sum(event["type"] == "final" for event in events) == 3


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ({"language": "klingon"}, 400, "language"),
        ({"encoding": "mp3"}, 400, "encoding"),
        ({"sample_rate": "fast"}, 400, "sample_rate"),
        ({"sample_rate": "1"}, 400, "sample_rate"),
        ({"endpointing_ms": "10"}, 400, "endpointing_ms"),
        ({"words": "perhaps"}, 400, "words"),
        ({"model": "gpt-9"}, 404, "model"),
    ],
)
def test_a_bad_query_is_refused_before_the_upgrade(
    served: Served, query: dict[str, str], status: int, param: str
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        open_socket(served, None, **query)
    response = caught.value.response
    assert response.status_code == status
    assert json.loads(response.body)["error"]["param"] == param
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("message", "code", "error"),
    [
        ("hello", 4400, "invalid_value"),
        ('{"language": 3}', 4400, "invalid_value"),
        ('{"prompt": ["a"]}', 4400, "invalid_value"),
        (r'{"prompt": "Caf\ud83d"}', 4400, "invalid_value"),
        ('{"model": "gpt-9"}', 4404, "model_not_found"),
    ],
)
def test_bad_settings_are_told_by_an_event(served: Served, message: str, code: int, error: str) -> None:
    with open_socket(served) as socket:
        socket.send(message)
        events, closed = closed_with(socket)
    assert (events[-1]["type"], events[-1]["error"]["code"], closed) == ("error", error, code)


def test_what_goes_wrong_later_is_told_by_an_event(served: Served) -> None:
    with open_socket(served) as socket:
        socket.send(PCM[:3200])
        socket.send('{"type": "stop"}')
        events, code = closed_with(socket)
        assert (events[-1]["error"]["param"], code) == ("type", 4400)
    with open_socket(served, encoding="webm") as socket:
        socket.send(b"this is text, not a container")
        socket.send(END)
        events, code = closed_with(socket)
        assert (events[-1]["error"]["code"], code) == ("audio_decode_error", 4400)
    served.pipeline.model.fails = BackendUnavailable()
    with open_socket(served) as socket:
        socket.send(PCM)
        socket.send(END)
        events, code = closed_with(socket)
        assert (events[-1]["error"]["code"], code) == ("model_unavailable", 1013)
    wait_until(lambda: 'status="503"' in metrics_of(served))
    metrics = metrics_of(served)
    assert re.search(r'requests_total\{[^}]*route="/v1/audio/stream",status="503"\} 1\.0', metrics)
    assert 'whisper_gateway_rejections_total{model="whisper",reason="model_unavailable"} 1.0' in metrics


def test_a_commit_ends_an_utterance(served: Served) -> None:
    with open_socket(served, interim_results="false") as socket:
        socket.send(PCM[: 2 * 16_000])
        socket.send('{"type": "commit"}')
        kinds = [json.loads(socket.recv(10))["type"] for _ in range(3)]
        assert kinds == ["speech_started", "speech_ended", "final"]


def test_no_more_streams_than_may_be() -> None:
    with serve(live_streams=1) as served, open_socket(served) as first:
        with pytest.raises(InvalidStatus) as caught:
            open_socket(served)
        response = caught.value.response
        assert (response.status_code, json.loads(response.body)["error"]["code"]) == (429, "too_many_streams")
        assert response.headers["retry-after"]
        first.close()
        wait_until(lambda: served.pipeline.hub._open == 0)
        open_socket(served).close()


def test_a_full_server_tells_how_much_audio_is_ahead(served: Served) -> None:
    served.pipeline.refuse = Overloaded(audio_seconds_ahead=59.5)
    with pytest.raises(InvalidStatus) as caught:
        open_socket(served)
    assert caught.value.response.headers["x-audio-seconds-ahead"] == "60"


def test_a_client_that_goes_away_ends_the_work(served: Served) -> None:
    served.call(served.pipeline.model.open.clear)
    with open_socket(served) as socket:
        socket.send(PCM)
        socket.send(END)
        wait_until(lambda: served.pipeline.model.in_work > 0)
    wait_until(lambda: served.pipeline.model.in_work == 0 and served.pipeline.hub._open == 0)


def test_a_stream_that_brings_nothing_ends() -> None:
    with serve(live_idle_seconds=0.2) as served:
        with open_socket(served) as socket:
            events, code = closed_with(socket)
            assert (events[-1]["error"]["code"], code) == ("stream_idle", 4408)
        with open_socket(served) as socket:
            socket.send(PCM[:3200])
            assert closed_with(socket)[1] == 4408


def test_a_stream_that_is_too_long_ends() -> None:
    with serve(live_max_seconds=3) as served, open_socket(served) as socket:
        socket.send(PCM)
        events, code = closed_with(socket)
        assert (events[-1]["error"]["code"], code) == ("audio_too_long", 4413)


def test_a_key_comes_in_a_header_or_as_a_subprotocol(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    _, key = add_key(path, "test")
    with serve(keys_file=path) as served:
        url = f"{served.url.replace('http', 'ws')}/v1/audio/stream"
        for protocols in (None, ["whisper-live", "openai-insecure-api-key.wrong"]):
            with pytest.raises(InvalidStatus) as caught:
                connect(url, proxy=None, subprotocols=protocols)  # type: ignore[arg-type]
            assert caught.value.response.status_code == 401
        open_socket(served, {"authorization": f"Bearer {key}"}).close()
        offered: Any = ["whisper-live", f"openai-insecure-api-key.{key}"]
        with connect(url, proxy=None, subprotocols=offered) as socket:
            assert socket.subprotocol == "whisper-live"


def test_streams_come_to_their_end_when_the_gateway_stops(served: Served) -> None:
    with open_socket(served, interim_results="false") as socket:
        socket.send(PCM[: 2 * 16_000])
        assert json.loads(socket.recv(10))["type"] == "speech_started"
        served.call(served.server.begin_drain)
        events, code = closed_with(socket)
    assert [event["type"] for event in events] == ["speech_ended", "final", "error"]
    assert (events[-1]["error"]["code"], code) == ("draining", 1001)
