"""From what callers ask for to what the engine is told, and from what it found to what travels and is rendered."""

from __future__ import annotations

from whisper_serve.engine import (
    DEFAULT_SUPPRESSED,
    FALLBACK_TEMPERATURES,
    DecodedSegment,
    DecodingOptions,
    LanguageDetection,
    WhisperTokenizer,
    WindowResult,
)
from whisper_serve.speech import Dropped, Segment, TokenLogprob, WindowTranscript, Word
from whisper_serve.wire import WindowOptions


def decoding_options(options: WindowOptions) -> DecodingOptions:
    """OpenAI's terms in the engine's: temperature 0 means fallback, any other is used alone.

    A translation is searched for only if it fails: it can be put in many ways, so the model is never sure of it, and
    the likelier of two is not the better one.
    """
    translates = options.task == "translate"
    return DecodingOptions(
        task="translate" if translates else "transcribe",
        language=options.language,
        prompt=options.prompt,
        spoken_to_end=options.spoken_to_end,
        draft_tokens=options.draft_tokens or (),
        temperatures=(options.temperature,) if options.temperature else FALLBACK_TEMPERATURES,
        timestamps=options.timestamps,
        word_timestamps=options.word_timestamps,
        hotwords=options.hotwords,
        beam_size=options.beam_size,
        search_threshold=None if translates else options.search_threshold,
        best_of=options.best_of,
        patience=options.patience,
        length_penalty=options.length_penalty,
        suppress_tokens=DEFAULT_SUPPRESSED if options.suppress_tokens is None else options.suppress_tokens,
    )


def window_transcript(result: WindowResult, tokenizer: WhisperTokenizer | None = None) -> WindowTranscript:
    """The engine's result as the values that travel and are rendered; with a tokenizer, with the tokens' logprobs."""
    segments = tuple(
        Segment(
            id=number,
            seek=0,
            start=segment.start,
            end=segment.end,
            text=segment.text,
            tokens=segment.tokens,
            temperature=segment.decoding.temperature,
            avg_logprob=segment.decoding.avg_logprob,
            compression_ratio=segment.decoding.compression_ratio,
            no_speech_prob=segment.decoding.no_speech_prob,
            words=tuple(Word(word.text, word.start, word.end, word.probability) for word in segment.words),
            token_logprobs=token_logprobs(segment, tokenizer) if tokenizer else (),
        )
        for number, segment in enumerate(result.segments)
    )
    dropped = tuple(Dropped(each.start, each.end, each.reason, each.text) for each in result.dropped)
    return WindowTranscript(result.language, result.language_probability, segments, dropped=dropped)


def detection_transcript(detection: LanguageDetection) -> WindowTranscript:
    """A window of which only the language was asked."""
    probabilities = detection.probabilities
    return WindowTranscript(detection.language, probabilities[detection.language], (), probabilities)


def token_logprobs(segment: DecodedSegment, tokenizer: WhisperTokenizer) -> tuple[TokenLogprob, ...]:
    """The tokens of a segment's text, without timestamps and other special ones."""
    pairs = zip(segment.tokens, segment.token_logprobs, strict=True)
    texts = ((tokenizer.token_bytes(token), logprob) for token, logprob in pairs if token < tokenizer.eot)
    return tuple(TokenLogprob(text.decode("utf-8", "replace"), tuple(text), logprob) for text, logprob in texts)
