"""The page itself: accessible, small, still, safe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.gateway.deterministic import Served
from tests.page.conftest import Visitor
from whisper_serve.evaluation.corpus import Sample

pytestmark = pytest.mark.page

MOST_BYTES = 150_000
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
SHIFTS = """() => {
  window.shifts = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}"""


def stream_of(text: str, **members: Any) -> str:
    words = [{"word": word, "start": n, "end": n + 0.5, "probability": 0.2} for n, word in enumerate(text.split())]
    numbers = {
        "seek": 0,
        "tokens": [],
        "temperature": 0,
        "avg_logprob": -1,
        "compression_ratio": 1,
        "no_speech_prob": 0,
    }
    segment = {"id": 0, "start": 0, "end": 9, "text": f" {text}", **numbers}
    body = {"task": "transcribe", "language": "english", "duration": 9, "text": text, "segments": [segment]}
    body |= members
    events: list[dict[str, Any]] = [
        {"type": "transcript.text.delta", "delta": text},
        {"type": "transcript.text.done", **body, "words": words, "usage": {"type": "duration", "seconds": 9}},
    ]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def answer_with(page: Page, text: str, **members: Any) -> None:
    """Stand between the page and its server for what no model says at will; `members` are of its `verbose_json`."""

    def fulfil(route: Route) -> None:
        route.fulfill(status=200, content_type="text/event-stream", body=stream_of(text, **members))

    page.route("**/v1/audio/transcriptions", fulfil)


def show_transcript(
    page: Page, clips: dict[str, Sample], text: str = "And so my fellow Americans", **members: Any
) -> None:
    answer_with(page, text, **members)
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    page.wait_for_selector(".view")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_keeps_people_out(
    served: Served, visit: Visitor, clips: dict[str, Sample], scheme: Any, width: int
) -> None:
    page = visit(served.url).page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(served.url)
    page.wait_for_selector("html:not(.loading)")
    problems = Axe().run(page).response["violations"]
    show_transcript(page, clips)
    problems += Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in problems] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_load_is_small_and_asks_nobody_else(served: Served, visit: Visitor) -> None:
    tab = visit(served.url)
    sizes: list[int] = []
    hosts: set[str] = set()

    def loaded(request: Any) -> None:
        size = request.sizes()
        sizes.append(size["responseBodySize"] + size["responseHeadersSize"])
        hosts.add(request.url.split("/")[2])

    tab.page.on("requestfinished", loaded)
    tab.open()
    tab.page.wait_for_load_state("networkidle")
    assert 10_000 < sum(sizes) < MOST_BYTES
    assert hosts == {served.url.split("/")[2]}
    assert not tab.errors


def test_nothing_moves(served: Served, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(served.url).page
    page.add_init_script(f"({SHIFTS})()")
    page.goto(served.url)
    page.wait_for_selector("html:not(.loading)")
    show_transcript(page, clips)
    page.wait_for_selector(".waveform canvas")
    assert page.evaluate("window.shifts") < 0.1


def test_names_and_texts_are_text(served: Served, visit: Visitor, clips: dict[str, Sample], tmp_path: Path) -> None:
    tab = visit(served.url)
    page = tab.open()
    content = clips["en-jfk.mp3"].path.read_bytes()
    answer_with(page, EVIL)
    name = "<img src=x onerror=window.hacked=1>.mp3"
    page.set_input_files("#file", {"name": name, "mimeType": "audio/mpeg", "buffer": content})
    page.wait_for_selector(".view")
    expect(page.locator("#result-title")).to_have_text(name)
    expect(page.locator(".words")).to_have_text(EVIL)
    page.get_by_role("button", name="Correct this text").click()
    page.get_by_role("textbox", name="Correct this text").fill(f"{EVIL} twice")
    page.keyboard.press("Enter")
    expect(page.locator(".words")).to_have_text(f"{EVIL} twice")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert not tab.errors


def test_keys_do_what_a_mouse_does(served: Served, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(served.url).open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the transcript")).to_be_focused()
    page.keyboard.press("Enter")
    show_transcript(page, clips)
    page.locator("#result").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('audio').currentTime === 5")
    page.keyboard.press("Space")
    page.wait_for_function("() => !document.querySelector('audio').paused")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_a_file_can_be_dropped(served: Served, visit: Visitor, clips: dict[str, Sample]) -> None:
    page = visit(served.url).open()
    answer_with(page, "Dropped.")
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["audio"], "dropped.wav"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    page.wait_for_selector(".view")
    expect(page.locator(".text")).to_contain_text("Dropped.")


@pytest.mark.parametrize(
    ("locale", "title", "language"),
    [
        ("de-AT", "Sprache zu Text", "Englisch"),
        ("fr-FR", "De la parole au texte", "Anglais"),
        ("pl", "Speech to text", "English"),
    ],
)
def test_the_page_speaks_the_readers_language(
    served: Served, browser: Browser, visit: Visitor, clips: dict[str, Sample], locale: str, title: str, language: str
) -> None:
    with browser.new_context(locale=locale) as context:
        page = visit(served.url, context).open()
        expect(page.locator("h1")).to_have_text(title)
        show_transcript(page, clips, language_probability=0.9762)
        expect(page.locator(".facts dd").first).to_have_text(f"{language}, 98 %")
        page.locator("#page-language").select_option("en")
        expect(page.locator("h1")).to_have_text("Speech to text")
        expect(page.locator(".facts dd").first).to_have_text("English, 98 %")
        page.reload()
        expect(page.locator("h1")).to_have_text("Speech to text")


def test_light_and_dark_are_the_systems_until_chosen(served: Served, visit: Visitor) -> None:
    page = visit(served.url).open()
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"before => {colour} !== before", arg=light)
    dark = page.evaluate(colour)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"before => {colour} === before", arg=light)
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(colour) == dark
    page.reload()
    assert page.evaluate(colour) == dark
