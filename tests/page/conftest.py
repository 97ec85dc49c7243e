"""The page in a real browser, before the real model: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.e2e.stack import Stack, run_stack
from tests.gateway.deterministic import Served, serve

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where the browser is: what `CHROMIUM` says, or what the system has."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium here: install it (Debian: apt-get install chromium), or set CHROMIUM to one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


class Visit:
    """A tab, and all that went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self) -> Page:
        """Load the page, until it is ready for files."""
        self.page.goto(self.url)
        self.page.wait_for_selector("html:not(.loading)")
        return self.page


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Opens tabs at an address, each for somebody else unless a `context` is given."""
    contexts: list[BrowserContext] = []

    def start(url: str, context: BrowserContext | None = None) -> Visit:
        if context is None:
            context = browser.new_context(locale="en-GB", accept_downloads=True)
            context.set_default_timeout(60_000)
            contexts.append(context)
        return Visit(context.new_page(), url)

    yield start
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def stack(browser: Browser, archive: Path) -> Iterator[Stack]:
    """The real thing, for all tests that leave it as it was; not started where there is no browser."""
    with run_stack(archive.parent) as running:
        yield running


@pytest.fixture(scope="module")
def served(browser: Browser) -> Iterator[Served]:
    """The gateway before a pipeline that answers by rule, for what is no matter of the model."""
    with serve() as running:
        yield running
