"""What the browser keeps, and what is made of it again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.stack import wait_until
from tests.gateway.deterministic import Served
from tests.page.conftest import Visitor
from tests.page.test_page import answer_with
from whisper_serve.evaluation.corpus import Sample

pytestmark = pytest.mark.page

CORRECTION_IS_KEPT = """() => new Promise((resolve) => {
    const opening = indexedDB.open("whisper", 1);
    opening.onsuccess = () => {
        const all = opening.result.transaction("transcripts").objectStore("transcripts").getAll();
        all.onsuccess = () => {
            opening.result.close();
            resolve(all.result.some(({ corrections }) => corrections.length > 0));
        };
    };
})"""


def test_transcripts_are_there_again_with_recording_and_corrections(
    served: Served, visit: Visitor, clips: dict[str, Sample]
) -> None:
    tab = visit(served.url)
    page = tab.open()
    answer_with(page, "Ask not what")
    page.set_input_files("#file", clips["en-jfk.mp3"].path)
    page.wait_for_selector(".view")
    page.locator(".words").dblclick()
    page.get_by_role("textbox", name="Correct this text").fill("Ask what")
    page.keyboard.press("Enter")
    expect(page.locator(".downloads")).to_contain_text("With your corrections: 1")
    wait_until(lambda: page.evaluate(CORRECTION_IS_KEPT), 10)  # A reload would stop the writing.
    tab.open()
    page.get_by_role("button", name="en-jfk.mp3", exact=False).first.click()
    expect(page.locator(".words")).to_have_text("Ask what")
    expect(page.locator(".downloads")).to_contain_text("With your corrections: 1")
    page.wait_for_function("() => document.querySelector('audio').duration > 10")
    assert not tab.errors


def test_others_do_not_see_them_and_they_can_be_removed(
    served: Served, visit: Visitor, clips: dict[str, Sample]
) -> None:
    tab = visit(served.url)
    page = tab.open()
    answer_with(page, "One.")
    page.set_input_files("#file", [clips[name].path for name in ("en-jfk.mp3", "fr-common-voice-20046123.mp3")])
    expect(page.locator(".file[data-state=done]")).to_have_count(2)
    expect(visit(served.url).open().locator(".file")).to_have_count(0)
    page.get_by_role("button", name="Remove: en-jfk.mp3").click()
    tab.open()
    expect(page.locator(".file")).to_have_count(1)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".file")).to_have_count(0)
    tab.open()
    expect(page.locator(".file")).to_have_count(0)
