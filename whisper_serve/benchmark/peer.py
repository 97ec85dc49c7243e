"""faster-whisper as a system of an evaluation: the benchmark's worker, in the environment of the peers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from whisper_serve.benchmark.errors import BenchmarkError
from whisper_serve.benchmark.process import Worker
from whisper_serve.benchmark.protocol import Work
from whisper_serve.benchmark.systems import SYSTEMS, Setup, command
from whisper_serve.cores import usable_cores
from whisper_serve.engine import FALLBACK_TEMPERATURES
from whisper_serve.engine.options import Task
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.errors import BadSystem, SystemFailed
from whisper_serve.evaluation.systems import Heard, Progress

FASTER_WHISPER: Final = "faster-whisper"
KIND: Final = {"cpu": f"{FASTER_WHISPER}-float32", "cuda": f"{FASTER_WHISPER}-float16"}
"""What the plain name means on a device."""


class FasterWhisper:
    """A running worker, which is asked file by file."""

    def __init__(self, worker: Worker, *, fallback: bool) -> None:
        self._worker = worker
        self._settings: dict[str, Any] = {"temperatures": FALLBACK_TEMPERATURES} if fallback else {}

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        works = [self._ask(sample, progress, task=task, language=sample.told_language) for sample in samples]
        return Heard([text for work in works for text in work.texts], sum(work.seconds for work in works))

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        works = [self._ask(sample, progress, detect_only=True, language=None) for sample in samples]
        return Heard([code for work in works for code in work.languages or ()], sum(work.seconds for work in works))

    def _ask(self, sample: Sample, progress: Progress, **settings: Any) -> Work:
        try:
            work = self._worker.ask([sample.path], **self._settings, **settings).work
        except BenchmarkError as error:
            raise SystemFailed(str(error)) from error
        progress(1)
        return work


@contextmanager
def faster_whisper(name: str, model: str, device: str, peers: Path, *, fallback: bool) -> Iterator[FasterWhisper]:
    """The system of a name, such as faster-whisper or faster-whisper-int8-batch8, on the model's own weights.

    Raises:
        BadSystem: the name is not known, or it cannot run here.
    """
    system = SYSTEMS.get(KIND[device.partition(":")[0]] if name == FASTER_WHISPER else name)
    if system is None or system.kind != FASTER_WHISPER:
        known = ", ".join(one.name for one in SYSTEMS.values() if one.kind == FASTER_WHISPER)
        raise BadSystem(f"unknown system {name}: there are {FASTER_WHISPER}, {known}")
    with tempfile.TemporaryDirectory() as store:
        setup = Setup(model, device, usable_cores(), tokens=None, peers=peers, store=Path(store))
        try:
            worker = Worker(command(system, setup), setup.threads)
        except BenchmarkError as error:
            raise BadSystem(str(error)) from error
        try:
            yield FasterWhisper(worker, fallback=fallback)
        finally:
            worker.close()
