"""`whisper-serve transcribe --url`: the same texts over gRPC and over REST, and what is said when there are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.gateway.deterministic import Served, serve
from tests.gateway.test_app import TEXT
from whisper_serve.cli import app
from whisper_serve.gateway.failures import Overloaded
from whisper_serve.gateway.keys import add_key
from whisper_serve.remote import RemoteFailed


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"audio")
    return path


def addresses(served: Served) -> list[str]:
    return [f"grpc://{served.grpc}", served.url, f"{served.url}/v1/"]


def transcribe(url: str, *arguments: str | Path, **environment: str) -> Result:
    command = ["transcribe", "--url", url, *map(str, arguments)]
    return CliRunner().invoke(app, command, env={"WHISPER_API_KEY": "", "OPENAI_API_KEY": "", **environment})


def test_both_ways_print_the_same(served: Served, audio: Path) -> None:
    for arguments in (
        [],
        ["--format", "srt", "--max-line-width", "20", "--max-line-count", "1"],
        ["--format", "verbose_json", "--words"],
        ["--format", "tsv", "--task", "translate", "--no-vad", "--prompt", "Names", "--language", "German"],
    ):
        served.pipeline.works.clear()
        answers = [transcribe(url, audio, *arguments) for url in addresses(served)]
        assert [answer.exit_code for answer in answers] == [0, 0, 0]
        assert answers[0].stdout
        assert answers[1].stdout == answers[2].stdout
        works = served.pipeline.works
        assert works[0].options == works[1].options
        assert works[0].vad == works[1].vad
        if "verbose_json" not in arguments:  # There gRPC's has the segments beside the words.
            assert answers[0].stdout == answers[1].stdout
    assert transcribe(addresses(served)[0], audio).stdout == TEXT + "\n"


def test_files_are_written(served: Served, audio: Path, tmp_path: Path) -> None:
    for number, url in enumerate(addresses(served)):
        folder = tmp_path / str(number)
        assert transcribe(url, audio, "--output-dir", folder, "-f", "vtt").exit_code == 0
        assert (folder / "talk.vtt").read_text().startswith("WEBVTT")


def test_what_fails_is_named_and_the_rest_goes_on(served: Served, audio: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"noise")
    for url in addresses(served):
        answer = transcribe(url, noise, audio)
        assert (answer.exit_code, answer.stdout) == (1, TEXT + "\n")
        assert answer.stderr == f"Error: {noise}: the file holds no audio\n"
        served.pipeline.refuse = Overloaded(2.5)
        try:
            assert "too much audio is waiting: try again later (try again in" in transcribe(url, audio).stderr
        finally:
            served.pipeline.refuse = None
        assert "'gpt-9' does not exist" in transcribe(url, audio, "--model", "gpt-9").stderr
    for url in ("grpc://127.0.0.1:1", "http://127.0.0.1:1"):
        assert transcribe(url, audio).stderr.startswith(f"Error: {audio}: ")


def test_keys_come_from_the_environment(audio: Path, tmp_path: Path) -> None:
    _, key = add_key(tmp_path / "keys")
    with serve(keys_file=tmp_path / "keys") as served:
        for url in addresses(served):
            assert transcribe(url, audio, WHISPER_API_KEY=key).exit_code == 0
            assert transcribe(url, audio, OPENAI_API_KEY=key).exit_code == 0
            assert "API key" in transcribe(url, audio).stderr


def test_an_address_of_no_known_kind_is_refused(audio: Path) -> None:
    for url in ("127.0.0.1:9000", "ftp://host", "grpc:"):
        answer = transcribe(url, audio)
        assert isinstance(answer.exception, RemoteFailed)
        assert "grpc://HOST:PORT" in str(answer.exception)
