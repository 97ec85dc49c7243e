"""How the web page is served: what is there, who may load what, and what a browser keeps."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.gateway.deterministic import Served, serve
from tests.gateway.test_docs import References
from whisper_serve.gateway.web_page import WEB
from whisper_serve.speech.languages import LANGUAGES

MODULES = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js"))
IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'`](\.{1,2}/[^"'`]+)["'`]""")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        yield client


def test_the_page_loads_only_what_the_gateway_serves(client: httpx.Client) -> None:
    answer = client.get("/")
    references = References(answer.text)
    assert not references.inline
    for reference in {each.split("#")[0] for each in references.found} - {"", "docs"}:
        assert reference.startswith("page/")
        assert client.get(urljoin("/", reference)).status_code == 200
    assert "style=" not in answer.text
    assert " on" not in re.sub(r">[^<]*<", "><", answer.text)


def test_the_policy_lets_no_script_or_style_be_written_into_the_page(client: httpx.Client) -> None:
    for path in ("/", "/page/js/app.js"):
        policy = client.get(path).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http" not in policy
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/js/app.js", "text/javascript; charset=utf-8"),
        ("/page/css/page.css", "text/css; charset=utf-8"),
        ("/page/config.json", "application/json"),
    ],
)
def test_files_have_their_types_and_are_asked_for_again_only_if_changed(
    client: httpx.Client, path: str, media_type: str
) -> None:
    first = client.get(path)
    assert first.headers["content-type"] == media_type
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get(path, headers={"if-none-match": '"other"'}).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == first.headers["etag"]


def test_files_are_compressed_for_who_takes_that(client: httpx.Client) -> None:
    plain = client.get("/page/js/api.js", headers={"accept-encoding": "identity"})
    with client.stream("GET", "/page/js/api.js", headers={"accept-encoding": "gzip"}) as zipped:
        raw = b"".join(zipped.iter_raw())
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content == (WEB / "js" / "api.js").read_bytes()
    assert len(raw) < len(plain.content)
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert zipped.headers["vary"] == "Accept-Encoding"


def test_what_has_a_version_in_its_address_is_kept(client: httpx.Client) -> None:
    vendored = list(WEB.rglob("vendor/*/*.js"))
    assert vendored
    for path in vendored:
        answer = client.get(f"/page/{path.relative_to(WEB).as_posix()}")
        assert "immutable" in answer.headers["cache-control"]
        assert re.search(r"-\d+\.\d+\.\d+$", path.parent.name)
        assert (path.parent / "LICENSE").exists()


@pytest.mark.parametrize(
    "path", ["/page/", "/page/none.js", "/page/../settings.py", "/page/%2e%2e/settings.py", "/page/js"]
)
def test_nothing_else_is_there(client: httpx.Client, path: str) -> None:
    answer = client.get(httpx.URL(str(client.base_url)).copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_config_tells_the_languages_and_limits_of_the_server() -> None:
    with serve(max_upload_bytes=1234) as running:
        config = httpx.get(f"{running.url}/page/config.json", trust_env=False).json()
    assert config["languages"] == LANGUAGES
    assert (config["max_upload_bytes"], config["keys"]) == (1234, False)


def test_the_page_needs_no_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    keys.write_text("")
    with serve(keys_file=keys) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/config.json").json()["keys"] is True
        assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize("module", [each for each in MODULES if not each.startswith("vendor/")])
def test_modules_import_what_is_there(module: str) -> None:
    for name in IMPORT.findall((WEB / module).read_text("utf-8")):
        if "${" not in name:
            assert (WEB / module).parent.joinpath(name).resolve().is_file(), name


def test_modules_that_are_needed_at_once_are_asked_for_at_once() -> None:
    """Otherwise a browser finds them one after the other."""
    needed, found = ["js/app.js"], set[str]()
    while needed:
        module = needed.pop()
        found.add(module)
        for name in re.findall(
            r'^(?:import|export) .*from "(\./[^"]+)"', (WEB / module).read_text("utf-8"), re.MULTILINE
        ):
            path = (WEB / module).parent.joinpath(name).resolve().relative_to(WEB.resolve()).as_posix()
            needed += [path] if path not in found else []
    preloaded = set(re.findall(r'rel="modulepreload" href="page/([^"]+)"', (WEB / "index.html").read_text("utf-8")))
    assert preloaded == found


def test_all_languages_have_the_same_words() -> None:
    keys = {
        path.stem: re.findall(r"^  (\w+): ", path.read_text("utf-8"), re.MULTILINE)
        for path in (WEB / "locales").glob("*.js")
    }
    listed = re.search(r"LANGUAGES = (\{.*?\})", (WEB / "js" / "i18n.js").read_text("utf-8"))
    assert listed
    assert keys.keys() == set(json.loads(re.sub(r"(\w+):", r'"\1":', listed[1])))
    english = keys["en"]
    assert english == sorted(set(english))
    assert all(each == english for each in keys.values())


def test_all_languages_leave_room_for_the_same_values() -> None:
    texts = {path.stem: path.read_text("utf-8") for path in (WEB / "locales").glob("*.js")}
    values = {
        language: {
            key: sorted(re.findall(r"\{(\w+)\}", said)) for key, said in re.findall(r"^  (\w+): (.*),$", text, re.M)
        }
        for language, text in texts.items()
    }
    assert all(each == values["en"] for each in values.values())


def test_all_words_are_used_and_all_that_are_used_are_there() -> None:
    sources = "".join(path.read_text("utf-8") for path in [*WEB.glob("js/*.js"), WEB / "index.html"])
    there = set(re.findall(r"^  (\w+): ", (WEB / "locales" / "en.js").read_text("utf-8"), re.MULTILINE))
    used = {key for key in there if re.search(rf"""["'`]{key}["'`]""", sources)}
    assert there == used
    asked = {
        one or other for one, other in re.findall(r"""\bt\("(\w+)"|data-t(?:-label|-placeholder)?="(\w+)\"""", sources)
    }
    assert asked <= there
