"""A server as a system: any that speaks OpenAI's audio API, or TorchServe's inference port."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx

from whisper_serve.engine.options import Task
from whisper_serve.speech import language_code

from .corpus import Sample
from .errors import SystemFailed
from .systems import Heard, Progress

AT_ONCE: Final = 8
"""Requests that are sent at the same time."""
REQUEST_SECONDS: Final = 3600
SHOWN_CHARACTERS: Final = 200
ROUTES: Final[Mapping[Task, str]] = {"transcribe": "audio/transcriptions", "translate": "audio/translations"}
REFUSING: Final = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND)
"""Statuses that any other file would be answered too."""
HERE: Final = ("127.0.0.1", "localhost", "::1")
DEFAULT_MODEL: Final = "whisper-1"


class Refused(SystemFailed):
    """An answer other than 200."""

    def __init__(self, path: Path, answer: httpx.Response) -> None:
        super().__init__(f"{path.name} was answered {answer.status_code}: {answer.text[:SHOWN_CHARACTERS]}")
        self.status = answer.status_code


def new_client(url: str, key: str | None = None) -> httpx.Client:
    """A client that waits for long files; a proxy of the environment comes between only where ``url`` is elsewhere."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(timeout=REQUEST_SECONDS, trust_env=httpx.URL(url).host not in HERE, headers=headers)


def post(client: httpx.Client, url: str, path: Path, fields: Mapping[str, str]) -> dict[str, Any]:
    """The JSON that a file is answered with.

    Raises:
        Refused: the status is not 200.
        SystemFailed: nobody answers there, or not in JSON.
    """
    try:
        answer = client.post(url, files={"file": (path.name, path.read_bytes())}, data=dict(fields))
    except httpx.HTTPError as error:
        raise SystemFailed(f"{url} does not answer: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise Refused(path, answer)
    try:
        body = answer.json()
    except ValueError as error:
        raise SystemFailed(f"{url} did not answer in JSON: {answer.text[:SHOWN_CHARACTERS]}") from error
    if not isinstance(body, dict):
        raise SystemFailed(f"{url} did not answer a JSON object: {answer.text[:SHOWN_CHARACTERS]}")
    return body


class ServerSystem(AbstractContextManager["ServerSystem"]):
    """A server by its address; a file that it refuses is noted and does not stop the others."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """``url`` may end in ``#MODEL``, the model's name for this server."""
        address, _, model = url.partition("#")
        self._url = address.rstrip("/")
        self._fields = {"model": model or DEFAULT_MODEL}
        self._direct = "/predictions/" in self._url
        self._client = new_client(self._url, key)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        def ask(sample: Sample) -> str:
            fields = {"language": sample.told_language} if sample.told_language else {}
            return str(self._post(sample, task, fields)["text"])

        return self._each(samples, ask, progress)

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        return self._each(samples, self._language, progress)

    def _language(self, sample: Sample) -> str:
        """By our gateway's own route, or from a verbose answer where there is none."""
        if not self._direct:
            try:
                url = f"{self._url}/audio/language"
                return str(post(self._client, url, sample.path, self._fields)["language_code"])
            except Refused as error:
                if error.status not in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
                    raise
        named = str(self._post(sample, "transcribe", {"response_format": "verbose_json"})["language"])
        return "" if named == "unknown" else language_code(named)

    def _post(self, sample: Sample, task: Task, fields: Mapping[str, str]) -> dict[str, Any]:
        all_fields = {**self._fields, **fields}
        if self._direct:
            return post(self._client, self._url, sample.path, {**all_fields, "task": task})
        return post(self._client, f"{self._url}/{ROUTES[task]}", sample.path, all_fields)

    def _each(self, samples: Sequence[Sample], ask: Callable[[Sample], str], progress: Progress) -> Heard:
        problems: list[str] = []

        def value(sample: Sample) -> str:
            try:
                return ask(sample)
            except Refused as error:
                if error.status in REFUSING:
                    raise
                problems.append(str(error))
                return ""

        started = time.perf_counter()
        values = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for found in pool.map(value, samples):
                    values.append(found)
                    progress(1)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return Heard(values, time.perf_counter() - started, problems=tuple(problems))
