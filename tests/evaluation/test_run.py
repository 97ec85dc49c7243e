"""A whole evaluation of the real model on our own clips."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import CorpusError, read_corpus
from whisper_serve.evaluation.report import report_word_errors
from whisper_serve.evaluation.run import evaluate
from whisper_serve.evaluation.systems import EngineSystem, OpenAIWhisper, System

pytestmark = pytest.mark.weights


def test_a_language_that_is_not_there_is_named(data: Path) -> None:
    with pytest.raises(CorpusError, match=r"nothing in .* is in 'sv'; its languages are de, en, fr"):
        evaluate(Console(quiet=True), data, "random:tiny", "cpu", "sv", compare=False)


def test_the_report_has_all_its_parts(data: Path) -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    evaluate(console, data, "trial", "cpu", "fr", compare=False)
    text = console.export_text()
    assert "Word error rate, fr: 2 files" in text
    assert re.search(r"all +│ 10/10 \(100 %\)", text)
    assert "fr-common-voice-17732750.mp3 (fr → en)" in text
    assert "de-common-voice-18982556.mp3 (de → en)" in text


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_english_errors_are_within_half_a_point_of_openai_whispers(corpus: Path, base_weights: Weights) -> None:
    """Without one reading on which openai-whisper, greedy and without fallback, loops: that would flatter us."""
    samples = [sample for sample in read_corpus(corpus) if sample.group != "en/librivox"]
    systems: list[System] = [EngineSystem(base_weights, "cpu"), OpenAIWhisper(base_weights, "cpu")]
    rates = report_word_errors(Console(width=120), systems, samples, "en")
    assert rates["whisper-serve"].percent <= rates["openai-whisper"].percent + 0.5
