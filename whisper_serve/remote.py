"""Transcribing files at a server: what `whisper-serve transcribe --url` does, over gRPC or OpenAI's REST API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from google.protobuf.json_format import ParseDict
from rich.console import Console

from whisper_serve.client import RenderOptions, SpeechClient, SpeechClientError, TranscriptionOptions
from whisper_serve.delivery import deliver
from whisper_serve.request import FileRequest

REQUEST_SECONDS: Final = 3600.0
HERE: Final = ("127.0.0.1", "localhost", "::1")
GRPC_PORT: Final = 9000

Form = Sequence[tuple[str, str]]
Ask = Callable[[Path], str]


class RemoteFailed(Exception):
    """A server did not transcribe a file, or its address cannot be used; the message is a sentence."""


def transcribe_at(
    url: str, files: Sequence[Path], form: Form, console: Console, output: Path | None, *, key: str | None
) -> list[Path]:
    """Have a server transcribe files, one after the other, and print the results or write them to the folder `output`.

    `form` are the fields of OpenAI's API. A file that fails is named on `console` and does not stop the others.

    Returns:
        The files that failed.

    Raises:
        InvalidOption: a field's value cannot be used.
        RemoteFailed: the address is of no kind that is known.
    """
    request, failed = FileRequest.from_form(form), []
    with _server(url, form, key) as ask:
        for path in files:
            try:
                text = ask(path)
            except (RemoteFailed, OSError) as error:
                console.print(f"Error: {path}: {error}", style="bold red", markup=False)
                failed.append(path)
                continue
            deliver(text, path, request.response_format, console, output)
    return failed


@contextmanager
def _server(url: str, form: Form, key: str | None) -> Iterator[Ask]:
    parts = urlsplit(url)
    if parts.scheme in ("grpc", "grpcs") and parts.netloc:
        target = parts.netloc if parts.port else f"{parts.netloc}:{GRPC_PORT}"
        with SpeechClient(target, key=key, tls=parts.scheme == "grpcs", timeout=REQUEST_SECONDS) as client:
            options = grpc_options(form)
            yield lambda path: _over_grpc(client, path, options)
    elif parts.scheme in ("http", "https") and parts.netloc:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy of the environment comes between only where the server is elsewhere.
        with httpx.Client(timeout=REQUEST_SECONDS, trust_env=parts.hostname not in HERE, headers=headers) as http:
            yield lambda path: _over_http(http, url.rstrip("/").removesuffix("/v1"), path, form)
    else:
        raise RemoteFailed(f"--url must be grpc://HOST:PORT, grpcs://…, http://… or https://…, not {url!r}")


def _over_grpc(client: SpeechClient, path: Path, options: TranscriptionOptions) -> str:
    try:
        return client.transcribe(path, options).rendered
    except SpeechClientError as error:
        raise RemoteFailed(_sentence(str(error), error.retry_after)) from error


def _over_http(http: httpx.Client, url: str, path: Path, form: Form) -> str:
    fields: dict[str, list[str]] = {}
    for name, value in form:
        fields.setdefault(name, []).append(value)
    route = "translations" if fields.pop("task", []) == ["translate"] else "transcriptions"
    data = {"model": ["whisper-1"], **{name: values for name, values in fields.items() if values != [""]}}
    try:
        with path.open("rb") as file:
            answer = http.post(f"{url}/v1/audio/{route}", files={"file": (path.name, file)}, data=data)
    except httpx.HTTPError as error:
        raise RemoteFailed(f"{url} does not answer: {error}") from error
    if answer.is_success:
        return answer.text
    waiting = answer.headers.get("retry-after", "")
    raise RemoteFailed(_sentence(_message(answer), float(waiting) if waiting.isdecimal() else None))


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status_code}: {answer.text[:200]}"


def _sentence(message: str, retry_after: float | None) -> str:
    return f"{message} (try again in {retry_after:g} s)" if retry_after else message


def grpc_options(form: Form) -> TranscriptionOptions:
    """Form fields as options of a gRPC request, among them how the transcript is rendered."""
    given = {name: value for name, value in form if value != ""}
    known, rendering = TranscriptionOptions.DESCRIPTOR.fields_by_name, RenderOptions.DESCRIPTOR.fields_by_name
    values: dict[str, Any] = {name: _value(known[name], value) for name, value in given.items() if name in known}
    render = {name: _value(rendering[name], value) for name, value in given.items() if name in rendering}
    render["format"] = f"RENDER_FORMAT_{given.get('response_format', 'json').upper()}"
    words = ("timestamp_granularities[]", "word") in form
    return ParseDict({**values, "render": render, "word_timestamps": words}, TranscriptionOptions())


def _value(field: Any, text: str) -> object:
    """A field's value as protobuf's JSON has it; numbers may be texts there."""
    if field.enum_type is not None:
        return f"{field.enum_type.name.upper()}_{text.upper()}"
    if field.type == field.TYPE_BOOL:
        return text.lower() == "true"
    return text
