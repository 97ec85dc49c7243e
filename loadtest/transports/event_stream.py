"""OpenAI's REST API with ``stream=true``: the text comes as server-sent events, part by part."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpx

from loadtest.answers import Answer, RequestError, http_error
from loadtest.clips import Clip
from loadtest.transports.form import PATH, form_fields, form_file, no_answer

BROKEN: Final = "broken stream"
DATA: Final = "data: "


class EventStreamTransport:
    """As `FormTransport`, with the time of the first text."""

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 600.0) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def transcribe(self, clip: Clip) -> Answer:
        """See `Transport`; raises RequestError too where the parts are not the whole, or its end is missing."""
        started = time.perf_counter()
        fields = {**form_fields(clip), "stream": "true"}
        try:
            with self._http.stream("POST", PATH, files=form_file(clip), data=fields) as answer:
                if not answer.is_success:
                    raise http_error(answer.status_code, answer.read().decode(errors="replace"))
                return read_events(answer.iter_lines(), started)
        except httpx.HTTPError as error:
            raise no_answer(error) from error

    def close(self) -> None:
        """See `Transport`."""
        self._http.close()


def read_events(lines: Iterable[str], started: float) -> Answer:
    """The answer of a stream's lines; `started` is when the request was sent, by `time.perf_counter`."""
    parts: list[str] = []
    first: float | None = None
    for event in _events(lines):
        if event["type"] == "transcript.text.delta":
            first = time.perf_counter() - started if first is None else first
            parts.append(event["delta"])
        elif event["type"] == "transcript.text.done":
            text, said = str(event["text"]), "".join(parts)
            if said.split() != text.split():
                raise RequestError(BROKEN, f"the parts are {said[:80]!r} but the whole is {text[:80]!r}")
            return Answer(text, time.perf_counter() - started, first)
    raise RequestError(BROKEN, "the stream ended before its last event")


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith(DATA) and line != f"{DATA}[DONE]":
            event = json.loads(line.removeprefix(DATA))
            if "error" in event:
                raise RequestError("error in stream", str(event["error"].get("message")))
            yield event
