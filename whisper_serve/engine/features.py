"""Log-mel spectrograms of a batch of windows, on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from whisper.audio import HOP_LENGTH, N_FFT, N_SAMPLES, mel_filters

from .phases import phase

MEL_FLOOR: Final = 1e-10
DYNAMIC_RANGE: Final = 8.0
"""Decades kept below a window's loudest bin."""


def pad_windows(windows: Sequence[npt.NDArray[np.float32]], device: torch.device) -> torch.Tensor:
    """Stack windows of up to 480,000 samples into one tensor of shape (windows, 480000), zeros behind each.

    Raises:
        ValueError: a window is longer than 30 s or not one-dimensional.
    """
    padded = torch.empty(len(windows), N_SAMPLES, pin_memory=device.type == "cuda")
    for row, samples in enumerate(windows):
        if samples.ndim != 1 or len(samples) > N_SAMPLES:
            raise ValueError(f"a window is at most {N_SAMPLES} mono samples, not of shape {samples.shape}")
        padded[row, : len(samples)] = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
        padded[row, len(samples) :] = 0.0
    return padded.to(device, non_blocking=True)


@phase("mel")
def log_mel(audio: torch.Tensor, n_mels: int, lengths: Sequence[int]) -> torch.Tensor:
    """Log-mel spectrogram as openai-whisper computes it (``log_mel_spectrogram``, ``pad_or_trim``).

    Args:
        audio: float32, 16 kHz, shape (windows, 480000).
        n_mels: 80, or 128 for large-v3 and turbo.
        lengths: samples of each window that are not padding. What is behind them is 0 after scaling, as where
            openai-whisper transcribes, and not what silence would be: texts are better for it.

    Returns:
        float32, shape (windows, n_mels, 3000); each window is scaled by its own loudest bin.
    """
    window = torch.hann_window(N_FFT, device=audio.device)
    stft = torch.stft(audio, N_FFT, HOP_LENGTH, window=window, return_complex=True)
    power = stft[..., :-1].abs().square()
    mel = mel_filters(audio.device, n_mels) @ power
    log_spec = mel.clamp_(min=MEL_FLOOR).log10_()
    loudest = log_spec.amax(dim=(-2, -1), keepdim=True)
    scaled = torch.maximum(log_spec, loudest - DYNAMIC_RANGE).add_(4.0).div_(4.0)
    frames = torch.tensor(lengths).floor_divide_(HOP_LENGTH).to(audio.device, non_blocking=True)
    padding = torch.arange(scaled.shape[-1], device=audio.device) >= frames[:, None]
    return scaled.masked_fill_(padding[:, None], 0.0)


__all__ = ["log_mel", "pad_windows"]
