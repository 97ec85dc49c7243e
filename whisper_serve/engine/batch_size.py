"""How many windows are computed together where nobody says."""

from __future__ import annotations

from typing import Final

import torch

from .alignment import ALIGNED_AT_ONCE
from .model import WhisperModel
from .weights import Dimensions

ON_CPU: Final = 16
MOST_ON_GPU: Final = 64
SHARE: Final = 0.45
"""Of a GPU's free memory, what an engine plans with: two workers have a GPU, and graphs and libraries need some too."""
SEARCHED: Final = 2
"""Texts of a window for which a search has memory beside that of greedy texts: two beams are the default."""
LOGITS_AT_ONCE: Final = 6
"""Tensors as large as a step's logits, at most: those of the model, in float32, and what sampling makes of them."""


def default_batch_size(model: WhisperModel) -> int:
    """16 on a CPU; on a GPU as many as its free memory holds, up to 64."""
    if model.device.type != "cuda":
        return ON_CPU
    free, _ = torch.cuda.mem_get_info(model.device)
    return rows_that_fit(model.dims, model.dtype.itemsize, free)


def rows_that_fit(dims: Dimensions, itemsize: int, free: int) -> int:
    """Windows that fit into ``free`` bytes with numbers of ``itemsize`` bytes: (0.45 · free - words) / window, 1 to 64.

    A window needs the keys and values that decoding keeps, those of two texts that are searched for, the encoder's
    widest layer and the logits; ``words`` are the keys and values of those windows whose words are timed together.
    """
    window = _window(dims, itemsize) + SEARCHED * _text(dims, itemsize)
    fitting = int(SHARE * free - ALIGNED_AT_ONCE * _cached(dims, itemsize)) // window
    return max(1, min(MOST_ON_GPU, fitting))


def windows_at_once(dims: Dimensions, itemsize: int, batch_size: int, width: int) -> int:
    """Windows with ``width`` texts each that need no more memory than ``batch_size`` windows with one; 1 at least.

    A further text has keys and values and logits of its own, and shares its window's audio.
    """
    text = _text(dims, itemsize) + _chosen(dims)
    window = _window(dims, itemsize)
    return max(1, batch_size * window // (window + (width - 1) * text))


def _window(dims: Dimensions, itemsize: int) -> int:
    return _cached(dims, itemsize) + _encoded(dims, itemsize) + _chosen(dims)


def _chosen(dims: Dimensions) -> int:
    """What a step's choice of a token needs."""
    return LOGITS_AT_ONCE * 4 * dims.n_vocab


def _cached(dims: Dimensions, itemsize: int) -> int:
    """Keys and values of all layers, of the audio and of the text: 2 · layers · (audio + text context) · state."""
    return 2 * dims.n_text_layer * (dims.n_audio_ctx + dims.n_text_ctx) * dims.n_text_state * itemsize


def _text(dims: Dimensions, itemsize: int) -> int:
    """Keys and values of all layers, of a text: 2 · layers · text context · state."""
    return 2 * dims.n_text_layer * dims.n_text_ctx * dims.n_text_state * itemsize


def _encoded(dims: Dimensions, itemsize: int) -> int:
    """A feed-forward layer before and after its activation (4 · state each), and four more tensors of the audio's size.

    These are the stream, its norm, and a layer's keys and values. The spectrogram, in float32 and before the encoder
    begins, is smaller.
    """
    return (2 * 4 + 4) * dims.n_audio_ctx * dims.n_audio_state * itemsize
