"""Counting GPUs."""

from __future__ import annotations

import pytest
import torch

from whisper_serve.torchserve.gpus import visible_gpus


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the next test counts it")
def test_none_without_a_driver() -> None:
    assert visible_gpus({}) == 0
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_hidden_ones_do_not_count() -> None:
    assert visible_gpus({}) >= 1
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == 1
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == 0
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == 0
