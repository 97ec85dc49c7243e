"""Whole evaluations: of systems that say what they are told to, and of the real model on our own clips."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from tests.evaluation.examples import Parrot, entry
from whisper_serve.engine import WindowResult
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.weights import Weights
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.errors import CorpusError, SystemFailed
from whisper_serve.evaluation.lineup import Setup, lineup
from whisper_serve.evaluation.run import Material, Plan, hear, measure
from whisper_serve.evaluation.scores import error_rate, total
from whisper_serve.evaluation.silence import generated_silence, write_wav
from whisper_serve.evaluation.systems import EngineSystem, OpenAIWhisper
from whisper_serve.speech import load_audio

QUIET = Console(quiet=True)
CLIP = "en-librispeech-1089-134686-0001.flac"


@pytest.fixture
def mixed(data: Path, tmp_path: Path) -> Path:
    """Three seconds of English twice, of German once with a translation, a noise, and files of no use."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("a.flac", "b.flac", "c.flac"):
        shutil.copy(data / CLIP, folder / name)
    noise, *_ = generated_silence(folder, seconds=2)
    write_wav(folder / "short.wav", load_audio(noise.path)[:8000])
    (folder / "bad.wav").write_bytes(b"no audio")
    rows = ["a.flac\ten\tone", "b.flac\ten\ttwo", "c.flac\tde\tdrei", f"{noise.path.name}\tnone\t"]
    rows += ["short.wav\tnone\t", "bad.wav\tnone\t", "bad.wav\ten\tx"]
    (folder / "manifest.tsv").write_text("\n".join(["path\tlanguage\ttranscript", *rows, ""]))
    (folder / "translations.tsv").write_text("path\tenglish_translation\nc.flac\tthree\n")
    return folder


def test_each_system_hears_all_that_is_of_use(mixed: Path) -> None:
    given = [entry("ours", Parrot()), entry("other", Parrot("Two!"))]
    report = measure(QUIET, Plan(mixed, "base", "cpu"), given)
    assert [sample.name for sample in report.spoken] == ["a.flac", "b.flac", "c.flac"]
    assert [sample.seconds for sample in report.spoken] == pytest.approx([3.27] * 3, abs=0.01)
    assert [sample.name for sample in report.silent] == ["digital-silence.wav"]
    assert report.left_out[0].startswith("bad.wav: ")
    ours, other = report.outcomes
    assert (ours.texts, ours.languages, ours.translations) == (("one", "two", "drei"), ("en", "en", "de"), ("three",))
    assert (other.texts, other.inventions) == (("Two!",) * 3, ("Two!",))
    assert ours.problems == ("a.wav was answered 500",)
    assert [score.percent for score in report.errors[1].scores] == [0, 50]


def test_languages_and_files_are_chosen(mixed: Path) -> None:
    some = measure(QUIET, Plan(mixed, "base", "cpu", languages=("en",), limit=1, silence=60), [entry("p", Parrot())])
    assert [sample.name for sample in some.spoken] == ["a.flac"]
    assert [sample.name for sample in some.silent] == [
        "digital-silence.wav",
        "all of these, again and again",
        "digital silence",
        "white noise",
        "pink noise",
        "hum",
    ]
    assert some.silent_minutes > 5


def test_a_system_that_fails_does_not_stop_the_others(mixed: Path) -> None:
    failing = entry("gone", SystemFailed("it does not answer"))
    report = measure(QUIET, Plan(mixed, "base", "cpu"), [entry("a", Parrot()), failing, entry("b", Parrot())])
    assert report.labels == ["a", "b"]
    assert report.failures == {"gone": "it does not answer"}
    with pytest.raises(SystemFailed, match="does not answer"):
        measure(QUIET, Plan(mixed, "base", "cpu"), [failing, entry("a", Parrot())])


