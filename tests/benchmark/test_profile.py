from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from whisper_serve.benchmark.profile import Cost, Profile, markdown, profile_engine, short_name


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


@pytest.mark.gpu
def test_a_gpus_kernels_are_told(small_corpus: Path) -> None:
    found = profile_engine(small_corpus, "random:tiny", "cuda", "auto", minutes=0.05, tokens=20)
    assert {"mel", "encoder", "audio memory", "prompt", "decoder step"} <= {phase.name for phase in found.phases}
    assert found.busy is not None
    assert found.busy <= 1.01 * found.seconds * 64
    assert sum(phase.seconds for phase in found.phases) > 0.5 * found.busy
    assert not any(kernel.name.startswith("aten::") for kernel in found.operators)
    assert found.syncs_per_step is not None
    assert found.syncs_per_step < 1


def test_kernels_are_called_without_their_types() -> None:
    layer_norm = "void at::native::(anonymous namespace)::layer_norm_kernel<c10::BFloat16, float>(int, float const*)"
    assert short_name(layer_norm) == "layer_norm_kernel"
    assert short_name("nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_bias_TNT") == (
        "nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_bias_TNT"
    )
    assert short_name("Memcpy HtoD (Pinned -> Device)") == "Memcpy HtoD"
    assert short_name("quantized::linear_dynamic") == "quantized::linear_dynamic"


def test_waits_for_a_gpu_are_counted_for_each_step(small_corpus: Path) -> None:
    steps = (Cost("decoder step", 80, 1.0),)
    found = profile_engine(small_corpus, "random:tiny", "cpu", "float32", minutes=0.05, tokens=1)
    on_gpu: Profile = replace(found, phases=steps, syncs=10)
    assert on_gpu.syncs_per_step == 0.125
    assert "waited for the GPU 0.12 times a decoder step" in markdown(on_gpu)
    assert replace(on_gpu, phases=()).syncs_per_step is None
