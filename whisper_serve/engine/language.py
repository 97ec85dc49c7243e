"""Which language is spoken: one decoder step on the audio features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from .attention_cache import KeyValueCache
from .model import WhisperModel
from .results import LanguageDetection
from .tokenizer import WhisperTokenizer


def detect_languages(model: WhisperModel, tokenizer: WhisperTokenizer, cache: KeyValueCache) -> list[LanguageDetection]:
    """Language of each window whose cross-attention keys and values ``cache`` holds (Radford et al. 2022, 2.3)."""
    if not tokenizer.multilingual:
        return [LanguageDetection("en", {"en": 1.0})] * cache.rows
    cache.reserve(1)
    start = torch.full((cache.rows, 1), tokenizer.sot, device=model.device)
    logits = model.decoder.logits(model.decoder.prefill(start, cache)[:, 0])
    candidates = torch.tensor(list(tokenizer.language_tokens.values()), device=model.device)
    rows: list[list[float]] = logits[:, candidates].softmax(dim=-1).tolist()
    return [_detection(dict(zip(tokenizer.language_tokens, row, strict=True))) for row in rows]


def detect_by_group(
    detections: Sequence[LanguageDetection], groups: Sequence[Hashable]
) -> dict[Hashable, LanguageDetection]:
    """One language for each group of windows: that of the highest mean probability."""
    members: dict[Hashable, list[LanguageDetection]] = {}
    for detection, group in zip(detections, groups, strict=True):
        members.setdefault(group, []).append(detection)
    return {group: _mean(found) for group, found in members.items()}


def _mean(detections: Sequence[LanguageDetection]) -> LanguageDetection:
    codes = detections[0].probabilities
    return _detection({code: sum(d.probabilities[code] for d in detections) / len(detections) for code in codes})


def _detection(probabilities: dict[str, float]) -> LanguageDetection:
    return LanguageDetection(max(probabilities, key=probabilities.__getitem__), probabilities)
