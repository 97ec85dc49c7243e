"""When each token was said: the decoder's attention to the audio, followed by dynamic time warping.

The method is that of openai-whisper's ``find_alignment``: the attention of some heads moves through the audio as the
text does. Their weights are normalised over the tokens, smoothed by a median over time and averaged, and the cheapest
path through them that never goes back gives each token its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_cache import KeyValueCache
from .batch_audio import BatchAudio
from .model import WhisperModel
from .phases import phase
from .weights import AlignmentHeads, Dimensions

PLACES_PER_SECOND: Final = 50
"""Places of the audio context a second."""
MEDIAN_WIDTH: Final = 7
ALIGNED_AT_ONCE: Final = 8
"""Rows of about the same length that are read together; their attention (100 tokens, 10 heads) takes 50 MB."""
SMALLEST_DEVIATION: Final = 1e-30

Float32 = npt.NDArray[np.float32]

# Pairs to be brought in order, one after the other: then the middle of seven is the median (N. Devillard 1998, "Fast
# median search: an ANSI C implementation").
_MEDIAN_NETWORK: Final = (
    (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4),
)  # fmt: skip


def default_heads(dims: Dimensions) -> AlignmentHeads:
    """All heads of the upper half of the decoder: for models of which nobody said which heads follow the speech."""
    layers = range(dims.n_text_layer // 2, dims.n_text_layer)
    return tuple((layer, head) for layer in layers for head in range(dims.n_text_head))


@dataclass(frozen=True, slots=True)
class Said:
    """A text that was heard in one row."""

    prompt: Sequence[int]
    """What the decoder reads before the text; no timestamps are to follow it."""
    text: Sequence[int]
    """Text tokens, without timestamps; at least one."""
    duration: float
    """Seconds of audio."""


@phase("words")
def token_times(
    model: WhisperModel,
    heads: AlignmentHeads,
    audio: BatchAudio,
    said: Mapping[int, Said],
    eot: int,
) -> dict[int, Float32]:
    """When the tokens of each text begin, and when the last of them ends.

    Args:
        heads: (decoder layer, head) pairs whose attention follows the speech.
        said: what was said in which rows of the audio.
        eot: the token that ends a text.

    Returns:
        For each row float32 seconds from its start, of shape (tokens of its text + 1,), never falling.
    """
    times: dict[int, Float32] = {}
    by_length = sorted(said, key=lambda row: len(said[row].text))
    for first in range(0, len(said), ALIGNED_AT_ONCE):
        part = by_length[first : first + ALIGNED_AT_ONCE]
        cache = audio.cache(model.decoder, part)
        for row, cost in zip(part, _costs(model, heads, cache, [said[row] for row in part], eot), strict=True):
            found = _first_places(cost).astype(np.float32) / PLACES_PER_SECOND
            # What does not fit into the model's context is placed at the end.
            rest = len(said[row].text) + 1 - len(found)
            times[row] = np.pad(found, (0, rest), constant_values=said[row].duration)
    return times


def _costs(
    model: WhisperModel, heads: AlignmentHeads, cache: KeyValueCache, rows: Sequence[Said], eot: int
) -> list[Float32]:
    """For each row, what it costs to have a token at a place, (tokens + 1, places): less, the more it looks there."""
    sequences = [[*row.prompt, *row.text, eot][: model.dims.n_text_ctx] for row in rows]
    longest = max(map(len, sequences))
    padded = torch.tensor([[*sequence, *[eot] * (longest - len(sequence))] for sequence in sequences])
    cache.reserve(longest)
    scores = model.decoder.alignment_scores(padded.to(model.device), cache, heads)
    costs = []
    for own, row, sequence in zip(scores, rows, sequences, strict=True):
        places = min(max(1, int(round(row.duration * PLACES_PER_SECOND, 6))), own.shape[-1])
        weights = own[:, : len(sequence), :places].softmax(dim=-1)
        deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
        weights = running_median((weights - mean) / deviation.clamp(min=SMALLEST_DEVIATION))
        # A token is read off where the one before it is the last that the decoder has read.
        costs.append(-weights.mean(dim=0)[len(row.prompt) - 1 : -1])
    return [cost.cpu().numpy() for cost in costs]


def running_median(x: Tensor) -> Tensor:
    """The median of seven neighbours along the last dimension, mirrored at its ends; unchanged if there are too few."""
    reach = MEDIAN_WIDTH // 2
    if x.shape[-1] <= reach:
        return x
    padded = F.pad(x, (reach, reach), mode="reflect")
    values = [padded[..., shift : shift + x.shape[-1]] for shift in range(MEDIAN_WIDTH)]
    for low, high in _MEDIAN_NETWORK:
        values[low], values[high] = torch.minimum(values[low], values[high]), torch.maximum(values[low], values[high])
    return values[reach]


@numba.njit(nogil=True)
def _first_places(cost: Float32) -> npt.NDArray[np.int64]:
    """Dynamic time warping (Sakoe and Chiba 1978): where each row of ``cost`` begins on the cheapest path through it.

    A path goes from the first to the last row and column by steps of one row, one column, or one of both.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf, np.float32)
    total[0, 0] = 0
    both, row_alone, column_alone = np.uint8(0), np.uint8(1), np.uint8(2)
    steps = np.empty((rows + 1, columns + 1), np.uint8)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            diagonal, above, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
            if diagonal < above and diagonal < left:
                least, step = diagonal, both
            elif above < diagonal and above < left:
                least, step = above, row_alone
            else:
                least, step = left, column_alone
            total[i, j] = cost[i - 1, j - 1] + least
            steps[i, j] = step
    first = np.empty(rows, np.int64)
    i, j = rows, columns
    while i > 0 and j > 0:
        first[i - 1] = j - 1
        taken = steps[i, j]
        if taken != column_alone:
            i -= 1
        if taken != row_alone:
            j -= 1
    return first
