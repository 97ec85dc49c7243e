"""Every answer of the gateway is one that its OpenAPI document describes, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from itertools import compress, product
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from tests.gateway.deterministic import Served, serve
from whisper_serve.gateway import documents
from whisper_serve.gateway.failures import (
    BackendUnavailable,
    DeadlineExceeded,
    Draining,
    NotReady,
    Overloaded,
    PoisonWindow,
    UploadTooLarge,
    UploadTooSlow,
)
from whisper_serve.gateway.keys import add_key
from whisper_serve.request import FALSE, SUBTITLE_LIMITS, TRUE, FileRequest
from whisper_serve.speech import RESPONSE_FORMATS, AudioTooLong
from whisper_serve.wire import InvalidOption

FORMS = ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/language")
READ = ("/v1/models", "/v1/models/{model}", "/livez", "/readyz", "/metrics")
FEW, MANY = 10, 350
FAILURES = (
    (413, AudioTooLong(60)),
    (408, UploadTooSlow("slow")),
    (413, UploadTooLarge("large")),
    (422, PoisonWindow(1, 2)),
    (429, Overloaded()),
    (429, Overloaded(audio_seconds_ahead=12.3)),
    (500, RuntimeError("unforeseen")),
    (503, NotReady()),
    (503, BackendUnavailable()),
    (503, Draining()),
    (504, DeadlineExceeded(1)),
)

load_all_checks()
# What the deterministic pipeline takes as audio.
schemathesis.openapi.format("binary", st.text(max_size=100).map(lambda text: f"audio{text}"))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.fixture(scope="module")
def document(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def test_the_document_has_these_paths(document: Any) -> None:
    assert set(document) == {*FORMS, *READ}


@pytest.mark.parametrize("response_format", [None, *RESPONSE_FORMATS])
def test_fields_go_together_as_the_document_says(response_format: str | None) -> None:
    validator = form_validator()
    fields: dict[str, Any] = dict.fromkeys(SUBTITLE_LIMITS, 2)
    fields |= {"highlight_words": True, "timestamp_granularities[]": ["word"], "stream": True}
    fields |= {"include": ["logprobs"], "timestamp_granularities": ["word"]}
    for chosen in product((False, True), repeat=len(fields)):
        sent = dict(compress(fields.items(), chosen))
        sent |= {"response_format": response_format} if response_format else {}
        assert validator.is_valid({"file": "audio", **sent}) == is_accepted(sent), sent


def test_beams_and_samples_go_together_as_the_document_says() -> None:
    validator = form_validator()
    fields: dict[str, Any] = {"beam_size": 5, "best_of": 5, "patience": 1.5, "length_penalty": 0.6}
    for chosen in product((False, True), repeat=len(fields)):
        for temperature in ({}, {"temperature": 0}, {"temperature": 0.4}):
            sent = dict(compress(fields.items(), chosen)) | temperature
            assert validator.is_valid({"file": "audio", **sent}) == is_accepted(sent), sent


@pytest.mark.parametrize(
    "text", ["none", "-1", "0", "-1,7", "50256", "50257", "-2", "", "1,", "none,1", "1\n", "9" * 9]
)
def test_suppressed_tokens_are_written_as_the_document_says(text: str) -> None:
    validator = form_validator()
    # What is empty counts as left out.
    assert validator.is_valid({"file": "audio", "suppress_tokens": text}) == (
        is_accepted({"suppress_tokens": text}) and text != ""
    )


def form_validator() -> jsonschema_rs.Draft202012Validator:
    body = documents.form(["whisper"])["requestBody"]
    return jsonschema_rs.Draft202012Validator(body["content"]["multipart/form-data"]["schema"])


def is_accepted(fields: dict[str, Any]) -> bool:
    texts = ((name, value[0] if isinstance(value, list) else str(value)) for name, value in fields.items())
    try:
        FileRequest.from_form(tuple(texts))
    except InvalidOption:
        return False
    return True


@pytest.mark.parametrize("path", FORMS)
def test_forms(document: Any, session: requests.Session, path: str) -> None:
    check_all(document[path]["POST"], session, FEW)


@pytest.mark.parametrize("path", READ)
def test_what_is_read(document: Any, session: requests.Session, path: str) -> None:
    check_all(document[path]["GET"], session, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("path", FORMS)
def test_many_forms(document: Any, session: requests.Session, path: str) -> None:
    check_all(document[path]["POST"], session, MANY)


@pytest.mark.parametrize(("status", "failure"), FAILURES, ids=lambda each: getattr(each, "code", str(each)))
def test_failures(served: Served, document: Any, session: requests.Session, status: int, failure: Exception) -> None:
    served.pipeline.refuse = failure
    try:
        for path in FORMS:
            case = document[path]["POST"].Case(body={"file": "audio"}, media_type="multipart/form-data")
            answer = case.call(session=session)
            assert answer.status_code == status
            case.validate_response(answer, excluded_checks=[schemathesis.checks.not_a_server_error])
    finally:
        served.pipeline.refuse = None


def test_keys(tmp_path: Path, session: requests.Session) -> None:
    path = tmp_path / "keys"
    _, key = add_key(path, "first")
    header = {"Authorization": f"Bearer {key}"}
    with serve(keys_file=path) as served:
        document: Any = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
        for operation in (document["/v1/models"]["GET"], document["/v1/audio/language"]["POST"]):
            for case in covering(operation):
                case.call_and_validate(session=session, headers=header, checks=[ignored_auth])
                case.call_and_validate(session=session, excluded_checks=[positive_data_acceptance])


def check_all(operation: Any, session: requests.Session, examples: int) -> None:
    """The checks on cases at the edges of the schema, and on so many from inside and outside of it."""
    for case in covering(operation):
        check(case, session)
    modes = list(GenerationMode) if operation.body else [GenerationMode.POSITIVE]  # any path is a string
    for mode in modes:
        _generated(operation.as_strategy(generation_mode=mode), session, examples)


def covering(operation: Any) -> Iterator[Any]:
    config = operation.schema.config.generation
    yield from operation.schema.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=config
    )


def _generated(strategy: Any, session: requests.Session, examples: int) -> None:
    # Generating from the schema is slow by nature and filters what does not fit together.
    @settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(case: Any) -> None:
        check(case, session)

    run()


def check(case: Any, session: requests.Session) -> None:
    answer = case.call(session=session)
    generous = answer.status_code == 200 and is_valid_as_read(case, answer.request)
    case.validate_response(answer, excluded_checks=[negative_data_rejection] if generous else [])


def is_valid_as_read(case: Any, request: requests.PreparedRequest) -> bool:
    """Whether the form is valid by what the gateway makes of its text: "" is left out, "0" and "no" are false."""
    if not isinstance(request.body, bytes):
        return False
    schema = case.operation.get_body_for_media_type("multipart/form-data").raw_schema
    form: dict[str, Any] = {}
    for name, text in fields_of(str(request.headers["content-type"]), request.body):
        kind = schema["properties"].get(name, {}).get("type")
        if kind == "array" and text:
            form.setdefault(name, []).append(text)
        elif text:
            form[name] = _value(kind, text)
    return bool(jsonschema_rs.Draft202012Validator(schema).is_valid(form))


def fields_of(content_type: str, body: bytes) -> Iterator[tuple[str, str]]:
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            yield name, payload.decode("utf-8", "replace")


def _value(kind: str | None, text: str) -> object:
    if kind == "boolean" and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    if kind in {"integer", "number"}:
        try:
            return float(text)
        except ValueError:
            return text
    return text
