"""Decoding by graphs against decoding step by step: the same results, with fewer calls of the host."""

from __future__ import annotations

import itertools
import logging
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from tests.engine.emulated_graphs import CaptureError, EmulatedGraphs
from tests.engine.test_engine import GREEDY, LONG, MIXED, load_random
from whisper_serve.engine import DecodingResult, DeviceError, Engine, workspace
from whisper_serve.engine.batch_size import windows_at_once
from whisper_serve.engine.beam_search import BeamDecoder
from whisper_serve.engine.decoding import GreedyDecoder
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.graph_decoding import GraphDecoder
from whisper_serve.engine.graphs import Graph, StepGraphs
from whisper_serve.engine.model import WhisperModel
from whisper_serve.engine.rules import TokenRules
from whisper_serve.engine.state import Prompt
from whisper_serve.engine.tokenizer import WhisperTokenizer
from whisper_serve.engine.weights import OFFICIAL_DIMENSIONS, Weights
from whisper_serve.engine.workspace import SearchWorkspace, Workspace, Workspaces

BEAMS = replace(GREEDY, beam_size=2, max_tokens=16)
# Nearly greedy: where many tokens are likely, rounding decides which of two neighbours is drawn.
SAMPLING = replace(GREEDY, temperatures=(0.1,))
# With a threshold of 0 every text is repetitive, and every temperature is tried.
FALLBACK = replace(GREEDY, temperatures=(0.0, 0.4, 1.0), logprob_threshold=None, compression_ratio_threshold=0.0)


class Graphs:
    """Makes engines that decode by emulated graphs, and has what they captured."""

    def __init__(self) -> None:
        self.backends: list[EmulatedGraphs] = []

    def engine(self, model: WhisperModel, batch_size: int = 8) -> Engine:
        return Engine(model, "graphs", batch_size, graphs=self.backend)

    def backend(self, device: torch.device) -> EmulatedGraphs:
        self.backends.append(EmulatedGraphs(device))
        return self.backends[-1]

    @property
    def captures(self) -> int:
        return sum(len(backend.graphs) for backend in self.backends)

    @property
    def replays(self) -> int:
        return sum(graph.replays for backend in self.backends for graph in backend.graphs)


@pytest.fixture
def graphs() -> Graphs:
    return Graphs()


@pytest.fixture(scope="module")
def long_engine() -> Engine:
    return Engine.load(Weights("long", LONG, load_random(LONG)), "cpu", "float32")


def assert_same(found: Sequence[DecodingResult], expected: Sequence[DecodingResult]) -> None:
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.token_logprobs == pytest.approx(theirs.token_logprobs, abs=1e-4)
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-6)
        assert (ours.language, ours.temperature, ours.finished) == (
            theirs.language,
            theirs.temperature,
            theirs.finished,
        )


@pytest.mark.parametrize("batch_size", [1, 3, 5, 8])
def test_different_rows_decode_to_the_same(
    tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs, batch_size: int
) -> None:
    found = graphs.engine(tiny_engine.model, batch_size).decode(noises, MIXED)
    assert_same(found, tiny_engine.decode(noises, MIXED))
    assert graphs.replays > graphs.captures > 0


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool, bool]]:
    """What each step was a graph for: rows, places to look back over, whether any row samples, and predicts times."""
    seen: list[tuple[int, int, bool, bool]] = []
    run = StepGraphs.run

    def noted(graphs: StepGraphs, key: tuple[int, int, bool, bool], step: Callable[[], None]) -> None:
        seen.append(key)
        run(graphs, key, step)

    monkeypatch.setattr(StepGraphs, "run", noted)
    return seen


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        ((3, 10, 20, 32, 7, 28, 15, 32), [8, 4]),
        ((5, 32, 20, 28, 5, 5, 5, 5), [8, 4, 2]),
        ((32, 5, 12, 5, 5), [5, 2, 1]),
        ((32, 32, 32), [3]),
    ],
)
def test_rows_that_are_done_leave_once_the_others_fit_into_a_smaller_graph(
    tiny_engine: Engine,
    noises: Sequence[Audio],
    graphs: Graphs,
    steps: list[tuple[int, int, bool, bool]],
    limits: Sequence[int],
    sizes: list[int],
) -> None:
    options = [replace(MIXED[row % 4], max_tokens=limit) for row, limit in enumerate(limits)]
    options[1] = replace(options[1], temperatures=(0.8,))
    windows = noises[: len(limits)]
    found = graphs.engine(tiny_engine.model, len(limits)).decode(windows, options)
    assert_same(found, tiny_engine.decode(windows, options))
    assert [rows for rows, _ in itertools.groupby(rows for rows, *_ in steps)] == sizes


