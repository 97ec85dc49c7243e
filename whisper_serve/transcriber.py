"""From files and windows to transcripts: the windows of all jobs fill the engine's batches together.

A job that fails takes no other with it: its outcome is its exception.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Final

from whisper_serve.ahead import Ahead
from whisper_serve.conversions import decoding_options, detection_transcript, window_transcript
from whisper_serve.cores import usable_cores
from whisper_serve.engine import (
    DecodingOptions,
    Engine,
    LanguageDetection,
    WindowResult,
)
from whisper_serve.errors import describe
from whisper_serve.speech import (
    SHORTEST_FILE_SECONDS,
    Audio,
    AudioStream,
    Joiner,
    Source,
    Transcript,
    VadOptions,
    Window,
    WindowTranscript,
    cut_windows,
    merge,
    open_audio,
    without_phantoms,
)
from whisper_serve.wire import SEARCH_THRESHOLD, InvalidOption, WindowOptions

logger = logging.getLogger(__name__)

MOST_CUTTERS: Final = 8
WINDOWS_AHEAD: Final = 16
"""How many windows of a file may wait for the engine: at most 2 MB each."""

Outcome = Transcript | WindowTranscript | Exception
Progress = Callable[[float], None]
"""Called with the seconds of audio that were just done."""

FATAL_ERROR_MARKS: Final = (
    "CUDA error",
    "device-side assert",
    "CUBLAS_STATUS",
    "CUDNN_STATUS",
    "could not create a primitive",
)
"""Found in the text of errors after which nothing can be computed any more, as with a broken GPU context. The last one
is oneDNN's on a CPU without memory: it remembers that, and repeats it when there is memory again."""


class EngineBroken(RuntimeError):
    """The engine cannot compute any more, whatever it is given: its process has to end and a new one to begin."""


@dataclass(frozen=True, slots=True)
class FileJob:
    """A whole file: to be decoded, cut and merged."""

    source: Source
    options: WindowOptions = field(default_factory=WindowOptions)
    vad: VadOptions | None = field(default_factory=VadOptions)
    language_per_window: bool = False
    """Each window in a language of its own, rather than the file in one."""


@dataclass(frozen=True, slots=True)
class WindowJob:
    """One window that somebody else cut."""

    audio: Audio
    options: WindowOptions = field(default_factory=WindowOptions)


Job = FileJob | WindowJob


@dataclass(slots=True)
class Counts:
    """What one run amounted to."""

    windows: int = 0
    batches: int = 0
    largest_batch: int = 0
    audio_seconds: float = 0.0
    compute_seconds: float = 0.0
    tokens: int = 0
    fallbacks: int = 0
    searches: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Texts, by the reason."""


@dataclass(frozen=True, slots=True)
class Run:
    """Outcomes in the order of the jobs."""

    outcomes: list[Outcome]
    counts: Counts


_Result = WindowResult | LanguageDetection
Cut = Generator[Window, None, None] | Ahead[Window]


@dataclass(slots=True)
class _Progressing:
    """A job on its way: what was heard of it so far, or why it failed."""

    job: Job
    decoding: DecodingOptions
    stream: AudioStream | None = None
    parts: list[tuple[Window, WindowTranscript]] = field(default_factory=list)
    error: Exception | None = None

    @property
    def language_per_window(self) -> bool:
        return isinstance(self.job, FileJob) and self.job.language_per_window

    def decoding_of(self, window: Window) -> DecodingOptions:
        """The engine's options for a window."""
        return replace(self.decoding, word_timestamps=self.decoding.word_timestamps or window.overlaps)

    def group_of(self, window: Window) -> Hashable:
        """What the window shares with all those of the same language."""
        return id(self), window.index if self.language_per_window else None


