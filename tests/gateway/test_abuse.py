"""Bodies that are no proper forms: each is refused in words and in time, and costs no more than it should."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.gateway.deterministic import Served, serve

PATH = "/v1/audio/transcriptions"
LIMIT = 200_000
FORM = {"content-type": "multipart/form-data; boundary=b"}
MIB = 1024**2


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve(max_upload_bytes=LIMIT, upload_idle_seconds=1.0, spool_memory_bytes=1000) as running:
        yield running


def part(disposition: str, value: bytes = b"audio", more: str = "") -> bytes:
    head = f"--b\r\nContent-Disposition: form-data{disposition}{more}\r\n\r\n"
    return head.encode() + value + b"\r\n"


FILE = part('; name="file"; filename="a.wav"')
END = b"--b--\r\n"
NESTED = (
    b'--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n'
    b'--c\r\nContent-Disposition: file; filename="a.wav"\r\n\r\naudio\r\n--c--\r\n' + END
)
BAD = {
    "wrong boundary": (400, FORM, b"--other\r\n" + FILE + END),
    "no boundary": (400, {"content-type": "multipart/form-data"}, FILE + END),
    "empty boundary": (400, {"content-type": 'multipart/form-data; boundary=""'}, FILE + END),
    "long boundary": (400, {"content-type": f"multipart/form-data; boundary={'b' * 71}"}, FILE + END),
    "no form": (400, {"content-type": "audio/wav"}, b"audio"),
    "nothing": (400, FORM, b""),
    "cut off": (400, FORM, FILE),
    "no name": (400, FORM, part("; filename=a") + END),
    "no disposition": (400, FORM, b"--b\r\n\r\naudio\r\n" + END),
    "many fields": (413, FORM, part('; name="x"', b"") * 3000 + FILE + END),
    "huge field": (413, FORM, part('; name="prompt"', b"x" * 100_000) + FILE + END),
    "huge header": (400, FORM, part('; name="x"', more=f"\r\nX: {'x' * 150_000}") + FILE + END),
    "many headers": (400, FORM, part('; name="x"', more="\r\nX: y" * 10_000) + FILE + END),
    "large headers": (413, FORM, part('; name="x"', more=f"\r\nX: {'x' * 4000}" * 5) + FILE + END),
    "nested": (400, FORM, NESTED),
    "two files": (400, FORM, FILE + FILE + END),
    "not utf-8": (400, FORM, part('; name="prompt"', b"\xff\xfe") + FILE + END),
    "deep json": (400, FORM, part('; name="chunking_strategy"', b"[" * 60_000) + FILE + END),
    "too large": (413, FORM, part('; name="file"; filename="a"', bytes(LIMIT)) + END),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("chunked", [False, True])
def test_bad_bodies_are_refused_in_words(served: Served, case: str, chunked: bool) -> None:
    status, headers, body = BAD[case]
    works = len(served.pipeline.works)
    began = time.monotonic()
    answer = httpx.post(
        served.url + PATH, content=in_chunks(body) if chunked else body, headers=headers, trust_env=False
    )
    assert_refused(answer, status)
    assert time.monotonic() - began < 4
    assert len(served.pipeline.works) == works


@pytest.mark.parametrize("size", [5, 100_000])
def test_audio_without_a_file_name_is_told_what_it_lacks_whatever_its_size(served: Served, size: int) -> None:
    for body in (part('; name="file"', bytes(size)) + END, part('; name="file"', bytes(size))):  # to its end, or cut
        answer = httpx.post(served.url + PATH, content=body, headers=FORM, trust_env=False)
        assert_refused(answer, 400)
        assert "with a file name" in answer.json()["error"]["message"]


def test_fields_in_their_thousands_are_too_many() -> None:
    with serve() as served:
        body = part('; name="x"', b"") * 10_000 + FILE + END
        assert_refused(httpx.post(served.url + PATH, content=body, headers=FORM, trust_env=False), 413)


def test_a_name_that_is_not_text_is_only_unknown(served: Served) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\nx\r\n' + FILE + END
    assert httpx.post(served.url + PATH, content=body, headers=FORM, trust_env=False).status_code == 200


@pytest.mark.parametrize("excess", [1, 50_000, 8 * MIB])
def test_clients_read_why_a_body_is_too_large(served: Served, excess: int, tmp_path: Path) -> None:
    file = tmp_path / "large.wav"
    file.write_bytes(bytes(LIMIT + excess))
    for _ in range(5):
        with file.open("rb") as opened:
            assert_refused(httpx.post(served.url + PATH, files={"file": opened}, trust_env=False), 413)
        unknown = in_chunks(part('; name="file"; filename="a"', file.read_bytes()) + END)
        assert_refused(httpx.post(served.url + PATH, content=unknown, headers=FORM, trust_env=False), 413)


@pytest.mark.parametrize("excess", [MIB, 8 * MIB])
def test_clients_that_send_all_before_they_read_see_no_reset(served: Served, excess: int) -> None:
    for _ in range(5):
        with closing(HTTPConnection(served.url.removeprefix("http://"), timeout=10)) as connection:
            connection.request("POST", PATH, bytes(LIMIT + excess), FORM)
            assert connection.getresponse().status == 413


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("options", [[], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]])
def test_curl_reads_why_a_body_is_too_large(served: Served, options: list[str], tmp_path: Path) -> None:
    file = tmp_path / "large.wav"
    file.write_bytes(bytes(LIMIT + 4 * MIB))
    command = ["curl", "-sS", "--noproxy", "*", "-F", f"file=@{file}", "-w", "\n%{http_code}", *options]
    done = subprocess.run([*command, served.url + PATH], check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    body, status = done.stdout.rsplit("\n", 1)
    assert (status, json.loads(body)["error"]["code"]) == ("413", "upload_too_large")


def test_a_length_of_ten_gigabytes_is_refused_before_the_body(served: Served) -> None:
    with connected(served) as client:
        client.sendall(head("Content-Length: 10000000000"))
        began = time.monotonic()
        assert read_answer(client)[0] == 413
        assert time.monotonic() - began < 1
        assert client.recv(1) == b""  # and the connection does not stay open for the rest
        assert time.monotonic() - began < 6


def test_a_trickle_is_refused(served: Served) -> None:
    with connected(served) as client:
        client.sendall(head("Content-Length: 100000") + FILE)
        began = time.monotonic()
        client.settimeout(0.1)
        while time.monotonic() - began < 10:
            client.sendall(b"x")
            try:
                answer = client.recv(100, socket.MSG_PEEK)
            except TimeoutError:
                continue
            break
        assert b" 408 " in answer
        assert time.monotonic() - began < 5


def test_a_client_that_leaves_after_the_headers_is_forgotten(served: Served) -> None:
    with connected(served) as client:
        client.sendall(head("Content-Length: 1000"))
        time.sleep(0.1)
    deadline = time.monotonic() + 3
    while served.server.server_state.tasks:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_names_of_files_are_not_used(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("../../escaped", str(tmp_path / "absolute"), "..\\escaped", "CON", "a\x00b", "." * 300, "~/x", "$(id)")
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name in names:
        body = part(f'; name="file"; filename="{name}"', b"audio" + bytes(5000)) + END
        assert httpx.post(served.url + PATH, content=body, headers=FORM, trust_env=False).status_code == 200
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


def test_memory_stays_flat() -> None:
    with gateway_process() as (url, process):
        upload(url, MIB)
        before = process.memory_info().rss
        peak = max(upload(url, 200 * MIB, process))
        assert peak - before < 64 * MIB


def upload(url: str, size: int, process: psutil.Process | None = None) -> list[int]:
    """The resident bytes of the process at every chunk. What is sent is no audio."""
    seen: list[int] = []

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(size // MIB):
            yield bytes(MIB)
            if process:
                seen.append(process.memory_info().rss)
        yield b"\r\n" + END

    assert_refused(httpx.post(url + PATH, content=body(), headers=FORM, timeout=60, trust_env=False), 400)
    return seen


@contextmanager
def gateway_process() -> Iterator[tuple[str, psutil.Process]]:
    """The deterministic gateway in a process of its own."""
    code = "from tests.gateway.deterministic import serve\nwith serve() as s: print(s.url, flush=True); input()"
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as running:
        assert running.stdout is not None
        yield running.stdout.readline().strip(), psutil.Process(running.pid)
        running.communicate("\n", timeout=20)


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), timeout=10) as client:
        yield client


def head(*more: str) -> bytes:
    lines = (f"POST {PATH} HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b", *more)
    return "\r\n".join((*lines, "", "")).encode()


def read_answer(client: socket.socket) -> tuple[int, Any]:
    answer = HTTPResponse(client)
    answer.begin()
    assert answer.headers["x-request-id"]
    return answer.status, json.loads(answer.read())["error"]


def in_chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


def assert_refused(answer: httpx.Response, status: int) -> None:
    assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"})
    assert answer.headers["x-request-id"]
