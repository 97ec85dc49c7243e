"""The shape of the tiny random model."""

from __future__ import annotations

from whisper_serve.engine.weights import Dimensions

TINY = Dimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=64,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=51865,
    n_text_ctx=64,
    n_text_state=64,
    n_text_head=2,
    n_text_layer=2,
)
"""The smallest shape that takes real windows, speaks the real vocabulary and soon falls silent (32 tokens a window)."""
