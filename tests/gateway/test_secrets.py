"""What strangers send, and what must not be seen: keys in logs, lines of their own in logs and headers, addresses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import grpc
import httpx
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.e2e.stack import COMMAND, wait_until
from tests.gateway.deterministic import serve
from tests.gateway.rpc_calls import stub_of
from whisper_serve.gateway.keys import add_key
from whisper_serve.speech_v1 import speech_pb2
from whisper_serve.torchserve.endpoints import on_free_ports

WRONG = "sk-wrong-but-somebody-elses"
PROMPT = "the patient's name"
TRANSCRIPTIONS = "/v1/audio/transcriptions"


@dataclass(frozen=True, slots=True)
class Logged:
    """A gateway in a process of its own, and the file that it logs into."""

    host: str
    rpc: str
    log: IO[bytes]


@contextmanager
def logging_gateway(**more: str) -> Iterator[Logged]:
    """At the level that tells most. It has no model."""
    ports = on_free_ports()
    command = [*COMMAND, "gateway", "--port", str(ports.inference), "--grpc-port", str(ports.grpc)]
    settings = {"WHISPER_LOG_LEVEL": "debug", "WHISPER_HOLD_SECONDS": "0", **more}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stderr=log)
        try:
            wait_until(lambda: listens(process, ports.inference), 60)
            yield Logged(f"127.0.0.1:{ports.inference}", f"127.0.0.1:{ports.grpc}", log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_no_key_and_no_prompt_is_logged(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    _, key = add_key(keys)
    with logging_gateway(WHISPER_KEYS_FILE=str(keys)) as gateway:
        for sent in (key, WRONG):
            ask_over_http(gateway.host, sent)
            ask_over_grpc(gateway.rpc, sent)
            ask_over_websocket(gateway.host, sent)
        gateway.log.seek(0)
        lines = gateway.log.read().decode().splitlines()
    assert len(lines) > 6
    for secret in (key, WRONG, PROMPT, PROMPT.replace(" ", "%20")):
        assert [line for line in lines if secret in line] == []
    assert all(json.loads(line)["message"] for line in lines)


def ask_over_http(host: str, key: str) -> None:
    header = {"authorization": f"Bearer {key}", "api-key": key}
    form = {"model": "whisper-1", "prompt": PROMPT}
    httpx.post(
        f"http://{host}{TRANSCRIPTIONS}", files={"file": ("a", b"x")}, data=form, headers=header, trust_env=False
    )
    httpx.get(f"http://{host}/v1/models", headers=header, trust_env=False)


def ask_over_grpc(target: str, key: str) -> None:
    request = speech_pb2.TranscribeRequest(audio=b"x", options=speech_pb2.TranscriptionOptions(prompt=PROMPT))
    with stub_of(target) as stub, pytest.raises(grpc.RpcError):
        stub.Transcribe(request, metadata=(("authorization", f"Bearer {key}"),))


def ask_over_websocket(host: str, key: str) -> None:
    """As programs send keys, and as browsers have to."""
    url = f"ws://{host}/v1/audio/stream?prompt={PROMPT.replace(' ', '%20')}"
    offered = ["realtime", f"openai-insecure-api-key.{key}"]
    for more in ({"additional_headers": {"authorization": f"Bearer {key}"}}, {"subprotocols": offered}):
        try:
            with connect(url, proxy=None, **more) as client:
                client.send(json.dumps({"prompt": PROMPT}))
        except WebSocketException:
            continue


@pytest.mark.parametrize("path", ["/v1/models/a%0d%0aSet-Cookie:%20a=b", "/%0a%7B%22level%22:%22forged%22%7D"])
def test_no_line_break_gets_into_headers_or_logs(path: str) -> None:
    with logging_gateway() as gateway:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\tb\r\nConnection: close\r\n\r\n"
        head, _, _ = raw(gateway.host, request).partition("\r\n\r\n")
        gateway.log.seek(0)
        lines = [json.loads(line) for line in gateway.log.read().decode().splitlines()]
    assert "set-cookie" not in head.lower()
    assert "x-request-id: req_" in head
    assert "forged" not in {line["level"] for line in lines}


def raw(host: str, request: str) -> str:
    """All that comes back."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), timeout=10) as client:
        client.sendall(request.encode())
        with client.makefile("rb") as answer:
            return answer.read().decode()


def test_no_address_in_a_request_is_opened() -> None:
    """Neither of a field, a file's name, nor a playlist that is sent in place of audio."""
    with closing(socket.create_server(("127.0.0.1", 0))) as trap, serve() as served:
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/secret.wav"
        playlists = (f"#EXTM3U\n#EXTINF:1,\n{url}\n", f"ffconcat version 1.0\nfile '{url}'\n", url)
        for content in playlists:
            form = {"model": "whisper-1", "url": url, "file_url": url, "prompt": url}
            headers = {"x-forwarded-host": url, "referer": url, "x-original-url": url}
            httpx.post(
                f"{served.url}{TRANSCRIPTIONS}",
                files={"file": (url, content.encode())},
                data=form,
                headers=headers,
                trust_env=False,
            )
        trap.settimeout(0.5)
        with pytest.raises(TimeoutError):
            trap.accept()
