"""openai-whisper's tokenizer, with the token sets and start sequences that decoding needs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile

from whisper.tokenizer import LANGUAGES, Tokenizer, get_tokenizer

from .options import DEFAULT_SUPPRESSED, DecodingOptions, Task
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
        self._context, self._size = dims.n_text_ctx, dims.n_vocab
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

    def suppressed(self, tokens: Sequence[int] = DEFAULT_SUPPRESSED) -> tuple[int, ...]:
        """Tokens never sampled: those given, and special tokens with no place in a text.

        Args:
            tokens: -1 among them stands for the symbols that are not speech.
        """
        base = self._base
        special = (base.transcribe, base.translate, base.sot, base.sot_prev, base.sot_lm, base.no_speech)
        symbols = base.non_speech_tokens if -1 in tokens else ()
        return tuple(sorted({*(token for token in tokens if token >= 0), *symbols, *special}))

    @cached_property
    def blank(self) -> tuple[int, ...]:
        """Tokens not sampled first, so that a text does not start empty."""
        return (*self._base.encode(" "), self.eot)

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text: what looks like a special token is read letter by letter."""
        return list(self._base.encode(text, disallowed_special=()))

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

    def check_suppressed(self, tokens: Sequence[int]) -> None:
        """Raise ValueError where one of ``tokens`` is not -1 and no text of this model."""
        if tokens and max(tokens) >= self.eot:
            raise ValueError(f"suppress_tokens must be text, ids below {self.eot}, not {max(tokens)}")

    def known(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """``tokens`` up to the first that this model does not have."""
        return tuple(takewhile(lambda token: 0 <= token < self._size, tokens))

    def prompt_sequence(self, prompt: str | None, hotwords: str | None = None) -> list[int]:
        """Tokens of the text before a window, with the hotwords in front: half of the model's context at most.

        As in faster-whisper hotwords are cut on the right and the text on the left. Hotwords come first: the text has
        what room they leave, so that the window's own text always has the other half.
        """
        room = self._context // 2 - 1
        words = self._encode_part(hotwords)[:room]
        text = self._encode_part(prompt)
        before = [*words, *text[max(0, len(text) - room + len(words)) :]]
        return [self._base.sot_prev, *before] if before else []

    def _encode_part(self, text: str | None) -> list[int]:
        return self.encode(" " + text.strip()) if text and text.strip() else []

    def initial_tokens(self, options: DecodingOptions, language: str) -> list[int]:
        """Everything the decoder reads before its first sampled token."""
        before = self.prompt_sequence(options.prompt, options.hotwords)
        return before + self.start_sequence(language, options.task, options.timestamps)
