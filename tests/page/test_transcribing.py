"""A file on its way: sent, written as it is heard, read, heard, corrected and downloaded. The real thing behind it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.recordings import JFK, join, wav
from tests.e2e.stack import Stack, wait_until
from tests.page.conftest import Visitor
from whisper_serve.evaluation.corpus import Sample

pytestmark = [pytest.mark.page, pytest.mark.slow]

FORMATS = ("text", "srt", "vtt", "verbose_json", "tsv")


@pytest.fixture(scope="module")
def long_recording(clips: dict[str, Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes, so several windows."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    english = [clips["en-jfk.mp3"], clips["en-librispeech-1089-134686-0000.flac"]]
    path.write_bytes(wav(join(english, 120)[0]))
    return path


def downloaded(page: Page, name: str) -> str:
    with page.expect_download() as download:
        page.click(f"[data-format={name}]")
    return Path(download.value.path()).read_text("utf-8")


def from_the_api(stack: Stack, path: Path, name: str, granularities: list[str]) -> str:
    timed = {"timestamp_granularities[]": granularities} if name in {"srt", "vtt", "verbose_json"} else {}
    form = {"model": "whisper-1", "response_format": name, **timed}
    answer = stack.http.post("/v1/audio/transcriptions", files={"file": path.read_bytes()}, data=form)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize("words", [True, False])
def test_the_text_is_right_and_each_download_is_the_apis(
    stack: Stack, visit: Visitor, clips: dict[str, Sample], words: bool
) -> None:
    path = clips["en-jfk.mp3"].path
    tab = visit(stack.url)
    page = tab.open()
    page.set_checked("input[name=words]", words)
    page.set_input_files("#file", path)
    page.wait_for_selector(".view")
    assert " ".join(page.locator(".segment .words").all_inner_texts()) == JFK
    granularities = ["segment", "word"] if words else ["segment"]
    for name in FORMATS:
        if words and name == "tsv":
            continue  # the API has none of the segments' times that words bring
        assert downloaded(page, name) == from_the_api(stack, path, name, granularities), name
    found = json.loads(downloaded(page, "verbose_json"))["language_probability"]
    expect(page.locator(".facts dd").first).to_have_text(f"English, {100 * found:.0f} %")
    assert not tab.errors


def test_a_language_that_was_given_has_no_probability(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(stack.url).open()
    page.select_option("#language", "en")
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    page.wait_for_selector(".view")
    expect(page.locator(".facts dd").first).to_have_text("English")
    assert "language_probability" not in json.loads(downloaded(page, "verbose_json"))


def test_text_comes_while_the_rest_is_being_heard(stack: Stack, visit: Visitor, long_recording: Path) -> None:
    page = visit(stack.url).open()
    page.set_input_files("#file", long_recording)
    page.wait_for_function("() => document.querySelector('.stream')?.textContent.length > 20")
    first = page.locator(".stream").inner_text()
    page.wait_for_selector(".view", timeout=120_000)
    whole = " ".join(page.locator(".segment .words").all_inner_texts())
    assert whole.startswith(first.rstrip()[:60])
    assert len(whole) > len(first)
    assert whole.count("country can do for you") >= 4


def test_cancelling_ends_the_work(stack: Stack, visit: Visitor, long_recording: Path) -> None:
    page = visit(stack.url).open()
    page.set_input_files("#file", long_recording)
    page.wait_for_selector(".file[data-state=listening]")
    page.get_by_role("button", name="Cancel: long.wav").click()
    expect(page.locator(".file .status")).to_have_text("Cancelled")
    wait_until(lambda: stack.metric("whisper_gateway_queued_audio_seconds") == 0, 30)
    page.get_by_role("button", name="Remove: long.wav").click()
    expect(page.locator(".file")).to_have_count(0)
    expect(page.locator("#result-title")).to_have_text("Transcript")


def test_two_tabs_at_once(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    names = ("fr-common-voice-20046123.mp3", "en-jfk.mp3")
    pages = [visit(stack.url).open() for _ in names]
    for page, name in zip(pages, names, strict=True):
        page.set_input_files("#file", clips[name].path)
    for page, word in zip(pages, ("famille", "fellow"), strict=True):
        page.wait_for_selector(".view")
        expect(page.locator(".text")).to_contain_text(word)


def test_translation_is_asked_for(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(stack.url).open()
    page.select_option("#task", "translate")
    page.select_option("#language", "fr")
    page.set_input_files("#file", clips["fr-common-voice-20046123.mp3"].path)
    page.wait_for_selector(".view")
    expect(page.locator(".text")).to_contain_text("family")
    body = json.loads(downloaded(page, "verbose_json"))
    assert (body["task"], body["language"], body["source_language"]) == ("translate", "english", "french")
    expect(page.locator(".facts")).to_contain_text("French")


def test_a_word_plays_the_audio_there(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(stack.url).open()
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    page.wait_for_selector(".view")
    words = json.loads(downloaded(page, "verbose_json"))["words"]
    place = next(place for place, word in enumerate(words) if word["word"] == "country")
    page.locator(".words span").nth(place).click()
    page.wait_for_function("start => document.querySelector('audio').currentTime >= start", arg=words[place]["start"])
    assert page.evaluate("document.querySelector('audio').currentTime") < words[place]["end"] + 2
    page.wait_for_selector(".words span.now")
    expect(page.locator(".waveform canvas").first).to_be_attached()


def test_corrections_are_in_downloads(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(stack.url).open()
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    page.wait_for_selector(".view")
    before = json.loads(downloaded(page, "verbose_json"))
    page.locator(".segment").first.hover()
    page.get_by_role("button", name="Correct this text: 0:00").click()
    field = page.get_by_role("textbox", name="Correct this text")
    field.fill(field.inner_text().replace("my fellow", "my dear fellow"))
    field.press("Enter")
    expect(page.locator(".downloads")).to_contain_text("With your corrections: 1")
    assert downloaded(page, "text").startswith("And so my dear fellow Americans")
    assert "my dear fellow Americans" in downloaded(page, "srt")
    after = json.loads(downloaded(page, "verbose_json"))
    added = [word for word in after["words"] if word["word"] == "dear"]
    neighbours = [next(word for word in before["words"] if word["word"] == name) for name in ("my", "fellow")]
    assert len(after["words"]) == len(before["words"]) + 1
    assert neighbours[0]["end"] <= added[0]["start"] <= added[0]["end"] <= neighbours[1]["start"]
    assert [word for word in after["words"] if word["word"] != "dear"] == before["words"]


def test_search_finds_and_steps(stack: Stack, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(stack.url).open()
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    page.wait_for_selector(".view")
    page.fill("input[type=search]", "COUNTRY Can")
    expect(page.locator(".count")).to_have_text("1 of 1")
    page.fill("input[type=search]", "country")
    expect(page.locator(".count")).to_have_text("1 of 2")
    page.press("input[type=search]", "Enter")
    expect(page.locator(".count")).to_have_text("2 of 2")
    assert page.evaluate("CSS.highlights.get('found').size") == 2
    page.fill("input[type=search]", "nothing of the kind")
    expect(page.locator(".count")).to_have_text("0 of 0")


def test_a_stream_with_verbose_json_ends_with_all_of_it(stack: Stack, clips: dict[str, Sample]) -> None:
    """The page rests on this; so may others."""
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word", "stream": "true"}
    content = clips["en-jfk.mp3"].path.read_bytes()
    answer: httpx.Response = stack.http.post("/v1/audio/transcriptions", files={"file": content}, data=fields)
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    done = json.loads(events[-1])
    assert done.pop("type") == "transcript.text.done"
    assert "".join(json.loads(event)["delta"] for event in events[:-1]) == done["text"] == JFK
    assert all(0 < word["probability"] <= 1 for word in done["words"])
