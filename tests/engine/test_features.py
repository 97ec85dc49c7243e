from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from tests.engine.conftest import openai_mel
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.features import log_mel, pad_windows


@pytest.mark.parametrize("n_mels", [80, 128])
def test_a_batch_of_mels_equals_openai_whispers_one_by_one(noises: Sequence[Audio], n_mels: int) -> None:
    ours = log_mel(pad_windows(noises, torch.device("cpu")), n_mels, [len(window) for window in noises])
    theirs = torch.stack([openai_mel(window, n_mels) for window in noises])
    assert ours.shape == (len(noises), n_mels, 3000)
    assert (ours - theirs).abs().max() < 1e-4
