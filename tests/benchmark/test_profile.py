from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from whisper_serve.benchmark.profile import Cost, Profile, markdown, profile_engine


def test_phases_and_operators_of_a_transcription_are_told(small_corpus: Path) -> None:
    found = profile_engine(small_corpus, "random:tiny", "cpu", "float32", minutes=0.05, tokens=4)
    calls = {phase.name: phase.calls for phase in found.phases}
    assert calls == {"mel": 1, "encoder": 1, "audio memory": 1, "prompt": 1, "decoder step": 3, "logits": 3} | {
        "choice of tokens": 4
    }
    assert sum(phase.seconds for phase in found.phases) < found.seconds
    assert any(operator.name.startswith("aten::") for operator in found.operators)
    assert found.syncs is None
    text = markdown(found)
    assert "| encoder | 1 |" in text
    assert "The host waited" not in text


def test_waits_for_a_gpu_are_counted_for_each_step(small_corpus: Path) -> None:
    steps = (Cost("decoder step", 80, 1.0),)
    found = profile_engine(small_corpus, "random:tiny", "cpu", "float32", minutes=0.05, tokens=1)
    on_gpu: Profile = replace(found, phases=steps, syncs=10)
    assert on_gpu.syncs_per_step == 0.125
    assert "waited for the GPU 0.12 times a decoder step" in markdown(on_gpu)
    assert replace(on_gpu, phases=()).syncs_per_step is None
