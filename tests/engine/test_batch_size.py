from __future__ import annotations

import pytest

from whisper_serve.engine import Engine
from whisper_serve.engine.batch_size import rows_that_fit
from whisper_serve.engine.weights import OFFICIAL_DIMENSIONS

LARGE = OFFICIAL_DIMENSIONS["large-v3"]
# In bytes, 2 a number: of 32 layers the keys and values of 1500 and 448 places, and of 448 for each of two beams; 12
# tensors of 1500 places; 6 logits.
KEYS_VALUES = 2 * 32 * 1948 * 1280 * 2
BEAMS = 2 * (2 * 32 * 448 * 1280 * 2)
WINDOW = KEYS_VALUES + BEAMS + 12 * 1500 * 1280 * 2 + 6 * 51866 * 4


@pytest.mark.parametrize(
    ("free", "rows"),
    [
        ((20 * WINDOW + 8 * KEYS_VALUES) / 0.45 + 100, 20),
        ((20 * WINDOW + 8 * KEYS_VALUES) / 0.45 - 100, 19),
        (80e9, 64),  # not more, however much there is
        (1e6, 1),  # not less: it may still fit
    ],
)
def test_a_batch_takes_what_memory_is_free(free: float, rows: int) -> None:
    assert rows_that_fit(LARGE, 2, int(free)) == rows


def test_smaller_numbers_make_larger_batches() -> None:
    assert rows_that_fit(LARGE, 2, 32 << 30) > 2 * rows_that_fit(LARGE, 4, 32 << 30) > 0


def test_a_cpu_takes_16(tiny_engine: Engine) -> None:
    assert tiny_engine.batch_size == 16
