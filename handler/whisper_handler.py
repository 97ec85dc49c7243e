"""TorchServe's handler: rows of a batch in, transcripts out.

TorchServe loads the one class that this module defines. A row is either one window, as `whisper_serve.wire` packs it
(key ``window``), or a whole file: the body itself, or a part named ``file`` or ``data`` beside OpenAI's form fields.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from ts.metrics.metric_type_enum import MetricTypes

from whisper_serve.engine import Engine
from whisper_serve.engine.weights import Weights, WeightsError, load_weights
from whisper_serve.errors import describe, envelope
from whisper_serve.memory import keep_trimmed
from whisper_serve.request import FileRequest
from whisper_serve.settings import HandlerSettings, SettingsError
from whisper_serve.speech import (
    RESPONSE_FORMATS,
    AudioDecodeError,
    SileroVad,
    Transcript,
    WindowTranscript,
    render,
)
from whisper_serve.transcriber import Counts, EngineBroken, FileJob, Job, Outcome, Run, Transcriber, WindowJob
from whisper_serve.wire import InvalidOption, WireError, pack_reply, unpack_window

logger = logging.getLogger("whisper_serve.handler")

Row = Mapping[str, Any]
Answer = tuple[int, str, str | bytes]
"""Status, content type, body."""
Reply = Callable[[Outcome], Answer]

WINDOW_KEY: Final = "window"
FILE_KEYS: Final = ("file", "data", "body")
JSON: Final = "application/json"
REASONS: Final = {200: "OK", 400: "Bad Request", 413: "Payload Too Large", 500: "Internal Server Error"}


class WhisperHandler:
    """Loads the model once a worker, then answers batches."""

    def initialize(self, context: Any) -> None:
        """Load settings and weights as TorchServe's ``context`` gives them."""
        _log_warnings_to_stderr()
        settings = HandlerSettings.read((context.model_yaml_config or {}).get("handler"))
        if settings.threads:
            torch.set_num_threads(settings.threads)
        properties = context.system_properties
        engine = Engine.load(
            _load_weights(settings, Path(properties["model_dir"])),
            _device(settings.device, properties.get("gpu_id")),
            settings.dtype,
            batch_size=settings.batch_windows or None,
            graphs=None if settings.cuda_graphs else False,
        )
        keep_trimmed()
        SileroVad()  # Loads the speech detector now: where it is missing, the start fails, not the first request.
        self._transcriber = Transcriber(
            engine, max_seconds=settings.max_audio_seconds, search_threshold=settings.search_threshold
        )
        self._engine = engine
        self._largest_batch = 0
        self._starts = 1
        """To be counted with the first batch: TorchServe takes no numbers before."""

    def handle(self, data: Sequence[Row], context: Any) -> list[str | bytes]:
        """Answer every row of ``data``; a bad row gets its own status and error, its batch mates are served."""
        read = [_read(row) for row in data]
        run = self._run([job for job, _ in read if not isinstance(job, Exception)])
        served = iter(run.outcomes)
        outcomes = [job if isinstance(job, Exception) else next(served) for job, _ in read]
        answered = [_answer(reply, outcome) for (_, reply), outcome in zip(read, outcomes, strict=True)]
        answers = [answer for answer, _ in answered]
        self._count(context, run.counts, [outcome for _, outcome in answered])
        for number, (status, content_type, _) in enumerate(answers):
            context.set_response_status(status, REASONS[status], number)
            context.set_response_content_type(number, content_type)
        return [body for _, _, body in answers]

    def _run(self, jobs: Sequence[Job]) -> Run:
        """Run the jobs; a broken engine ends the worker, since TorchServe only replaces workers that are gone."""
        try:
            return self._transcriber.run(jobs)
        except EngineBroken as error:
            logger.critical("the engine is broken, the worker ends: %s", error)
            raise SystemExit(1) from error

    def _count(self, context: Any, counts: Counts, outcomes: Sequence[Outcome]) -> None:
        """Add to the metrics that model_store/metrics.yaml declares."""
        errors = Counter(describe(outcome).code for outcome in outcomes if isinstance(outcome, Exception))
        self._largest_batch = max(self._largest_batch, counts.largest_batch)
        starts, self._starts = self._starts, 0
        for name, value in (
            ("whisper_worker_starts_total", starts),
            ("whisper_windows_total", counts.windows),
            ("whisper_batches_total", counts.batches),
            ("whisper_audio_seconds_total", counts.audio_seconds),
            ("whisper_compute_seconds_total", counts.compute_seconds),
            ("whisper_tokens_total", counts.tokens),
            ("whisper_fallbacks_total", counts.fallbacks),
            ("whisper_searches_total", counts.searches),
        ):
            context.metrics.get_metric(name).add_or_update(value, [context.model_name])
        for name, by_kind in (("whisper_errors_total", errors), ("whisper_dropped_segments_total", counts.dropped)):
            for kind, number in by_kind.items():
                context.metrics.get_metric(name).add_or_update(number, [kind, context.model_name])
        for name, size in (
            ("whisper_largest_batch", self._largest_batch),
            ("whisper_batch_limit", self._engine.batch_size),
        ):
            context.metrics.get_metric(name, MetricTypes.GAUGE).add_or_update(size, [context.model_name])


