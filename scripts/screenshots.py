"""Takes the pictures of the web page in docs/screenshots, of the real thing: `make screenshots`.

    python -m scripts.screenshots

Starts `whisper-serve serve` with the trial model, transcribes clips of the tests in Chromium, and looks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from scripts.generated import ROOT
from tests.e2e.stack import run_stack
from tests.page.conftest import chromium

FOLDER: Final = ROOT / "docs" / "screenshots"
CLIPS: Final = (
    "en-jfk.mp3",
    "de-common-voice-19679279.mp3",
    "fr-common-voice-17732750.mp3",
    "en-librivox-sonnet-1.mp3",
)
PICTURES: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "mobile": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
}
MOST_BYTES: Final = 200_000


def main() -> int:
    path = chromium()
    if path is None:
        print("There is no Chromium here: install it, or set CHROMIUM to one.", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as store, run_stack(Path(store)) as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        for name, look in PICTURES.items():
            take(browser, stack.url, name, look)
        browser.close()
    return 0


def take(browser: Browser, url: str, name: str, look: dict[str, Any]) -> None:
    """One picture."""
    with browser.new_context(locale="en-GB", **look) as context:
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(url)
        show(page)
        if name == "mobile":
            page.locator("#result").scroll_into_view_if_needed()
            page.evaluate("document.getElementById('result').scrollIntoView()")
        page.screenshot(path=FOLDER / f"{name}.png")
    size = (FOLDER / f"{name}.png").stat().st_size
    print(f"{name}.png: {size:,} bytes")
    assert size < MOST_BYTES, "the picture is too large for a repository"


def show(page: Page) -> None:
    """The clips in the list, the last of them open and played to somewhere in its middle."""
    page.wait_for_selector("html:not(.loading)")
    for count, clip in enumerate(CLIPS, start=1):
        page.set_input_files("#file", ROOT / "tests" / "data" / clip)
        page.wait_for_function(
            "count => document.querySelectorAll('.file[data-state=done]').length === count", arg=count
        )
    page.wait_for_function(
        "() => document.querySelector('.waveform div')?.shadowRoot?.querySelector('canvas') !== null"
    )
    page.evaluate("document.querySelector('audio').currentTime = 21")
    page.wait_for_selector(".words .now")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)  # the waveform is drawn frame by frame


if __name__ == "__main__":
    sys.exit(main())
