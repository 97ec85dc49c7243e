"""OpenAI's REST API: a file in a form, the text in one answer."""

from __future__ import annotations

import time
from typing import Final

import httpx

from loadtest.answers import NO_ANSWER, Answer, RequestError, http_error
from loadtest.clips import Clip

PATH: Final = "/v1/audio/transcriptions"


class FormTransport:
    """`url` is the gateway's address; `timeout` the seconds for each wait on the network."""

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 600.0) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # trust_env: no proxy is meant to be tested.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def transcribe(self, clip: Clip) -> Answer:
        """See `Transport`."""
        started = time.perf_counter()
        try:
            answer = self._http.post(PATH, files=form_file(clip), data=form_fields(clip))
        except httpx.HTTPError as error:
            raise no_answer(error) from error
        if not answer.is_success:
            raise http_error(answer.status_code, answer.text)
        return Answer(str(answer.json()["text"]), time.perf_counter() - started)

    def close(self) -> None:
        """See `Transport`."""
        self._http.close()


def form_file(clip: Clip) -> dict[str, tuple[str, bytes]]:
    """The form's file."""
    return {"file": (clip.name.rpartition("/")[2], clip.content)}


def form_fields(clip: Clip) -> dict[str, str]:
    """The form's other fields."""
    return {"model": "whisper-1", "language": clip.language}


def no_answer(error: httpx.HTTPError) -> RequestError:
    """The error of a request that was not answered."""
    kind = "timeout" if isinstance(error, httpx.TimeoutException) else NO_ANSWER
    return RequestError(kind, f"{type(error).__name__}: {error}")