class Transcriber:
    """Runs jobs on one engine.

    While a GPU computes, threads decode the next files and cut them into windows. On a CPU all cores compute anyway.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_seconds: float | None = None,
        search_threshold: float = SEARCH_THRESHOLD,
        cutters: int | None = None,
    ) -> None:
        """Share an engine.

        Args:
            max_seconds: the longest audio that is accepted as one file.
            search_threshold: a job's own is lowered to this.
            cutters: how many files are cut at the same time, ahead of the engine; 0: none is, before its windows are
                needed. By default one for each core where a GPU computes, up to 8, and none on a CPU.
        """
        self._engine = engine
        self._max_seconds = max_seconds
        self._search_threshold = search_threshold
        if cutters is None:
            cutters = 0 if engine.model.device.type == "cpu" else min(MOST_CUTTERS, usable_cores())
        self._cutters = cutters

    def run(self, jobs: Sequence[Job], progress: Progress | None = None) -> Run:
        """Transcribe all jobs.

        Raises:
            EngineBroken: an error that no later job would survive; any other is the outcome of its job.
        """
        counts = Counts()
        states = [_Progressing(job, self._decoding_of(job)) for job in jobs]
        # Threads end before the streams are closed that they read.
        with ExitStack() as streams, ExitStack() as threads:
            batch: list[tuple[_Progressing, Window]] = []
            for entry in self._windows(states, streams, threads):
                batch.append(entry)
                if len(batch) >= self._engine.batch_size:
                    self._compute(batch, counts, progress)
                    batch = []
            if batch:
                self._compute(batch, counts, progress)
            return Run([_outcome(state) for state in states], counts)

    def _windows(
        self, states: Sequence[_Progressing], streams: ExitStack, threads: ExitStack
    ) -> Iterator[tuple[_Progressing, Window]]:
        """The windows of all jobs; a job whose audio or options are bad gives its error instead."""
        for state, windows in zip(states, self._cuts(states, streams, threads), strict=True):
            try:
                with closing(windows):
                    for window in windows:
                        if state.error:
                            break
                        yield state, window
            except Exception as error:
                _log_unforeseen(error)
                state.error = error

    def _cuts(self, states: Sequence[_Progressing], streams: ExitStack, threads: ExitStack) -> list[Cut]:
        """The windows of each job, which threads make ahead where there are any."""
        cuts: list[Cut] = [self._cut(state, streams) for state in states]
        files = [number for number, state in enumerate(states) if isinstance(state.job, FileJob)]
        if self._cutters and files:
            pool = threads.enter_context(ThreadPoolExecutor(self._cutters, "cut"))
            for number in files:
                cuts[number] = threads.enter_context(closing(Ahead(pool, cuts[number], WINDOWS_AHEAD)))
        return cuts

    def _decoding_of(self, job: Job) -> DecodingOptions:
        decoding = decoding_options(job.options)
        uncut = isinstance(job, FileJob) and job.vad is None
        threshold = decoding.search_threshold
        return replace(
            decoding,
            spoken_to_end=decoding.spoken_to_end and not uncut,
            search_threshold=None if threshold is None else min(threshold, self._search_threshold),
        )

    def _check(self, options: WindowOptions) -> None:
        decoding = decoding_options(options)
        try:
            self._engine.tokenizer.check(decoding.language, decoding.task)
        except ValueError as error:
            raise InvalidOption("task" if options.task == "translate" else "language", str(error)) from error
        try:
            self._engine.tokenizer.check_suppressed(decoding.suppress_tokens)
        except ValueError as error:
            raise InvalidOption("suppress_tokens", str(error)) from error

    def _cut(self, state: _Progressing, streams: ExitStack) -> Generator[Window, None, None]:
        """A job's windows. Raises what its options or its audio are bad for."""
        job = state.job
        self._check(job.options)
        if isinstance(job, WindowJob):
            yield Window(0, 0.0, job.audio)
            return
        state.stream = streams.enter_context(
            open_audio(job.source, min_seconds=SHORTEST_FILE_SECONDS, max_seconds=self._max_seconds)
        )
        yield from cut_windows(state.stream, job.vad)

    def _compute(self, batch: Sequence[tuple[_Progressing, Window]], counts: Counts, progress: Progress | None) -> None:
        """Decode one batch; if that fails, its windows one by one, so that only the culprit's job fails."""
        started = time.perf_counter()
        try:
            results = self._decode(batch)
        except Exception as error:
            if any(mark in str(error) for mark in FATAL_ERROR_MARKS):
                raise EngineBroken(f"{type(error).__name__}: {error}") from error
            if len(batch) == 1:
                _log_unforeseen(error)
                batch[0][0].error = error
                return
            logger.warning("a batch of %d windows failed (%s); trying them one by one", len(batch), error)
            for entry in batch:
                self._compute([entry], counts, progress)
            return
        counts.compute_seconds += time.perf_counter() - started
        counts.batches += 1
        counts.largest_batch = max(counts.largest_batch, len(batch))
        for (state, window), result in zip(batch, results, strict=True):
            self._take(state, window, result, counts)
            if progress:
                progress(window.duration - window.overlap_before)

    def _decode(self, batch: Sequence[tuple[_Progressing, Window]]) -> list[_Result]:
        """What was found out of each window; those that only ask for their language are not decoded."""
        asking = [entry for entry in batch if entry[0].job.options.detect_only]
        telling = [entry for entry in batch if not entry[0].job.options.detect_only]
        detections: Iterator[_Result] = iter(self._engine.detect_language([window.audio for _, window in asking]))
        decoded: Iterator[_Result] = iter(
            self._engine.transcribe(
                [window.audio for _, window in telling],
                [state.decoding_of(window) for state, window in telling],
                [state.group_of(window) for state, window in telling],
            )
        )
        return [next(detections if state.job.options.detect_only else decoded) for state, _ in batch]

    def _take(self, state: _Progressing, window: Window, result: _Result, counts: Counts) -> None:
        counts.windows += 1
        counts.audio_seconds += window.duration
        if isinstance(result, LanguageDetection):
            state.parts.append((window, detection_transcript(result)))
            return
        tokenizer = self._engine.tokenizer if state.job.options.logprobs or window.overlaps else None
        heard = window_transcript(result, tokenizer)
        if isinstance(state.job, FileJob):  # Of a window, only who cut it knows whether it was cut around speech.
            heard = without_phantoms(heard, window.duration, searched=state.job.vad is not None)
        state.parts.append((window, heard))
        if not state.language_per_window:
            # A file is in one language: what its first windows were found to be holds for the rest.
            state.decoding = replace(state.decoding, language=result.language)
        counts.tokens += sum(len(decoding.tokens) for decoding in result.decodings)
        counts.fallbacks += result.fallbacks
        counts.searches += result.searches
        counts.dropped.update(dropped.reason for dropped in heard.dropped)


def _outcome(state: _Progressing) -> Outcome:
    if state.error:
        return state.error
    if isinstance(state.job, WindowJob):
        return state.parts[0][1]
    assert state.stream is not None
    options = state.job.options
    joiner = Joiner(words=options.word_timestamps, logprobs=options.logprobs)
    added = [joiner.add(window.start, window.end, window.overlap_after, heard) for window, heard in state.parts]
    return merge(
        [final for each in (*added, joiner.finish()) for final in each],
        task=options.task,
        duration=round(state.stream.seconds, 2),
        language=options.language,
        language_per_window=state.language_per_window,
        warnings=state.stream.warnings,
    )


def _log_unforeseen(error: Exception) -> None:
    """Errors of the caller are answered, not logged; others are for the operator."""
    if describe(error).status >= 500:
        logger.error("transcription failed: %s: %s", type(error).__name__, error, exc_info=error)
