"""One evaluation from start to end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from whisper_serve.engine import resolve_device
from whisper_serve.engine.weights import load_weights

from .corpus import CorpusError, Sample, read_corpus
from .report import report_languages, report_translations, report_word_errors
from .systems import EngineSystem, OpenAIWhisper, System

TRANSLATED: Final = ("fr", "de")
"""Languages of which one file each is translated."""
SHORT_CHARACTERS: Final = 300
"""A transcript of half a minute."""


def evaluate(
    console: Console, corpus: Path, model: str, device: str, language: str, *, dtype: str = "auto", compare: bool
) -> None:
    """Print word errors, language identification and translations of a model over a corpus.

    Args:
        language: code of the language whose word errors are measured.
        dtype: number type of this engine; openai-whisper computes in float32.
        compare: also run openai-whisper on the same weights.

    Raises:
        CorpusError: the corpus cannot be read, or nothing in it is in ``language``.
        WeightsError: the model cannot be loaded.
    """
    samples = read_corpus(corpus)
    if not any(sample.language == language for sample in samples):
        spoken = ", ".join(sorted({sample.language for sample in samples}))
        raise CorpusError(f"nothing in {corpus} is in {language!r}; its languages are {spoken}")
    where = str(resolve_device(device))
    weights = load_weights(model)
    systems: list[System] = [EngineSystem(weights, where, dtype)]
    if compare:
        systems.append(OpenAIWhisper(weights, where))
    console.print(f"Model {weights.name} on {where}; corpus of {len(samples)} files at {corpus}")
    report_word_errors(console, systems, samples, language)
    report_languages(console, systems, samples)
    report_translations(console, systems, [one for code in TRANSLATED for one in _to_translate(samples, code)])


def _to_translate(samples: Sequence[Sample], language: str) -> list[Sample]:
    """The longest sample of a language that has a reference translation, else the longest short one."""
    spoken = [sample for sample in samples if sample.language == language]
    referenced = [sample for sample in spoken if sample.translation]
    short = [sample for sample in spoken if len(sample.transcript) <= SHORT_CHARACTERS]
    return sorted(referenced or short, key=lambda sample: len(sample.transcript))[-1:]
