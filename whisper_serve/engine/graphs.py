"""CUDA graphs: work that was recorded once and that a GPU then repeats on its own, for one call of the host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

import torch

from .devices import is_out_of_memory
from .phases import DECODER_STEP, phase

log = logging.getLogger(__name__)


class Graph(Protocol):
    """What was recorded."""

    def replay(self) -> None:
        """Do it once more, on the same memory, with the numbers of the host as they were."""


class GraphBackend(Protocol):
    """Records graphs, of which only one may run at a time."""

    def capture(self, function: Callable[[], None]) -> Graph:
        """Record what a function would have the device do, without doing it.

        All memory that the function uses must stay: a graph knows it by its address.

        Raises:
            RuntimeError: the function waits for the device, or does something else that no graph can repeat.
        """


MakeGraphs = Callable[[torch.device], GraphBackend]


class CudaGraphs:
    """Graphs of one GPU, which share the memory of what they compute on the way."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # of PyTorch

    def capture(self, function: Callable[[], None]) -> Graph:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        with torch.cuda.stream(self._stream):
            # Other threads may allocate memory or wait for the GPU meanwhile.
            graph.capture_begin(self._pool, capture_error_mode="thread_local")
            try:
                function()
            except BaseException:
                with suppress(RuntimeError):
                    graph.capture_end()
                raise
            graph.capture_end()
        return graph


class StepGraphs:
    """The graphs of steps over the same memory, each captured once it was needed for the first time."""

    def __init__(self, make_backend: Callable[[], GraphBackend]) -> None:
        self._make_backend = make_backend
        self._backend: GraphBackend | None = None
        self._graphs: dict[Hashable, Graph] = {}
        self._refused = False

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Do a step: by its graph or, the first time, by calling it.

        Steps of the same ``key`` must do the same, but for the numbers in the memory that they use. Where one cannot be
        captured, all go on by being called.
        """
        if key in self._graphs:
            self._replay(key)
            return
        step()
        if not self._refused:
            self._capture(key, step)

    def clear(self) -> None:
        """Forget all graphs: the memory that they use is about to go."""
        self._graphs.clear()
        # The memory that graphs share goes with the last of them, and cannot be had again.
        self._backend = None

    @phase(DECODER_STEP)
    def _replay(self, key: Hashable) -> None:
        self._graphs[key].replay()

    def _capture(self, key: Hashable, step: Callable[[], None]) -> None:
        try:
            self._backend = self._backend or self._make_backend()
            self._graphs[key] = self._backend.capture(step)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._refused = True
            log.warning("decoding goes on without CUDA graphs, because a step could not be captured: %s", error)
