"""The worker of other projects' systems, with what of them is in this environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import WhisperForConditionalGeneration

from tests.tiny import TINY
from whisper_serve.benchmark.huggingface_folder import write_folder
from whisper_serve.benchmark.process import Worker
from whisper_serve.benchmark.systems import PEER
from whisper_serve.engine.weights import Weights
from whisper_serve.engine.weights.huggingface import read_folder
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.scores import error_rate
from whisper_serve.evaluation.silence import write_wav
from whisper_serve.speech import load_audio


def settings(folder: Path) -> dict[str, Any]:
    shared = {"device": "cpu", "dtype": "float32", "batch": 0, "language": "en", "threads": 1}
    return {"kind": "transformers", "folder": str(folder), **shared}


def test_a_folder_holds_the_model_that_was_written(tiny_weights: Weights, tmp_path: Path) -> None:
    write_folder(tiny_weights, tmp_path)
    again = read_folder(tmp_path)
    assert again.dimensions == TINY
    assert all(bool((again.tensors[name] == tensor).all()) for name, tensor in tiny_weights.tensors.items())
    loaded: Any = WhisperForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not loaded[1]["missing_keys"]
    assert not loaded[1]["unexpected_keys"]


@pytest.mark.weights
def test_transformers_says_what_was_said(base_weights: Weights, clips: dict[str, Sample], tmp_path: Path) -> None:
    write_folder(base_weights, tmp_path)
    clip = clips["en-jfk.mp3"]
    write_wav(tmp_path / "clip.wav", load_audio(clip.path))
    worker = Worker([sys.executable, "-I", str(PEER), json.dumps(settings(tmp_path))], 1)
    try:
        answer = worker.ask([tmp_path / "clip.wav"])
    finally:
        worker.close()
    assert error_rate(clip.transcript, answer.work.texts[0], "en").errors == 0
    assert answer.work.seconds > 0
    assert answer.peak_rss > 100_000_000
