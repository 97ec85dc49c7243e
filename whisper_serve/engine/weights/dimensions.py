"""The ten numbers that fix the shape of a Whisper model, and their values for the official models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import IncompatibleWeights


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Sizes of a Whisper model, under the names OpenAI's checkpoints give them.

    Raises IncompatibleWeights when a size is not a positive integer or a width does not divide into heads.
    """

    n_mels: int
    n_audio_ctx: int  # encoder positions: 1500 for 30 s
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int  # decoder positions: 448 tokens
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            if type(value) is not int or value < 1:
                raise IncompatibleWeights(f"dimension {name}: expected a positive integer, found {value!r}")
        self._check_heads("audio", self.n_audio_state, self.n_audio_head)
        self._check_heads("text", self.n_text_state, self.n_text_head)
        if self.n_audio_state != self.n_text_state:
            raise IncompatibleWeights(
                "the decoder reads the encoder's output, so n_audio_state and n_text_state must be equal: "
                f"found {self.n_audio_state} and {self.n_text_state}"
            )

    @staticmethod
    def _check_heads(side: str, state: int, heads: int) -> None:
        if state % heads:
            raise IncompatibleWeights(f"n_{side}_state {state} does not divide into n_{side}_head {heads} heads")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Dimensions:
        """Dimensions from a mapping with exactly these names; raises IncompatibleWeights otherwise."""
        names = {field.name for field in fields(cls)}
        if missing := sorted(names - set(values)):
            raise IncompatibleWeights(f"the dimensions lack {', '.join(missing)}")
        if unknown := sorted(set(values) - names):
            raise IncompatibleWeights(f"unknown dimensions {', '.join(unknown)}: expected {', '.join(sorted(names))}")
        return cls(**values)

    def as_dict(self) -> dict[str, int]:
        """The dimensions by name, in the order of OpenAI's checkpoints."""
        return asdict(self)

    @property
    def is_multilingual(self) -> bool:
        """True for the vocabularies of the models not named .en (51,865 tokens; 51,866 since large-v3)."""
        return self.n_vocab >= 51865


def _official(
    state: int, heads: int, layers: int, *, vocab: int = 51865, mels: int = 80, text_layers: int | None = None
) -> Dimensions:
    """Dimensions of a published size: encoder and decoder are alike except where a number says otherwise."""
    return Dimensions(
        n_mels=mels,
        n_audio_ctx=1500,
        n_audio_state=state,
        n_audio_head=heads,
        n_audio_layer=layers,
        n_vocab=vocab,
        n_text_ctx=448,
        n_text_state=state,
        n_text_head=heads,
        n_text_layer=layers if text_layers is None else text_layers,
    )


_ENGLISH_VOCAB = 51864
_V3 = _official(1280, 20, 32, vocab=51866, mels=128)
_TURBO = _official(1280, 20, 32, vocab=51866, mels=128, text_layers=4)

# Table 1 of "Robust Speech Recognition via Large-Scale Weak Supervision" and the models' own checkpoints.
OFFICIAL_DIMENSIONS: Mapping[str, Dimensions] = {
    "tiny.en": _official(384, 6, 4, vocab=_ENGLISH_VOCAB),
    "tiny": _official(384, 6, 4),
    "base.en": _official(512, 8, 6, vocab=_ENGLISH_VOCAB),
    "base": _official(512, 8, 6),
    "small.en": _official(768, 12, 12, vocab=_ENGLISH_VOCAB),
    "small": _official(768, 12, 12),
    "medium.en": _official(1024, 16, 24, vocab=_ENGLISH_VOCAB),
    "medium": _official(1024, 16, 24),
    "large-v1": _official(1280, 20, 32),
    "large-v2": _official(1280, 20, 32),
    "large-v3": _V3,
    "large": _V3,
    "large-v3-turbo": _TURBO,
    "turbo": _TURBO,
}
