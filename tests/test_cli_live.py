from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.gateway.deterministic import serve
from whisper_serve.cli import live
from whisper_serve.cli.console import CommandFailed
from whisper_serve.client.live import LiveEvent, LiveFailed


def screen(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(live, "out", Console(file=shown, force_terminal=terminal, width=20, soft_wrap=True))
    return shown


@pytest.mark.parametrize("transport", ["ws", "grpc"])
def test_a_file_becomes_lines(monkeypatch: pytest.MonkeyPatch, data: Path, transport: str) -> None:
    shown = screen(monkeypatch, terminal=False)
    with serve() as served:
        url = f"grpc://{served.grpc}" if transport == "grpc" else served.url.replace("http", "ws")
        live.live(data / "en-jfk.mp3", url, None, "en", None, False, True, 600, 100.0)
    assert shown.getvalue().splitlines() == ["2.5 seconds.", "1.7 seconds.", "5.9 seconds."]


def test_an_utterance_grows_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, terminal=True)
    count = 0
    for event in (
        LiveEvent("speech_started"),
        LiveEvent("interim", text="And so my fellow Americans"),
        LiveEvent("final", text="And so."),
        LiveEvent("final", text=""),
    ):
        count = live.show(event, count)
    assert shown.getvalue() == "\r" + "And so my fellow Americans"[-19:] + "\rAnd so.            \n"


def test_without_a_microphone_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    with pytest.raises(CommandFailed, match="pip install sounddevice"):
        next(live.microphone())


def test_nobody_there_is_an_error(data: Path) -> None:
    with pytest.raises(LiveFailed, match="cannot be reached"):
        live.live(data / "en-jfk.mp3", "ws://127.0.0.1:1", None, None, None, False, True, 600, 100.0)