def _log_warnings_to_stderr() -> None:
    """TorchServe shows what a worker writes to stderr; its own logging hides the level and goes to a file."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setLevel(logging.WARNING)
    stream.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger("whisper_serve").addHandler(stream)


def _load_weights(settings: HandlerSettings, archive: Path) -> Weights:
    """The weights of the settings: a file of the unpacked archive, one elsewhere, or a model by its name.

    Raises SettingsError.
    """
    packed = archive / settings.weights
    source = packed if packed.exists() else settings.weights
    try:
        return load_weights(source, cache_dir=settings.model_cache, progress=False)
    except WeightsError as error:
        raise SettingsError(
            f"the weights {settings.weights!r} cannot be loaded: {error}. WHISPER_WEIGHTS names a model or a path; "
            f"a model is looked for in WHISPER_MODEL_CACHE, which is {settings.model_cache or 'not set'}, and "
            "`whisper-serve fetch` puts it there"
        ) from error


def _device(setting: str, gpu: int | None) -> str:
    """TorchServe deals out its GPUs among the workers; the setting may name another device."""
    return f"cuda:{gpu}" if setting == "auto" and gpu is not None and torch.cuda.is_available() else setting


def _read(row: Row) -> tuple[Job | Exception, Reply]:
    """The job of a row, or what is wrong with it, and how its outcome is answered."""
    if WINDOW_KEY in row:
        return _attempt(_window_job, row), _answer_window
    request = _attempt(lambda one: FileRequest.from_fields(_fields(one)), row)
    if isinstance(request, Exception):
        return request, _answer_error
    job = _attempt(lambda one: FileJob(_file(one), request.options, request.vad, request.language_per_window), row)
    return job, partial(_answer_file, request)


def _attempt(read: Callable[[Row], Any], row: Row) -> Any:
    try:
        return read(row)
    except Exception as error:
        return error


def _window_job(row: Row) -> WindowJob:
    message = row[WINDOW_KEY]
    if not isinstance(message, (bytes, bytearray)):
        raise WireError(f"a window message is bytes, but {type(message).__name__} came")
    return WindowJob(*unpack_window(message))


def _file(row: Row) -> bytes | bytearray:
    """The row's audio file."""
    content = next((row[key] for key in FILE_KEYS if key in row), b"")
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, (bytes, bytearray)):
        raise AudioDecodeError("the body is JSON, not audio: send the file itself, or a form with a part named 'file'")
    return content


def _fields(row: Row) -> dict[str, str]:
    """The row's form fields as text."""
    fields = {}
    for name, value in row.items():
        if name in FILE_KEYS:
            continue
        try:
            fields[name] = value.decode() if isinstance(value, (bytes, bytearray)) else str(value)
        except UnicodeDecodeError as error:
            raise InvalidOption(name, f"{name} must be text in UTF-8") from error
    return fields


def _answer(reply: Reply, outcome: Outcome) -> tuple[Answer, Outcome]:
    """What a row is answered, and its outcome: another one where that one cannot be written down."""
    try:
        answer = reply(outcome)
        if isinstance(answer[2], str):
            answer[2].encode()  # TorchServe does, and with one row that cannot be encoded the whole batch is lost.
    except Exception as error:
        logger.exception("an answer cannot be written: %s: %s", type(error).__name__, error)
        return reply(error), error
    return answer, outcome


def _answer_window(outcome: Outcome) -> Answer:
    """A window's transcript, or its error, in a body that also carries the status: gRPC has no other place for it."""
    if isinstance(outcome, WindowTranscript):
        return 200, JSON, pack_reply(outcome)
    error = describe(outcome)
    return error.status, JSON, pack_reply(error)


def _answer_file(request: FileRequest, outcome: Outcome) -> Answer:
    if not isinstance(outcome, Transcript):
        return _answer_error(outcome)
    text = render(outcome, request.response_format, request.render)
    return 200, RESPONSE_FORMATS[request.response_format].content_type, text


def _answer_error(outcome: Outcome) -> Answer:
    error = describe(outcome)
    return error.status, JSON, envelope(error)
