"""openai-whisper's tokenizer, with the token sets and start sequences that decoding needs."""

from __future__ import annotations

from functools import cached_property

from whisper.tokenizer import LANGUAGES, Tokenizer, get_tokenizer

from .options import DecodingOptions, Task
from .weights import Dimensions

LANGUAGELESS_VOCABULARY = 51_766
"""Tokens of a multilingual model that are not languages; the rest is one token a language."""


class WhisperTokenizer:
    """Text ↔ tokens of one model, and its special tokens by their standard names."""

    def __init__(self, dims: Dimensions) -> None:
        self.multilingual = dims.is_multilingual
        num_languages = dims.n_vocab - LANGUAGELESS_VOCABULARY if self.multilingual else 99
        self._num_languages = num_languages
        self._base: Tokenizer = get_tokenizer(self.multilingual, num_languages=num_languages)
        self._context = dims.n_text_ctx
        self.eot = self._base.eot
        self.sot = self._base.sot
        self.no_speech = self._base.no_speech
        self.no_timestamps = self._base.no_timestamps
        self.timestamp_begin = self._base.timestamp_begin
        self.languages: tuple[str, ...] = tuple(LANGUAGES)[:num_languages] if self.multilingual else ("en",)

    @cached_property
    def language_tokens(self) -> dict[str, int]:
        """Language code → token; empty for an English-only model."""
        if not self.multilingual:
            return {}
        return {code: self._base.to_language_token(code) for code in self.languages}

    @cached_property
    def suppressed(self) -> tuple[int, ...]:
        """Tokens never sampled: symbols that are not speech, and special tokens with no place in a text."""
        base = self._base
        special = (base.transcribe, base.translate, base.sot, base.sot_prev, base.sot_lm, base.no_speech)
        return tuple(sorted({*base.non_speech_tokens, *special}))

    @cached_property
    def blank(self) -> tuple[int, ...]:
        """Tokens not sampled first, so that a text does not start empty."""
        return (*self._base.encode(" "), self.eot)

    def encode(self, text: str) -> list[int]:
        return list(self._base.encode(text))

    def decode(self, tokens: list[int] | tuple[int, ...]) -> str:
        """Text of ``tokens``; special tokens and timestamps are left out."""
        return str(self._base.decode([token for token in tokens if token < self.eot]))

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for in UTF-8; it may be only a part of a character."""
        return bytes(self._base.encoding.decode_single_token_bytes(token))

    def decode_with_special(self, tokens: list[int] | tuple[int, ...]) -> str:
        """Text of ``tokens`` with special tokens spelled out, without timestamps: what openai-whisper measures."""
        return str(self._base.decode(list(tokens)))

    def split_words(self, tokens: list[int], language: str) -> list[tuple[str, list[int]]]:
        """Text tokens as words with their tokens: at spaces, or character by character where a language has none."""
        one = get_tokenizer(self.multilingual, num_languages=self._num_languages, language=language)
        return list(zip(*one.split_to_word_tokens(tokens), strict=True))

    def start_sequence(self, language: str, task: Task, timestamps: bool) -> list[int]:
        """Tokens that tell the model what to do.

        Raises:
            ValueError: the model does not know the language, or is English-only and another task is asked.
        """
        self.check(language, task)
        sequence = [self.sot]
        if self.multilingual:
            sequence.append(self.language_tokens[language])
            sequence.append(self._base.transcribe if task == "transcribe" else self._base.translate)
        if not timestamps:
            sequence.append(self.no_timestamps)
        return sequence

    def check(self, language: str | None, task: Task) -> None:
        """Raise ValueError where the model cannot do ``task`` in ``language``."""
        if language is not None and language not in self.languages:
            known = f"one of {len(self.languages)} languages" if self.multilingual else "English only ('en')"
            raise ValueError(f"language {language!r} is not known to this model, which transcribes {known}")
        if task == "translate" and not self.multilingual:
            raise ValueError("this model is English-only and cannot translate")

    def prompt_sequence(self, prompt: str | None) -> list[int]:
        """Tokens of the text before a window, cut on the left to half of the model's context."""
        if not prompt or not prompt.strip():
            return []
        tokens = self.encode(" " + prompt.strip())
        return [self._base.sot_prev, *tokens[-(self._context // 2 - 1) :]]

    def initial_tokens(self, options: DecodingOptions, language: str) -> list[int]:
        """Everything the decoder reads before its first sampled token."""
        return self.prompt_sequence(options.prompt) + self.start_sequence(language, options.task, options.timestamps)
