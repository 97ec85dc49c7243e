"""openai-whisper with the same weights, and windows to decode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import whisper
from whisper.audio import HOP_LENGTH, N_FRAMES
from whisper.model import ModelDimensions, Whisper

from whisper_serve.engine import DecodingOptions
from whisper_serve.engine.engine import Audio
from whisper_serve.engine.tokenizer import WhisperTokenizer
from whisper_serve.engine.weights import Weights

Reference = Callable[[Whisper, Audio, DecodingOptions], whisper.DecodingResult]


def openai_mel(window: Audio, n_mels: int = 80) -> torch.Tensor:
    """Of a window as openai-whisper's ``transcribe`` gives it to the model, shape (n_mels, 3000)."""
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(window), n_mels)
    filled: torch.Tensor = whisper.pad_or_trim(mel[:, : len(window) // HOP_LENGTH], N_FRAMES)
    return filled


def openai_model(weights: Weights) -> Whisper:
    model = Whisper(ModelDimensions(**weights.dimensions.as_dict()))
    model.load_state_dict({name: tensor.float() for name, tensor in weights.tensors.items()})
    return model.eval()


@pytest.fixture(scope="session")
def terse_weights(tiny_weights: Weights) -> Weights:
    """The random model, but its texts end by themselves."""
    tokenizer = WhisperTokenizer(tiny_weights.dimensions)
    embedding = tiny_weights.tensors["decoder.token_embedding.weight"].clone()
    embedding[tokenizer.eot] *= 2.6
    return Weights(
        "terse", tiny_weights.dimensions, {**tiny_weights.tensors, "decoder.token_embedding.weight": embedding}
    )


@pytest.fixture(scope="session")
def tiny_reference(tiny_weights: Weights) -> Whisper:
    return openai_model(tiny_weights)


@pytest.fixture(scope="session")
def base_reference(base_weights: Weights) -> Whisper:
    return openai_model(base_weights)


@pytest.fixture(scope="session")
def decode_reference() -> Reference:
    """openai-whisper's decoding of one window with one of our options."""

    def decode(model: Whisper, window: Audio, options: DecodingOptions) -> whisper.DecodingResult:
        mel = openai_mel(window, model.dims.n_mels)
        theirs = whisper.DecodingOptions(
            task=options.task,
            language=options.language,
            temperature=options.temperatures[0],
            prompt=options.prompt,
            without_timestamps=not options.timestamps,
            sample_len=options.max_tokens,
            beam_size=options.beam_size,
            patience=options.patience,
            length_penalty=options.length_penalty,
            suppress_tokens=list(options.suppress_tokens),
            fp16=False,
        )
        return whisper.decode(model, mel, theirs)

    return decode


@pytest.fixture(scope="session")
def noises() -> Sequence[Audio]:
    """Windows of noise of different lengths."""
    generator = np.random.default_rng(0)
    lengths = (480_000, 80_000, 192_000, 464_000, 1_600, 300_000, 16_000, 400_000)
    return [(0.1 * generator.standard_normal(length)).astype(np.float32) for length in lengths]
