"""The report as one page that needs nothing else: tables, plots, and the texts with what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from whisper_serve.speech import language_name

from .corpus import Sample
from .plot import difference_plot, error_plot
from .results import Report
from .scores import normalized
from .tables import heading, remarks, tables


@dataclass(frozen=True, slots=True)
class Piece:
    """Words in a row that were heard as said, or that were heard in place of others."""

    same: str = ""
    removed: str = ""
    added: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    pieces: tuple[Piece, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    reference: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: tuple[Line, ...]


def page(report: Report) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        report=report,
        heading=heading(report),
        remarks=remarks(report),
        plots=[plot for plot in (error_plot(report), difference_plot(report)) if plot],
        tables=tables(report),
        sections=list(_sections(report)),
    )


def differences(reference: str, text: str, language: str) -> tuple[Piece, ...]:
    """What is the same and what is not, word by word after normalisation."""
    said, heard = normalized(reference, language).split(), normalized(text, language).split()
    if not said or not heard:
        return tuple(Piece(removed=" ".join(said), added=" ".join(heard)) for _ in range(bool(said or heard)))
    pieces = []
    for chunk in jiwer.process_words(" ".join(said), " ".join(heard)).alignments[0]:
        removed = " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx])
        added = " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx])
        pieces.append(Piece(same=removed) if chunk.type == "equal" else Piece(removed=removed, added=added))
    return tuple(pieces)


def _sections(report: Report) -> Iterator[Section]:
    for code in sorted({sample.language for sample in report.spoken}):
        numbers = [number for number, sample in enumerate(report.spoken) if sample.language == code]
        numbers.sort(key=lambda number: -sum(rates[number].errors for rates in report.rates))
        yield Section(f"{language_name(code)}: {len(numbers)} files", tuple(_spoken(report, n) for n in numbers))
    if report.translated:
        texts = [outcome.translations for outcome in report.outcomes]
        yield Section(f"Translations: {len(report.translated)} files", _plain(report.translated, texts))
    if report.silent:
        texts = [outcome.inventions for outcome in report.outcomes]
        yield Section(f"Without speech: {len(report.silent)} files", _plain(report.silent, texts))


def _spoken(report: Report, number: int) -> Line:
    sample = report.spoken[number]
    cells = []
    for outcome, rates in zip(report.outcomes, report.rates, strict=True):
        text = outcome.texts[number]
        wrong = f"{rates[number].errors} of {rates[number].length}"
        cells.append(Cell(text, differences(sample.transcript, text, sample.language), wrong))
    return Line(sample.name, sample.transcript, tuple(cells))


def _plain(samples: Sequence[Sample], texts: Sequence[Sequence[str]]) -> tuple[Line, ...]:
    return tuple(
        Line(sample.name, sample.translation or "", tuple(Cell(one[number]) for one in texts))
        for number, sample in enumerate(samples)
    )
