"""One evaluation from start to end."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from whisper_serve.speech import SAMPLE_RATE, SpeechError, open_audio

from .corpus import Sample, read_manifest
from .errors import CorpusError
from .lineup import Entry
from .results import Outcome, Report
from .silence import generated_silence, repeated_sounds
from .systems import Progress as Advance
from .systems import System

logger = logging.getLogger(__name__)

SHORTEST_SILENCE: Final = 1.0
"""Seconds; a shorter file without speech tells nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and what the report says about how."""

    corpus: Path
    model: str
    device: str
    machine: str = ""
    languages: tuple[str, ...] = ()
    """Codes; none: all."""
    limit: int | None = None
    """Most files of each language."""
    silence: int = 0
    """Also so many seconds each of silence and noises that are made for it, and of the corpus's own."""
    fallback: bool = True


@dataclass(frozen=True, slots=True)
class Material:
    """What the systems hear."""

    spoken: tuple[Sample, ...]
    silent: tuple[Sample, ...]
    left_out: tuple[str, ...] = ()

    @property
    def translated(self) -> tuple[Sample, ...]:
        """Those with a reference translation."""
        return tuple(sample for sample in self.spoken if sample.translation)

    @property
    def steps(self) -> int:
        """Files to hear, each time anew."""
        return 2 * len(self.spoken) + len(self.translated) + len(self.silent)


def measure(console: Console, plan: Plan, entries: Sequence[Entry]) -> Report:
    """Let each system hear the corpus, one after the other, with a progress bar on the console.

    A system that fails is named in the report and does not stop the others; without the first, with which they are
    compared, there is no report.

    Raises:
        CorpusError: the corpus cannot be read, or nothing in it is in the languages.
        Exception: whatever made the first system fail.
    """
    chosen = _chosen(plan)
    with tempfile.TemporaryDirectory() as folder, _bar(console) as bar:
        material = _measured(chosen, bar)
        if plan.silence:
            material = replace(
                material, silent=(*material.silent, *_long_silence(material, Path(folder), plan.silence))
            )
        outcomes, failures = hear(bar, entries, material)
    return Report(
        model=plan.model,
        device=plan.device,
        machine=plan.machine,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        corpus=plan.corpus.name,
        decoding="with fallback" if plan.fallback else "greedily",
        spoken=material.spoken,
        translated=material.translated,
        silent=material.silent,
        left_out=material.left_out,
        outcomes=tuple(outcomes),
        failures=failures,
    )


def _long_silence(material: Material, folder: Path, seconds: int) -> Iterator[Sample]:
    if material.silent:
        yield repeated_sounds(material.silent, folder, seconds)
    yield from generated_silence(folder, seconds)


def hear(bar: Progress, entries: Sequence[Entry], material: Material) -> tuple[list[Outcome], dict[str, str]]:
    """What came of each system, and why others failed. Raises what made the first one fail."""
    outcomes: list[Outcome] = []
    failures: dict[str, str] = {}
    for entry in entries:
        try:
            outcomes.append(_outcome(bar, entry, material))
        except Exception as error:
            if not outcomes:
                raise
            logger.debug("%s failed", entry.label, exc_info=error)
            failures[entry.label] = str(error) or type(error).__name__
    return outcomes, failures


def _outcome(bar: Progress, entry: Entry, material: Material) -> Outcome:
    job = bar.add_task("", total=material.steps)

    def step(what: str) -> Advance:
        bar.update(job, description=f"{entry.label}: {what}")
        if not bar.console.is_terminal:  # where no bar is shown
            bar.console.print(f"{entry.label}: {what}", markup=False)
        return lambda files: bar.advance(job, files)

    step("loading")
    with entry.open() as system:
        return _heard(entry.label, system, material, step)


def _heard(label: str, system: System, material: Material, step: Callable[[str], Advance]) -> Outcome:
    texts = system.transcribe(material.spoken, "transcribe", step("transcribing"))
    languages = system.detect(material.spoken, step("identifying languages"))
    translations = system.transcribe(material.translated, "translate", step("translating"))
    inventions = system.transcribe(material.silent, "transcribe", step("listening to silence"))
    return Outcome(
        label=label,
        texts=tuple(texts.values),
        languages=tuple(languages.values),
        translations=tuple(translations.values),
        inventions=tuple(inventions.values),
        seconds=texts.seconds,
        problems=(*texts.problems, *languages.problems, *translations.problems, *inventions.problems),
    )


def _chosen(plan: Plan) -> list[Sample]:
    """The samples of the languages, at most so many of each; those without speech all."""
    samples = read_manifest(plan.corpus)
    spoken = {sample.language for sample in samples if not sample.silent}
    if missing := [language for language in plan.languages if language not in spoken]:
        languages = ", ".join(sorted(spoken)) or "none"
        raise CorpusError(f"nothing in {plan.corpus} is in {missing[0]!r}; its languages are {languages}")
    if not spoken:
        raise CorpusError(f"nobody speaks in {plan.corpus}: no line of it has a language and a transcript")
    counts = dict.fromkeys(spoken, 0)
    chosen = []
    for sample in samples:
        if sample.silent:
            chosen.append(sample)
        elif not plan.languages or sample.language in plan.languages:
            counts[sample.language] += 1
            if plan.limit is None or counts[sample.language] <= plan.limit:
                chosen.append(sample)
    return chosen


def _measured(samples: Sequence[Sample], bar: Progress) -> Material:
    """The samples with their lengths, without those that cannot be used.

    Of files without speech those that are damaged or very short are left out in silence: they may be so on purpose.

    Raises:
        CorpusError: no spoken file can be decoded.
    """
    spoken, silent, left_out = [], [], []
    for sample in bar.track(samples, description="reading the corpus"):
        try:
            with open_audio(sample.path) as stream:
                seconds = sum(map(len, stream)) / SAMPLE_RATE
                damaged = bool(stream.warnings)
        except SpeechError as error:
            if not sample.silent:
                left_out.append(f"{sample.name}: {error}")
            continue
        if not sample.silent:
            spoken.append(replace(sample, seconds=seconds))
        elif seconds >= SHORTEST_SILENCE and not damaged:
            silent.append(replace(sample, seconds=seconds))
    if not spoken:
        raise CorpusError(f"no spoken file can be decoded: {left_out[0]}")
    return Material(tuple(spoken), tuple(silent), tuple(left_out))


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        yield bar
