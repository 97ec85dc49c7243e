"""A server by its address, against one that speaks the API."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.evaluation.examples import SILENT
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.errors import SystemFailed
from whisper_serve.evaluation.server import ServerSystem, new_client


@dataclass
class StandIn:
    """A server that answers each file with its bytes; what is not among its routes is answered 404."""

    answers: dict[str, str] = field(default_factory=dict)
    """Further fields of an answer, by the path."""
    requests: list[tuple[str, str | None, dict[str, str]]] = field(default_factory=list)
    """Path, Authorization and form fields of each request."""
    url: str = ""


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            fields = dict(re.findall(r'name="(\w+)"(?:; filename.*)?\r\n(?:.+\r\n)*\r\n(.*?)\r\n--', body))
            stand_in.requests.append((self.path, self.headers["authorization"], fields))
            status, text = (
                200,
                json.dumps({"text": fields["file"], **json.loads(stand_in.answers.get(self.path, "{}"))}),
            )
            if self.path not in stand_in.answers:
                status, text = 404, "no such route"
            elif fields["file"] == "broken":
                status, text = 422, "cannot be read"
            elif fields["file"] == "page":
                text = "<html>"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        stand_in.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield stand_in
        http.shutdown()
        thread.join()


def samples(folder: Path, *contents: str) -> list[Sample]:
    found = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.wav"
        path.write_text(content)
        found.append(Sample(path.name, path, "de", ""))
    return found


def test_files_are_sent_with_what_is_told_of_them(server: StandIn, tmp_path: Path) -> None:
    server.answers = {"/v1/audio/transcriptions": "{}", "/v1/audio/translations": "{}"}
    done: list[float] = []
    with ServerSystem(f"{server.url}/v1/#small", "secret") as system:
        heard = system.transcribe(samples(tmp_path, "eins", "zwei", "drei"), "transcribe", done.append)
        system.transcribe(samples(tmp_path, "eins"), "translate", done.append)
    assert (heard.values, len(done)) == (["eins", "zwei", "drei"], 4)
    assert {path for path, _, _ in server.requests[:3]} == {"/v1/audio/transcriptions"}
    path, key, fields = server.requests[-1]
    assert (path, key) == ("/v1/audio/translations", "Bearer secret")
    assert fields == {"file": "eins", "model": "small", "language": "de"}


def test_a_file_without_speech_has_no_language(server: StandIn, tmp_path: Path) -> None:
    server.answers = {"/v1/audio/transcriptions": "{}"}
    (tmp_path / "hum.wav").write_text("hum")
    with ServerSystem(f"{server.url}/v1") as system:
        system.transcribe(
            [Sample("hum.wav", tmp_path / "hum.wav", SILENT[0].language, "")], "transcribe", lambda _: None
        )
    assert server.requests == [("/v1/audio/transcriptions", None, {"file": "hum", "model": "whisper-1"})]


def test_torchserve_has_one_route_for_all(server: StandIn, tmp_path: Path) -> None:
    server.answers = {"/predictions/whisper": '{"language": "german"}'}
    with ServerSystem(f"{server.url}/predictions/whisper") as system:
        system.transcribe(samples(tmp_path, "eins"), "translate", lambda _: None)
        assert system.detect(samples(tmp_path, "eins"), lambda _: None).values == ["de"]
    assert [fields["task"] for _, _, fields in server.requests] == ["translate", "transcribe"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"/v1/audio/language": '{"language_code": "nl"}'}, "nl"),
        ({"/v1/audio/transcriptions": '{"language": "german"}'}, "de"),
        ({"/v1/audio/transcriptions": '{"language": "de"}'}, "de"),
        ({"/v1/audio/transcriptions": '{"language": "unknown"}'}, ""),
    ],
)
def test_the_language_comes_from_whatever_route_there_is(
    server: StandIn, tmp_path: Path, answers: dict[str, str], code: str
) -> None:
    server.answers = answers
    with ServerSystem(f"{server.url}/v1") as system:
        assert system.detect(samples(tmp_path, "eins"), lambda _: None).values == [code]
    assert "language" not in server.requests[-1][2]


def test_a_file_that_is_refused_does_not_stop_the_others(server: StandIn, tmp_path: Path) -> None:
    server.answers = {"/v1/audio/transcriptions": "{}"}
    with ServerSystem(f"{server.url}/v1") as system:
        heard = system.transcribe(samples(tmp_path, "eins", "broken", "drei"), "transcribe", lambda _: None)
    assert heard.values == ["eins", "", "drei"]
    assert heard.problems == ("1.wav was answered 422: cannot be read",)


def test_a_server_that_is_not_one_fails(server: StandIn, tmp_path: Path) -> None:
    server.answers = {"/v1/audio/transcriptions": "{}"}
    for url, content, message in (
        (f"{server.url}/v2", "eins", "answered 404: no such route"),
        (f"{server.url}/v1", "page", "did not answer in JSON: <html>"),
        ("http://127.0.0.1:9/v1", "eins", "does not answer"),
    ):
        with ServerSystem(url) as system, pytest.raises(SystemFailed, match=message):
            system.transcribe(samples(tmp_path, content), "transcribe", lambda _: None)


def test_proxies_are_for_other_machines() -> None:
    here, elsewhere = new_client("http://localhost:8000/v1"), new_client("https://example.org/v1")
    with here, elsewhere:
        assert (here.trust_env, elsewhere.trust_env) == (False, True)
