"""What the corpus holds, and a way to make a file of any format from samples."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
import pytest

Encode: TypeAlias = Callable[..., bytes]


@pytest.fixture(scope="session")
def corpus_seconds(corpus: Path) -> dict[str, float | None]:
    """Path → decoded seconds by the corpus's manifest, None where nothing can be decoded."""
    with (corpus / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {row["path"]: None if row["seconds"] == "-" else float(row["seconds"]) for row in rows}


@pytest.fixture(scope="session")
def encode() -> Encode:
    return encode_audio


def encode_audio(
    samples: npt.NDArray[Any],
    container: str,
    codec: str,
    *,
    rate: int = 16_000,
    layout: str = "mono",
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """(channels, n) or (n,) samples at `rate` → the bytes of a file in that container and codec."""
    planes = np.atleast_2d(samples).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes.T).reshape(1, -1), "flt", layout)
        frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate, context.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()