def test_the_graphs_of_a_batch_serve_the_next(tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs) -> None:
    engine = graphs.engine(tiny_engine.model)
    captures = []
    for rows, options in (
        (8, GREEDY),
        (8, SAMPLING),
        (8, GREEDY),
        (3, GREEDY),
        (5, GREEDY),
        (4, SAMPLING),
        (3, GREEDY),
    ):
        windows = noises[::-1][:rows]
        found = engine.decode(windows, options)
        assert_same(found, tiny_engine.decode(windows, options))
        captures.append(graphs.captures)
    assert captures == [1, 2, 2, 3, 3, 4, 4]
    assert len(graphs.backends) == 1


def test_memory_grows_with_the_batches(tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs) -> None:
    engine = graphs.engine(tiny_engine.model)
    for rows, memories in ((1, 1), (3, 2), (4, 2), (8, 3), (2, 3)):
        assert_same(engine.decode(noises[:rows], MIXED[:rows]), tiny_engine.decode(noises[:rows], MIXED[:rows]))
        assert len(graphs.backends) == memories


def test_a_step_looks_back_over_more_places_as_texts_grow(
    long_engine: Engine, noises: Sequence[Audio], graphs: Graphs, steps: list[tuple[int, int, bool, bool]]
) -> None:
    engine = graphs.engine(long_engine.model)
    options = [
        replace(GREEDY, max_tokens=150),
        replace(GREEDY, max_tokens=40, prompt="names such as Nemo and Aronnax " * 10),
        replace(GREEDY, max_tokens=448, timestamps=False),
    ]
    assert_same(engine.decode(noises[:3], options), long_engine.decode(noises[:3], options))
    assert_same(engine.decode(noises[:1], options[0]), long_engine.decode(noises[:1], options[0]))
    assert {span for _, span, *_ in steps} == {64, 128, 256, 448}


def test_sampling_and_fallback_are_the_same(tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs) -> None:
    options = [GREEDY, FALLBACK, SAMPLING, replace(FALLBACK, temperatures=(0.2, 0.9)), replace(FALLBACK, language=None)]
    found = graphs.engine(tiny_engine.model).transcribe(noises[:5], options)
    expected = tiny_engine.transcribe(noises[:5], options)
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours.decodings, theirs.decodings)
        assert ours.fallbacks == theirs.fallbacks
        assert [one.tokens for one in ours.segments] == [one.tokens for one in theirs.segments]
    assert graphs.replays > 0


