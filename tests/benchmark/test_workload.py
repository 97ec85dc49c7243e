from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whisper_serve.benchmark.workload import CLIP_SECONDS, gather
from whisper_serve.evaluation.corpus import Sample, read_corpus
from whisper_serve.evaluation.errors import CorpusError
from whisper_serve.speech import SAMPLE_RATE, load_audio


def test_recordings_are_joined_with_pauses(data: Path, tmp_path: Path) -> None:
    material = gather(read_corpus(data), "fr", 11.0, tmp_path)
    assert {sample.language for sample in material.samples} == {"fr"}
    assert (len(material.samples), material.repeated) == (2, False)
    audio = [load_audio(sample.path) for sample in material.samples]
    joined = load_audio(material.joined)
    assert len(joined) == sum(map(len, audio)) + SAMPLE_RATE // 2
    assert material.joined_seconds == pytest.approx(material.seconds + 0.5)
    assert np.abs(joined[: len(audio[0])] - audio[0]).max() < 1e-3
    assert material.transcript == f"{material.samples[0].transcript} {material.samples[1].transcript}"


def test_clips_have_their_length_though_the_recording_is_shorter(data: Path, tmp_path: Path) -> None:
    material = gather(read_corpus(data), "fr", 1.0, tmp_path)
    assert {seconds: len(load_audio(path)) / SAMPLE_RATE for seconds, path in material.clips.items()} == {
        seconds: seconds for seconds in CLIP_SECONDS
    }


def test_the_order_is_always_the_same_and_recordings_repeat(data: Path, tmp_path: Path) -> None:
    samples = read_corpus(data)
    first, second = (gather(samples, "fr", 20.0, tmp_path) for _ in range(2))
    assert first.samples == second.samples
    assert first.repeated
    assert first.samples[0] == first.samples[2]


def test_only_recordings_that_are_too_long_are_no_material(clips: dict[str, Sample], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"in 'de' and at most 60 s"):
        gather([clips["de-librivox-simplicissimus.ogg"], clips["en-jfk.mp3"]], "de", 5.0, tmp_path)
