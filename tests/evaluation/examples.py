"""Samples, systems and a report as an evaluation gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from whisper_serve.engine.options import Task
from whisper_serve.evaluation.corpus import NO_SPEECH, Sample
from whisper_serve.evaluation.lineup import Entry
from whisper_serve.evaluation.results import Outcome, Report
from whisper_serve.evaluation.systems import Heard, Progress, System


def sample(
    name: str, language: str, transcript: str = "", translation: str | None = None, seconds: float = 30.0
) -> Sample:
    return Sample(name, Path(name), language, transcript, translation, seconds)


SPOKEN = (
    sample("en/a.wav", "en", "The cat sat on the mat."),
    sample("en/b.wav", "en", "All is well <here>.", seconds=40.0),
    sample("de/c.wav", "de", "Alles ist gut.", "All is well with us.", seconds=20.0),
)
SILENT = (sample("hum.wav", NO_SPEECH),)


def outcome(label: str, texts: tuple[str, str, str], *, invented: str = "", seconds: float = 9.0) -> Outcome:
    return Outcome(label, texts, ("en", "nl", "de"), ("All is well with us.",), (invented,), seconds)


OURS = outcome("engine", ("the cat sat on the mat", "All is well <here>", "Alles ist gut"))
OTHER = outcome(
    "other <1>",
    ("the hat sat on the", "all is well here all is well here all is well here", "Alles is gut"),
    invented="Thank you for watching",
    seconds=45.0,
)


def report(*outcomes: Outcome, failures: dict[str, str] | None = None) -> Report:
    return Report(
        model="base",
        device="cpu",
        machine="Abacus 3000",
        date="2026-01-02T03:04:05+00:00",
        corpus="recordings",
        decoding="greedily",
        spoken=SPOKEN,
        translated=SPOKEN[2:],
        silent=SILENT,
        left_out=("en/d.wav: no audio",),
        outcomes=outcomes,
        failures=failures or {},
    )


class Parrot:
    """Says of each file its transcript, or always the same."""

    def __init__(self, says: str | None = None) -> None:
        self._says = says

    def transcribe(self, samples: Sequence[Sample], task: Task, progress: Progress) -> Heard:
        progress(len(samples))
        if task == "translate":
            return Heard([one.translation or "" for one in samples], 1.0)
        return Heard([one.transcript if self._says is None else self._says for one in samples], 1.0)

    def detect(self, samples: Sequence[Sample], progress: Progress) -> Heard:
        progress(len(samples))
        return Heard([one.language for one in samples], 1.0, problems=("a.wav was answered 500",))


def entry(label: str, system: System | Exception) -> Entry:
    """A system that starts, or that fails when it should."""

    @contextmanager
    def start() -> Iterator[System]:
        if isinstance(system, Exception):
            raise system
        yield system

    return Entry(label, start)