def test_places_where_a_row_was_urged_on_are_the_same(
    tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The random model never stops by itself: here it closes a segment after each word, and would then end the text."""
    tokenizer = tiny_engine.tokenizer
    forbid = TokenRules.forbid

    def terse(rules: TokenRules, logits: torch.Tensor) -> None:
        logits[:, tokenizer.timestamp_begin :] += 50.0 * (~rules._last)[:, None]
        logits[:, tokenizer.eot] += 1e4 * rules._between
        forbid(rules, logits)

    monkeypatch.setattr(TokenRules, "forbid", terse)
    prompts = [
        Prompt(tokenizer.initial_tokens(one, "en"), 0, 0.0, one.timestamps, 24, 0, reach)
        for one, reach in ((GREEDY, 1500), (GREEDY, 0), (replace(GREEDY, timestamps=False), 1500), (MIXED[1], 1500))
    ]
    model = tiny_engine.model
    with torch.inference_mode():
        features = tiny_engine.encode(noises[:4])
        expected = GreedyDecoder(model, tokenizer, model.decoder.new_cache(features), prompts).run()
        workspaces = Workspaces(model, tokenizer, lambda: graphs.backend(model.device))
        for _ in range(2):
            with workspaces.lease(4, most=8) as workspace:
                workspace.cache.fill(model.decoder.keys_values(features), 4)
                found = GraphDecoder(model, tokenizer, workspace, prompts).run()
            assert [(one.tokens, one.finished, one.urges) for one in found] == [
                (one.tokens, one.finished, one.urges) for one in expected
            ]
    assert [bool(one.urges) for one in expected] == [True, False, False, True]
    assert graphs.replays > 0


SEARCHES = (
    BEAMS,
    replace(BEAMS, patience=2.0, max_tokens=9),
    replace(BEAMS, timestamps=False, length_penalty=1.0),
    replace(BEAMS, prompt="une histoire", language="fr", max_tokens=20),
    replace(BEAMS, patience=0.2),
)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("width", [2, 5])
def test_searches_find_the_same(
    terse_weights: Weights, noises: Sequence[Audio], graphs: Graphs, width: int, batch_size: int
) -> None:
    eager = Engine.load(terse_weights, "cpu", "float32")
    options = [replace(SEARCHES[row % len(SEARCHES)], beam_size=width) for row in range(8)]
    engine = graphs.engine(eager.model, batch_size)
    expected = eager.decode(noises, options)
    captures = []
    for _ in range(2):
        assert_same(engine.decode(noises, options), expected)
        captures.append(graphs.captures)
    assert captures[0] == captures[1] > 0, "the second time all graphs are there"
    assert graphs.replays > graphs.captures
    assert any(one.finished for one in expected)


def test_memory_of_searches_grows_with_what_is_searched(
    tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs
) -> None:
    engine = graphs.engine(tiny_engine.model)
    engine.decode(noises, GREEDY)
    for windows, captured in ((1, True), (1, False), (3, True), (2, True), (4, False), (6, True), (2, True)):
        before = graphs.captures
        found = engine.decode(noises[:windows], BEAMS)
        assert_same(found, tiny_engine.decode(noises[:windows], BEAMS))
        assert (graphs.captures > before) is captured, windows


@pytest.mark.parametrize(("width", "windows"), [(2, 53), (3, 45), (4, 39), (5, 35)])
def test_searches_have_no_more_memory_than_a_batch_is_meant_for(
    monkeypatch: pytest.MonkeyPatch, width: int, windows: int
) -> None:
    monkeypatch.setattr(workspace, "DecodingState", Mock())  # It is small, and cannot be had without memory.
    large = OFFICIAL_DIMENSIONS["large-v3"]
    assert windows_at_once(large, 2, 64, width) == windows
    model = Mock(dims=large, dtype=torch.bfloat16, device=torch.device("meta"))
    batch = Workspace(model, WhisperTokenizer(large), 64, 64, StepGraphs(Mock()), StepGraphs(Mock()))
    rooms = [batch.search(width, searched).windows for searched in (1, 3, 30, 33, windows)]
    assert rooms == [1, 4, 32, windows, windows]
    cache = batch.search(width, windows).cache
    keys_values = sum(tensor.nbytes for tensor in (*cache.self_keys, *cache.self_values))
    assert keys_values == windows * width * 2 * 32 * 448 * 1280 * 2


def test_there_is_memory_for_one_number_of_beams_at_a_time(
    tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[SearchWorkspace]] = []
    make = SearchWorkspace.__init__

    def noted(memory: SearchWorkspace, *arguments: Any) -> None:
        assert not any(each() for each in made), "that of another number is still there"
        made.append(weakref.ref(memory))
        make(memory, *arguments)

    monkeypatch.setattr(SearchWorkspace, "__init__", noted)
    engine = graphs.engine(tiny_engine.model)
    for widths, count in (((2, 2), 1), ((2, 2), 1), ((5, 5), 2), ((2, 5, 2, 3), 5), ((3,), 5)):
        options = [replace(BEAMS, beam_size=width) for width in widths]
        windows = noises[: len(options)]
        assert_same(engine.decode(windows, options), tiny_engine.decode(windows, options))
        assert len(made) == count, widths  # The larger batch has a workspace of its own.


def test_what_fails_is_searched_for_by_graphs(tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs) -> None:
    improbable = replace(FALLBACK, compression_ratio_threshold=None, logprob_threshold=0.0, no_speech_threshold=None)
    options = [improbable, GREEDY, replace(GREEDY, temperatures=(0.0, 0.4), search_threshold=0.0), improbable]
    found = graphs.engine(tiny_engine.model).transcribe(noises[:4], options)
    expected = tiny_engine.transcribe(noises[:4], options)
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours.decodings, theirs.decodings)
        assert ours.fallbacks == theirs.fallbacks
    assert len(graphs.backends) == 2, "one for greedy steps and one for searches"


def test_where_a_search_cannot_be_captured_greedy_rows_have_graphs_all_the_same(
    tiny_engine: Engine,
    noises: Sequence[Audio],
    graphs: Graphs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    offers = BeamDecoder._offers

    def waiting(decoder: BeamDecoder, logits: torch.Tensor) -> torch.Tensor:
        logits[logits.isnan()] = 0.0
        return offers(decoder, logits)

    monkeypatch.setattr(BeamDecoder, "_offers", waiting)
    options = [BEAMS, GREEDY] * 4
    with caplog.at_level(logging.WARNING):
        assert_same(graphs.engine(tiny_engine.model).decode(noises, options), tiny_engine.decode(noises, options))
    assert len(caplog.records) == 1
    assert graphs.captures > 0


def test_threads_take_turns(tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs) -> None:
    engine = graphs.engine(tiny_engine.model)
    batches = [(noises[first:], MIXED[first:]) for first in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: engine.decode(*batch), batches))
    for ours, batch in zip(found, batches, strict=True):
        assert_same(ours, tiny_engine.decode(*batch))


def test_64_windows_of_all_lengths_are_the_same(tiny_engine: Engine, graphs: Graphs) -> None:
    generator = np.random.default_rng(1)
    lengths = np.linspace(1_600, 480_000, 64, dtype=int)
    generator.shuffle(lengths)
    windows = [(0.1 * generator.standard_normal(length)).astype(np.float32) for length in lengths]
    options = [MIXED[row % len(MIXED)] for row in range(64)]
    found = graphs.engine(tiny_engine.model, batch_size=64).decode(windows, options)
    assert_same(found, tiny_engine.decode(windows, options))


def test_batches_that_do_not_fit_into_memory_are_halved(
    tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = EmulatedGraphs.capture
    failures = iter(range(2))

    def full(backend: EmulatedGraphs, step: Callable[[], None]) -> Graph:
        if next(failures, None) is not None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return capture(backend, step)

    engine = graphs.engine(tiny_engine.model)
    monkeypatch.setattr(EmulatedGraphs, "capture", full)
    assert_same(engine.decode(noises, MIXED), tiny_engine.decode(noises, MIXED))
    assert engine.batch_size == 2
    assert len(graphs.backends) == 3, "the memory of the larger batches was given up"


def test_one_window_that_does_not_fit_leaves_memory_to_the_next(
    tiny_engine: Engine, noises: Sequence[Audio], graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(backend: EmulatedGraphs, step: Callable[[], None]) -> Graph:
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine = graphs.engine(tiny_engine.model)
    with monkeypatch.context() as patched:
        patched.setattr(EmulatedGraphs, "capture", full)
        with pytest.raises(torch.OutOfMemoryError):
            engine.decode(noises[:1], GREEDY)
    assert_same(engine.decode(noises[:1], GREEDY), tiny_engine.decode(noises[:1], GREEDY))
    assert len(graphs.backends) == 2


def test_where_a_step_cannot_be_captured_decoding_goes_on_without(
    tiny_engine: Engine,
    noises: Sequence[Audio],
    graphs: Graphs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    forbid = TokenRules.forbid

    def waiting(rules: TokenRules, logits: torch.Tensor) -> None:
        logits[logits.isnan()] = 0.0
        forbid(rules, logits)

    monkeypatch.setattr(TokenRules, "forbid", waiting)
    engine = graphs.engine(tiny_engine.model, 3)
    with caplog.at_level(logging.WARNING):
        assert_same(engine.decode(noises, MIXED), tiny_engine.decode(noises, MIXED))
    assert [record.message.split(", ")[0] for record in caplog.records] == ["decoding goes on without CUDA graphs"]
    assert graphs.captures == 0


def test_graphs_need_a_gpu(tiny_weights: Weights) -> None:
    with pytest.raises(DeviceError, match="graphs are for CUDA devices, not 'cpu'"):
        Engine.load(tiny_weights, "cpu", graphs=True)


def test_a_capture_changes_nothing_and_a_replay_acts_on_the_same_memory() -> None:
    memory = torch.zeros(3)
    addends = [torch.ones(3)]

    def step() -> None:
        memory[1:].add_(2 * addends[0][1:])

    graph = EmulatedGraphs(memory.device).capture(step)
    assert memory.tolist() == [0, 0, 0]
    graph.replay()
    addends[0].fill_(5)
    graph.replay()
    assert memory.tolist() == [0, 12, 12]
    addends.clear()
    with pytest.raises(AssertionError, match="memory that is gone"):
        graph.replay()


@pytest.mark.parametrize(
    "wait",
    [
        lambda memory: memory.tolist(),
        lambda memory: memory[0].item(),
        lambda memory: memory.nonzero(),
        lambda memory: memory[memory > 0],
        lambda memory: bool(memory[0]),
        lambda memory: memory[[0, 1]],
        lambda memory: torch.tensor([1.0]),
    ],
    ids=range(7),
)
def test_a_capture_refuses_what_waits_for_the_device(wait: Callable[[torch.Tensor], object]) -> None:
    memory = torch.zeros(3)

    def step() -> None:
        wait(memory)

    with pytest.raises(CaptureError, match="a capture refuses"):
        EmulatedGraphs(memory.device).capture(step)
