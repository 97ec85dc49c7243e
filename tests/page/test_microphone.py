"""Recordings and live captions of the microphone, which in these tests hears a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.recordings import wav
from tests.e2e.stack import Stack
from tests.gateway.deterministic import Served
from tests.page.conftest import Visitor, chromium
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.speech import SAMPLE_RATE, load_audio

pytestmark = [pytest.mark.page, pytest.mark.slow]

PAUSE = np.zeros(2 * SAMPLE_RATE, np.float32)
SECONDS = 11


@pytest.fixture(scope="module")
def hearing(browser: Browser, clips: dict[str, Sample], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser of its own, whose microphone hears Kennedy once, and then nothing."""
    path = tmp_path_factory.mktemp("microphone") / "heard.wav"
    path.write_bytes(wav(np.concatenate([load_audio(clips["en-jfk.mp3"].path), *[PAUSE] * 30])))
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments.append(f"--use-file-for-fake-audio-capture={path}%noloop")
    other = browser.browser_type.launch(executable_path=chromium(), args=arguments)
    yield other
    other.close()


def open_page(hearing: Browser, visit: Visitor, url: str) -> tuple[Page, list[str]]:
    context = hearing.new_context(locale="en-GB", permissions=["microphone"], accept_downloads=True)
    context.set_default_timeout(60_000)
    tab = visit(url, context)
    return tab.open(), tab.errors


def wait_for_time(page: Page, seconds: int) -> None:
    """Until the page has heard so much."""
    page.wait_for_function(
        "seconds => Number(document.getElementById('capture-time').textContent.split(':')[1]) >= seconds", arg=seconds
    )


def said(page: Page) -> str:
    return " ".join(page.locator(".segment .words").all_inner_texts())


def test_a_recording_is_transcribed(stack: Stack, visit: Visitor, hearing: Browser) -> None:
    page, errors = open_page(hearing, visit, stack.url)
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#capture-title")).to_have_text("Recording")
    wait_for_time(page, SECONDS)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(".view")
    assert "what your country can do for you" in said(page)
    expect(page.locator("#result-title")).to_have_text(re.compile(r"^Recording .*\.wav$"))
    assert page.evaluate("Number.isFinite(document.querySelector('audio').duration)")
    assert not errors


def test_live_captions_come_while_somebody_speaks(stack: Stack, visit: Visitor, hearing: Browser) -> None:
    page, errors = open_page(hearing, visit, stack.url)
    page.select_option("#language", "en")
    page.get_by_role("button", name="Live captions").click()
    page.wait_for_function("() => document.querySelector('.stream')?.textContent.includes('fellow')")
    expect(page.locator(".file .status")).to_have_text("Live")
    wait_for_time(page, SECONDS + 1)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(".view")
    assert "country can do for you" in said(page)
    expect(page.locator(".facts")).to_contain_text("English")
    with page.expect_download() as download:
        page.click("[data-format=verbose_json]")
    body = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert body["duration"] >= SECONDS
    assert " ".join(word["word"] for word in body["words"]) == body["text"]
    page.locator(".segment .time").first.click()
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0.2")
    assert not errors


def test_a_stream_that_is_refused_can_be_sent_as_a_file(served: Served, visit: Visitor, hearing: Browser) -> None:
    page, _ = open_page(hearing, visit, served.url)
    page.route_web_socket(re.compile("audio/stream"), lambda socket: socket.close(code=1013))
    page.get_by_role("button", name="Live captions").click()
    expect(page.locator(".file .status")).to_have_text("The server is busy.")
    expect(page.locator("#capture")).to_be_hidden()
    expect(page.get_by_role("button", name=re.compile("Try again: Live"))).to_be_visible()


def test_no_microphone_is_told_in_words(served: Served, visit: Visitor) -> None:
    page = visit(served.url).open()
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#notice")).to_have_text(re.compile("microphone"))
    expect(page.get_by_role("button", name="Record")).to_be_visible()
