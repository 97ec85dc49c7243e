"""Batched Whisper: windows of audio in, text with times out.

The engine knows nothing of files, servers or requests. It takes windows of at most 30 s (float32, mono, 16 kHz), each
with its own options, and answers in the same order. Several threads may use one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import torch
from torch import Tensor
from whisper.audio import N_SAMPLES_PER_TOKEN

from .alignment import Said, default_heads, token_times
from .attention_cache import KeyValueCache
from .batch_audio import BatchAudio
from .batch_size import default_batch_size, windows_at_once
from .beam_search import BeamDecoder
from .decoding import GreedyDecoder, Sampled
from .devices import (
    DeviceName,
    DtypeName,
    is_out_of_memory,
    release_memory,
    resolve_device,
    resolve_graphs,
    resolve_precision,
)
from .fallback import best_decoding, needs_fallback, next_attempt
from .features import log_mel, pad_windows
from .graph_decoding import GraphBeamDecoder, GraphDecoder
from .graphs import CudaGraphs, MakeGraphs
from .guard import believed
from .judging import decoding_of
from .language import detect_by_group, detect_languages
from .model import WhisperModel
from .options import DecodingOptions
from .results import DecodedSegment, DecodingResult, LanguageDetection, WindowResult
from .sample_decoding import BestOfDecoder
from .segments import SECONDS_PER_TIMESTAMP
from .shared_cache import SharedCache
from .state import Prompt
from .strategy import Strategy
from .task import SHORTEST_TAIL, Audio, WindowTask
from .tokenizer import WhisperTokenizer
from .weights import AlignmentHeads, Weights
from .words import with_words
from .workspace import Workspace, Workspaces

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

ENCODED_AT_ONCE: Final = {"cpu": 1}
"""Windows that the encoder takes together, of a batch: on a CPU one fits its caches better than several."""


class Engine:
    """A loaded model that decodes batches of windows."""

    def __init__(
        self,
        model: WhisperModel,
        name: str,
        batch_size: int | None = None,
        alignment_heads: AlignmentHeads | None = None,
        graphs: MakeGraphs | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.alignment_heads = alignment_heads or default_heads(model.dims)
        self.tokenizer = WhisperTokenizer(model.dims)
        self.batch_size = batch_size or default_batch_size(model)
        self._workspaces = Workspaces(model, self.tokenizer, partial(graphs, model.device)) if graphs else None

    @classmethod
    def load(
        cls,
        weights: Weights,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        *,
        batch_size: int | None = None,
        graphs: bool | None = None,
    ) -> Engine:
        """Put a model on a device.

        Args:
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            dtype: ``auto`` is bfloat16 on a GPU that has it, else float16; on a CPU float32, with integers where they
                are nearly as good. ``float32`` is that alone. ``int8``, for x86 CPUs, takes less memory and is less
                exact.
            batch_size: most windows computed together; by default 16 on a CPU, and on a GPU what fits into its memory,
                up to 64. Fewer once memory did not suffice.
            graphs: whether to decode by CUDA graphs; by default on each CUDA device.

        Raises:
            DeviceError: the device is not there or has no graphs, or the type is unknown.
        """
        where = resolve_device(device)
        precision = resolve_precision(dtype, where)
        make_graphs = CudaGraphs if resolve_graphs(graphs, where) else None
        model = WhisperModel.from_weights(weights, where, precision.dtype)
        if precision.fast:
            model.speed_up(int8=precision.int8)
        return cls(model, weights.name, batch_size, weights.alignment_heads, make_graphs)

    @torch.inference_mode()
    def encode(self, windows: Sequence[Audio]) -> Tensor:
        """Audio features of up to ``batch_size`` windows, shape (windows, 1500, state)."""
        at_once = ENCODED_AT_ONCE.get(self.model.device.type, self.batch_size)
        parts = [self._encode(windows[first : first + at_once]) for first in range(0, len(windows), at_once)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _encode(self, windows: Sequence[Audio]) -> Tensor:
        lengths = [len(window) for window in windows]
        mel = log_mel(pad_windows(windows, self.model.device), self.model.dims.n_mels, lengths)
        audio = -(-max(lengths) // N_SAMPLES_PER_TOKEN)
        features: Tensor = self.model.encoder(mel.to(self.model.dtype), audio)
        return features

    @torch.inference_mode()
    def detect_language(self, windows: Sequence[Audio]) -> list[LanguageDetection]:
        """The language of each window."""
        return self._in_batches(windows, self._detect_batch)

    @torch.inference_mode()
    def decode(
        self, windows: Sequence[Audio], options: DecodingOptions | Sequence[DecodingOptions]
    ) -> list[DecodingResult]:
        """One decoding of each window, with fallback, not cut into segments."""

        def decode(tasks: Sequence[WindowTask]) -> list[DecodingResult]:
            fresh = [replace(task.fresh(), options=replace(task.options, spoken_to_end=False)) for task in tasks]
            self._decode_batch(fresh, [task.row for task in fresh])
            return [task.decodings[0] for task in fresh]

        return self._in_batches(self._tasks(windows, options), decode)

    @torch.inference_mode()
    def transcribe(
        self,
        windows: Sequence[Audio],
        options: DecodingOptions | Sequence[DecodingOptions],
        groups: Sequence[Hashable] | None = None,
    ) -> list[WindowResult]:
        """Text of each window, with times in seconds from its start.

        Args:
            windows: float32 mono 16 kHz samples, at most 480,000 each.
            options: one for all windows, or one for each.
            groups: where the language is to be found out, windows of the same group (say, of one file) in one batch
                share one answer. ``None``: each window has its own.

        Raises:
            ValueError: a window is too long, or its options ask for what this model cannot do.
        """

        def transcribe(tasks: Sequence[WindowTask]) -> list[WindowResult]:
            fresh = [task.fresh() for task in tasks]
            audio = self._decode_batch(fresh, [groups[task.row] if groups else task.row for task in fresh])
            waiting = self._take_segments(fresh, audio)
            while waiting:
                audio = self._decode_batch(waiting, [task.row for task in waiting])
                waiting = self._take_segments(waiting, audio)
            return [task.result() for task in fresh]

        return self._in_batches(self._tasks(windows, options), transcribe)

    def _tasks(
        self, windows: Sequence[Audio], options: DecodingOptions | Sequence[DecodingOptions]
    ) -> list[WindowTask]:
        each = [options] * len(windows) if isinstance(options, DecodingOptions) else list(options)
        if len(each) != len(windows):
            raise ValueError(f"{len(windows)} windows need as many options, not {len(each)}")
        for one in each:
            self.tokenizer.check(one.language, one.task)
            self.tokenizer.check_suppressed(one.suppress_tokens)
        return [
            WindowTask(row, audio, one, one.language or "")
            for row, (audio, one) in enumerate(zip(windows, each, strict=True))
        ]

    def _in_batches(self, items: Sequence[T], compute: Callable[[Sequence[T]], list[R]]) -> list[R]:
        """The results of all items, batch by batch; where memory does not suffice, batches are halved from then on.

        ``compute`` may be called again for the same items, so it leaves them as they are.
        """
        results: list[R] = []
        while len(results) < len(items):
            batch = items[len(results) : len(results) + self.batch_size]
            try:
                results += compute(batch)
            except RuntimeError as error:
                full = is_out_of_memory(error)
                if full and self._workspaces:
                    self._workspaces.release()
                if len(batch) == 1 or not full:
                    raise
                self.batch_size = len(batch) // 2
                log.warning(
                    "%d windows do not fit into memory (%s): %d from now on", len(batch), error, self.batch_size
                )
            else:
                continue
            # Only here are the tensors gone that the error's traceback held.
            release_memory(self.model.device)
        return results

    def _detect_batch(self, windows: Sequence[Audio]) -> list[LanguageDetection]:
        cache = self.model.decoder.new_cache(self.encode(windows))
        return detect_languages(self.model, self.tokenizer, cache)

    def _decode_batch(self, tasks: Sequence[WindowTask], groups: Sequence[Hashable]) -> BatchAudio:
        """Add a decoding to each task, whose language is found out if it is not given; return the tasks' audio."""
        features = self.encode([task.audio for task in tasks])
        shared: KeyValueCache | None = None
        lease = self._workspaces.lease(len(tasks), self.batch_size) if self._workspaces else nullcontext()
        with lease as workspace:
            cache = self._settle_languages(tasks, groups, features, workspace)
            waiting = list(range(len(tasks)))
            while waiting:
                failed = []
                for strategy, rows in self._parts(tasks, waiting):
                    if cache is None or len(rows) < len(tasks):
                        cache = None  # Its memory is for the next one.
                        cache = shared.shared(rows) if shared else None
                        cache = cache or self._cache(features if len(rows) == len(tasks) else features[rows], workspace)
                    if shared is None and len(rows) == len(tasks):
                        shared = cache.shared(rows)
                    prompts = [self._prompt(tasks[i]) for i in rows]
                    sampled = self._decoder(strategy, cache, prompts, workspace).run()
                    cache = None
                    tried = zip(rows, prompts, sampled, strict=True)
                    failed += [i for i, prompt, one in tried if not self._accept(tasks[i], prompt, one)]
                waiting = sorted(failed)
        return BatchAudio(features, shared)

    def _parts(self, tasks: Sequence[WindowTask], waiting: Sequence[int]) -> Iterator[tuple[Strategy, list[int]]]:
        """The tasks that are decoded together: those of the same strategy, as many as memory is meant for."""
        by_strategy: dict[Strategy, list[int]] = {}
        for i in waiting:
            options = tasks[i].options
            by_strategy.setdefault(Strategy.of(options, options.attempts[tasks[i].attempt]), []).append(i)
        for strategy, rows in by_strategy.items():
            most = windows_at_once(self.model.dims, self.model.dtype.itemsize, self.batch_size, strategy.width)
            for first in range(0, len(rows), most):
                yield strategy, rows[first : first + most]

    def _cache(self, features: Tensor, workspace: Workspace | None) -> KeyValueCache:
        if workspace is None:
            return self.model.decoder.new_cache(features)
        workspace.cache.fill(self.model.decoder.keys_values(features), len(features))
        return workspace.cache

    def _decoder(
        self, strategy: Strategy, cache: KeyValueCache, prompts: Sequence[Prompt], workspace: Workspace | None
    ) -> GreedyDecoder:
        by_graphs = workspace if strategy.has_graphs else None
        if strategy.beams:
            if by_graphs:
                return GraphBeamDecoder(self.model, self.tokenizer, by_graphs, prompts, strategy)
            return BeamDecoder(self.model, self.tokenizer, SharedCache(cache, strategy.width), prompts, strategy)
        if strategy.width > 1:
            return BestOfDecoder(self.model, self.tokenizer, SharedCache(cache, strategy.width), prompts, strategy)
        if by_graphs:
            return GraphDecoder(self.model, self.tokenizer, by_graphs, prompts)
        return GreedyDecoder(self.model, self.tokenizer, cache, prompts, suppress_tokens=strategy.suppress_tokens)

    def _accept(self, task: WindowTask, prompt: Prompt, sampled: Sampled) -> bool:
        """Whether this is the last attempt, after which the best decoding is added to the task."""
        task.tried.append(decoding_of(task, prompt, sampled, self.tokenizer))
        following = next_attempt(task.attempt, task.tried, task.options)
        if following is not None:
            task.attempt = following
            if needs_fallback(task.tried[-1], task.options):
                task.fallbacks += 1
            else:
                task.searches += 1
            return False
        task.decodings.append(best_decoding(task.tried, task.options))
        task.tried.clear()
        task.attempt = 0
        return True

    def _settle_languages(
        self, tasks: Sequence[WindowTask], groups: Sequence[Hashable], features: Tensor, workspace: Workspace | None
    ) -> KeyValueCache | None:
        """Find out the languages that are not given, of which a group's windows share one.

        Returns:
            The audio's keys and values, if that took them.
        """
        unknown = [i for i, task in enumerate(tasks) if not task.language]
        if not unknown:
            return None
        cache = self._cache(features, workspace)
        detections = detect_languages(self.model, self.tokenizer, cache)
        by_group = detect_by_group([detections[i] for i in unknown], [groups[i] for i in unknown])
        for i in unknown:
            detection = by_group[groups[i]]
            tasks[i].language = detection.language
            tasks[i].language_probability = detection.probabilities[detection.language]
        return cache

    def _prompt(self, task: WindowTask) -> Prompt:
        options = task.options
        tokens = self.tokenizer.initial_tokens(options, task.language)
        reach = task.duration - SHORTEST_TAIL if options.spoken_to_end else 0.0
        return Prompt(
            tokens=tokens,
            sot_index=tokens.index(self.tokenizer.sot),
            temperature=options.attempts[task.attempt].temperature,
            timestamps=options.timestamps,
            max_tokens=options.max_tokens or self.model.dims.n_text_ctx // 2,
            seed=len(task.tried),
            draft=() if task.decodings else self.tokenizer.known(options.draft_tokens),
            patience=options.patience,
            length_penalty=options.length_penalty,
            reach=max(0, int(reach / SECONDS_PER_TIMESTAMP)),
        )

    def _take_segments(self, tasks: Sequence[WindowTask], audio: BatchAudio) -> list[WindowTask]:
        """Add the newest decodings' segments; return the tasks of which the rest is still to be decoded."""
        found = [believed(task.decodings[-1], task.options, self.tokenizer, task.duration) for task in tasks]
        rows = [i for i, task in enumerate(tasks) if task.options.word_timestamps and found[i].segments]
        if rows:
            said = {i: self._said(tasks[i], found[i].segments) for i in rows}
            times = token_times(self.model, self.alignment_heads, audio, said, self.tokenizer.eot)
            for i in rows:
                silent_since = tasks[i].silent_since - tasks[i].offset
                timed = with_words(found[i].segments, self.tokenizer, tasks[i].language, times[i], silent_since)
                found[i] = replace(found[i], segments=timed)
        return [task for task, one in zip(tasks, found, strict=True) if task.advance(one)]

    def _said(self, task: WindowTask, segments: Sequence[DecodedSegment]) -> Said:
        prompt = self.tokenizer.start_sequence(task.language, task.options.task, timestamps=False)
        text = [token for one in segments for token in one.tokens if token < self.tokenizer.eot]
        return Said(prompt, text, task.duration)


__all__ = ["Audio", "Engine"]
