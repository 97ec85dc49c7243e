"""What goes wrong is told in words, and what may come right is tried again."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import COMMAND, Gateway, Stack, run_gateway, wait_until
from tests.gateway.deterministic import Served
from tests.page.conftest import Visitor
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.gateway.failures import GatewayError, NotReady, Overloaded
from whisper_serve.torchserve.endpoints import on_free_ports

pytestmark = [pytest.mark.page, pytest.mark.slow]


def test_a_file_that_is_no_audio(stack: Stack, visit: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("milk, eggs, flour\n" * 100)
    page = visit(stack.url).open()
    page.set_input_files("#file", file)
    expect(page.locator(".file .status")).to_contain_text("This file holds no audio that can be read.")
    expect(page.get_by_role("button", name="Try again: notes.txt")).to_be_visible()


def test_a_file_that_is_too_large(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    with run_gateway(f"127.0.0.1:{stack.endpoints.grpc}", WHISPER_MAX_UPLOAD_BYTES="50000") as gateway:
        page = visit(gateway.url).open()
        page.set_input_files("#file", clips["en-jfk.mp3"].path)
        expect(page.locator(".file .status")).to_have_text("This file is too large: the server takes up to 50 kB.")


def test_a_recording_that_is_too_long(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    with run_gateway(f"127.0.0.1:{stack.endpoints.grpc}", WHISPER_MAX_AUDIO_SECONDS="5") as gateway:
        page = visit(gateway.url).open()
        page.set_input_files("#file", clips["en-jfk.mp3"].path)
        expect(page.locator(".file .status")).to_contain_text("This recording is too long. (the audio is longer")


def test_a_server_that_goes_away(visit: Visitor, clips: dict[str, Sample]) -> None:
    port = on_free_ports().inference
    command = [*COMMAND, "gateway", "--torchserve", "127.0.0.1:1", "--port", str(port), "--grpc-port", "off"]
    with subprocess.Popen(command) as process:
        gateway = Gateway(process, f"http://127.0.0.1:{port}")
        try:
            wait_until(lambda: gateway.answers("/livez"), 60)
            page = visit(gateway.url).open()
            page.set_input_files("#file", clips["en-jfk.mp3"].path)
            page.wait_for_selector(".file[data-state=listening]")
        finally:
            gateway.close()
            process.kill()
    expect(page.locator(".file .status")).to_contain_text("The server cannot be reached.")


def test_trying_again_after_the_network_was_gone(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(stack.url).open()
    page.context.set_offline(True)
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    expect(page.locator(".file .status")).to_contain_text("The server cannot be reached.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again: en-jfk.mp3").click()
    page.wait_for_selector(".view")


def test_a_key_is_asked_for(stack: Stack, visit: Visitor, clips: dict[str, Sample], tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    command = [*COMMAND, "keys", "add", "--keys-file", str(keys), "somebody"]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    with run_gateway(f"127.0.0.1:{stack.endpoints.grpc}", WHISPER_KEYS_FILE=str(keys)) as gateway:
        page = visit(gateway.url).open()
        page.set_input_files("#file", clips["en-jfk.mp3"].path)
        expect(page.locator(".file .status")).to_contain_text("The server needs an API key")
        page.get_by_label("API key").fill(key)
        page.get_by_label("API key").press("Tab")
        expect(page.locator("#model option").first).to_be_attached()
        page.get_by_role("button", name="Try again: en-jfk.mp3").click()
        page.wait_for_selector(".view")
        assert (
            page.evaluate("Object.values(localStorage).join().includes(sessionStorage.getItem('whisper-key'))") is False
        )


def test_a_busy_server_is_tried_again(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    with run_gateway(f"127.0.0.1:{stack.endpoints.grpc}", WHISPER_MAX_REQUESTS_PER_CLIENT="1") as gateway:
        page = visit(gateway.url).open()
        files = [clips[name].path for name in ("en-librivox-sonnet-1.mp3", "en-jfk.mp3")]
        page.set_input_files("#file", files)
        expect(page.locator(".file[data-state=busy] .status")).to_contain_text("Trying again in")
        expect(page.locator(".file[data-state=done]")).to_have_count(2, timeout=90_000)


def test_a_full_server_tells_how_much_audio_is_ahead(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    with run_gateway(f"127.0.0.1:{stack.endpoints.grpc}", WHISPER_MAX_QUEUED_AUDIO_SECONDS="1") as gateway:
        page = visit(gateway.url).open()
        page.set_input_files("#file", clips["en-librivox-sonnet-1.mp3"].path)
        wait_until(lambda: gateway.metric("whisper_gateway_in_flight_audio_seconds") > 0, 30)
        page.set_input_files("#file", clips["en-jfk.mp3"].path)
        told = re.compile(
            r"The server is full, with \d+ (second|minute)s? of audio ahead of yours. Trying again in \d+ s."
        )
        expect(page.locator(".file[data-state=busy] .status")).to_have_text(told)
        expect(page.locator(".file[data-state=done]")).to_have_count(2, timeout=90_000)


def test_what_is_ahead_is_told_anew_with_each_try(served: Served, visit: Visitor) -> None:
    served.pipeline.refuse = Overloaded(2, audio_seconds_ahead=240)
    page = visit(served.url).open()
    status = page.locator(".file .status")
    page.set_input_files("#file", {"name": "talk.wav", "mimeType": "audio/wav", "buffer": b"audio"})
    for language, told in (
        ("de", "Der Server ist ausgelastet, mit 4 Minuten Audio vor dieser Datei. Neuer Versuch in"),
        ("fr", "Le serveur est occupé, avec 4 minutes d’audio avant ce fichier. Nouvel essai dans"),
        ("en", "The server is full, with 4 minutes of audio ahead of yours. Trying again in"),
    ):
        page.select_option("#page-language", language)
        expect(status).to_contain_text(told)
    served.pipeline.refuse = Overloaded(1, audio_seconds_ahead=44.5)
    expect(status).to_contain_text("The server is full, with 45 seconds of audio ahead of yours. Trying again in")
    served.pipeline.refuse = Overloaded(1, code="too_many_requests", audio_seconds_ahead=75)
    expect(status).to_contain_text("You have many files in work already, with 1 minute of audio ahead of this one.")
    served.pipeline.refuse = Overloaded(1)
    expect(status).to_contain_text("The server is busy. Trying again in")
    served.pipeline.refuse = None
    expect(page.locator(".file[data-state=done]")).to_be_visible()


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (NotReady(retry_after=30), "The server is not ready yet."),
        (Overloaded(30, audio_seconds_ahead=5400), "The server is full, with 1.5 hours of audio ahead of yours."),
    ],
    ids=["not ready", "full"],
)
def test_a_wait_can_be_cancelled(
    served: Served, visit: Visitor, clips: dict[str, Sample], refusal: GatewayError, told: str
) -> None:
    served.pipeline.refuse = refusal
    page = visit(served.url).open()
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    expect(page.locator(".file .status")).to_contain_text(f"{told} Trying again in")
    page.get_by_role("button", name="Cancel: en-jfk.mp3").click()
    expect(page.locator(".file .status")).to_have_text("Cancelled")
    served.pipeline.refuse = None