def test_progress_is_told_where_no_bar_is_shown(mixed: Path) -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    measure(console, Plan(mixed, "base", "cpu"), [entry("ours", Parrot())])
    assert "ours: transcribing\nours: identifying languages\nours: translating\n" in console.export_text()


def test_a_language_that_is_not_there_is_named(data: Path) -> None:
    with pytest.raises(CorpusError, match=r"nothing in .* is in 'sv'; its languages are de, en, fr"):
        measure(QUIET, Plan(data, "base", "cpu", languages=("sv",)), [])


def test_a_corpus_of_nothing_is_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("path\tlanguage\ttranscript\n")
    with pytest.raises(CorpusError, match="nobody speaks"):
        measure(QUIET, Plan(tmp_path, "base", "cpu"), [])
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    (tmp_path / "manifest.tsv").write_text("path\tlanguage\ttranscript\nbad.wav\ten\tx\n")
    with pytest.raises(CorpusError, match=r"no spoken file can be decoded: bad\.wav"):
        measure(QUIET, Plan(tmp_path, "base", "cpu"), [])


def test_windows_of_all_files_fill_the_batches(tiny_weights: Weights, clips: dict[str, Sample]) -> None:
    system = EngineSystem(tiny_weights, "cpu", "float32", tokens=4)
    samples = [*clips.values()]
    done: list[float] = []
    together = system.transcribe(samples, "transcribe", done.append)
    assert sum(done) == len(samples)
    assert together.windows > len(samples)  # two of them are longer than a window
    assert together.fill is not None
    assert 0 < together.fill < 1
    alone = [system.transcribe([sample], "transcribe", done.append) for sample in samples]
    assert together.values == [one.values[0] for one in alone]
    assert together.tokens == sum(one.tokens for one in alone)


def test_full_batches_tell_the_mean_of_once(
    tiny_weights: Weights, clips: dict[str, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    system = EngineSystem(tiny_weights, "cpu", "float32", tokens=4)
    system._engine.batch_size = 4
    samples = [*clips.values()][:2]
    once = system.transcribe(samples, "transcribe", lambda _: None)
    batches: list[int] = []
    computed = system._engine.transcribe

    def counted(windows: Sequence[Audio], *rest: Any) -> list[WindowResult]:
        batches.append(len(windows))
        return computed(windows, *rest)

    monkeypatch.setattr(system._engine, "transcribe", counted)
    full = system.transcribe_full_batches(samples, "transcribe", 2)
    assert sum(batches) >= 8
    assert set(batches[:-1]) == {4}
    assert (full.values, full.tokens, full.windows) == (once.values, once.tokens, once.windows)
    assert full.fill == pytest.approx(once.fill)


@pytest.mark.weights
def test_the_real_model_is_measured(data: Path) -> None:
    entries = lineup(["engine"], Setup("trial", "cpu"), lambda _: pytest.fail("no peer was asked for"))
    report = measure(QUIET, Plan(data, "trial", "cpu", languages=("fr",), silence=60), entries)
    assert report.errors[0].scores[0].percent < 40
    assert report.identification[0]["fr"].right == 2
    assert report.invented[0] == (0, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.timeout(1800)
def test_english_errors_are_within_half_a_point_of_openai_whispers(corpus: Path, base_weights: Weights) -> None:
    """Without one reading on which openai-whisper, greedy and without fallback, loops: that would flatter us."""
    samples = [one for one in read_corpus(corpus) if one.language == "en" and one.group != "en/librivox"]
    given = [entry("ours", EngineSystem(base_weights, "cpu")), entry("theirs", OpenAIWhisper(base_weights, "cpu"))]
    with Progress(disable=True) as bar:
        outcomes, _ = hear(bar, given, Material(tuple(samples), ()))
    ours, theirs = (
        total(error_rate(one.transcript, text, "en") for one, text in zip(samples, outcome.texts, strict=True))
        for outcome in outcomes
    )
    assert ours.percent <= theirs.percent + 0.5
