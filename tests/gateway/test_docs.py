"""The page at /docs and everything that it loads come from the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.gateway.deterministic import Served, serve


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


class References(HTMLParser):
    """What a page loads, and the scripts and styles that are written into it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.found += [value for name, value in attrs if name in {"src", "href", "action", "data"} and value]

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in {"script", "style"} and data.strip():
            self.inline.append(data)


def test_the_page_loads_only_what_the_gateway_serves(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        page = client.get("/docs")
        references = References(page.text)
        assert not references.inline
        assert len(references.found) == 4
        for reference in references.found:
            assert not urlsplit(reference).netloc
            assert not reference.startswith("/")
            answer = client.get(urljoin("/docs", reference))
            assert answer.status_code == 200
            assert answer.content
        assert "//" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'self'")


def test_the_page_shows_the_document_and_asks_nobody_else(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        start = client.get("/docs/start.js")
        assert start.headers["content-type"].startswith("text/javascript")
        assert 'fetch("openapi.json")' in start.text
        assert "validatorUrl: null" in start.text
        assert "//" not in start.text
        assert b"SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").content
        style = client.get("/docs/swagger-ui.css").text
        assert "@import" not in style
        assert all(address.lstrip("\"'").startswith("data:") for address in style.split("url(")[1:])


def test_what_can_be_got_answers_head_without_a_body(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        for path, status in (("/docs", 200), ("/openapi.json", 200), ("/livez", 200), ("/v1/models", 200), ("/x", 404)):
            answer = client.head(path)
            assert (answer.status_code, answer.content) == (status, b"")
            assert answer.headers["x-request-id"]
        answer = client.head("/v1/audio/transcriptions")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert 'route="/livez"' in client.get("/metrics").text
