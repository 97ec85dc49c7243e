"""Runs systems over samples and prints what came of it as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from whisper_serve.speech import SAMPLE_RATE, load_audio

from .corpus import Sample
from .scores import Accuracy, ErrorRate, accuracies, error_rate, total
from .systems import Heard, Progress, System


def report_word_errors(
    console: Console, systems: Sequence[System], samples: Sequence[Sample], language: str
) -> dict[str, ErrorRate]:
    """Word error rate of each system over the samples of ``language``, by folder and in all; returns the latter."""
    spoken = [sample for sample in samples if sample.language == language]
    seconds = sum(len(load_audio(sample.path)) for sample in spoken) / SAMPLE_RATE
    heard = _run(console, systems, spoken, lambda system: partial(system.transcribe, spoken, "transcribe"))
    rates = {
        name: [error_rate(sample.transcript, text, language) for sample, text in zip(spoken, one.values, strict=True)]
        for name, one in heard.items()
    }
    table = Table(title=f"Word error rate, {language}: {len(spoken)} files, {seconds / 60:.1f} minutes, greedy")
    _columns(table, "folder", "files", *(f"{name} %" for name in heard))
    for group in sorted({sample.group for sample in spoken}):
        members = [number for number, sample in enumerate(spoken) if sample.group == group]
        table.add_row(group, str(len(members)), *(_percent(total(one[i] for i in members)) for one in rates.values()))
    table.add_section()
    table.add_row("all", str(len(spoken)), *(_percent(total(one)) for one in rates.values()))
    table.add_row("× real time", "", *(f"{seconds / one.seconds:.1f}" for one in heard.values()))
    console.print(table)
    return {name: total(one) for name, one in rates.items()}


def report_languages(console: Console, systems: Sequence[System], samples: Sequence[Sample]) -> None:
    """How often each system finds out the language, for each language."""
    heard = _run(console, systems, samples, lambda system: partial(system.detect, samples))
    spoken = [sample.language for sample in samples]
    scores = {name: accuracies(zip(spoken, one.values, strict=True)) for name, one in heard.items()}
    table = Table(title=f"Language identification: {len(samples)} files")
    _columns(table, "language", *(title for name in heard for title in (name, "taken for")))
    for language in sorted(set(spoken)):
        table.add_row(language, *(cell for score in scores.values() for cell in _accuracy(score[language])))
    table.add_section()
    table.add_row("all", *(cell for score in scores.values() for cell in (_share(*score.values()), "")))
    console.print(table)


def report_translations(console: Console, systems: Sequence[System], samples: Sequence[Sample]) -> None:
    """Each system's English for some samples, beside what was said and, where there is one, the reference."""
    heard = _run(console, systems, samples, lambda system: partial(system.transcribe, samples, "translate"))
    for number, sample in enumerate(samples):
        table = Table("", f"{sample.name} ({sample.language} → en)", title="Translation")
        table.add_row("said", sample.transcript)
        for name, one in heard.items():
            table.add_row(name, one.values[number].strip())
        if sample.translation:
            table.add_row("reference", sample.translation)
        console.print(table)


def _run(
    console: Console,
    systems: Sequence[System],
    samples: Sequence[Sample],
    task: Callable[[System], Callable[[Progress], Heard]],
) -> dict[str, Heard]:
    """Let each system do the task, with a progress bar over the samples."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    heard = {}
    with ProgressBar(*columns, console=console, transient=True) as bar:
        for system in systems:
            job = bar.add_task(system.name, total=len(samples))
            heard[system.name] = task(system)(partial(bar.advance, job))
    return heard


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="left" if title == "taken for" else "right")


def _percent(rate: ErrorRate) -> str:
    return f"{rate.percent:.2f}"


def _accuracy(score: Accuracy) -> tuple[str, str]:
    wrong = ", ".join(f"{code} {number}" for code, number in sorted(score.taken_for.items()))
    return _share(score), wrong


def _share(*scores: Accuracy) -> str:
    right, files = sum(score.right for score in scores), sum(score.files for score in scores)
    return f"{right}/{files} ({100 * right / files:.0f} %)" if files else "–"
