"""From what one row sampled to a decoding: how sure it is, and what of it counts."""

from __future__ import annotations

from whisper.utils import compression_ratio

from .decoding import Sampled
from .fallback import is_silence, needs_fallback
from .repetition import find_cycle
from .results import DecodingResult
from .state import Prompt
from .task import WindowTask
from .tokenizer import WhisperTokenizer


def decoding_of(task: WindowTask, prompt: Prompt, sampled: Sampled, tokenizer: WhisperTokenizer) -> DecodingResult:
    """The row's result; if what it said when it had to go on is poor, only what it said before."""
    decoding = _result(task, prompt, sampled, tokenizer)
    if sampled.urged_at is not None:
        further = _result(task, prompt, sampled.since(sampled.urged_at), tokenizer)
        wordless = not any(map(str.isalnum, tokenizer.decode(further.tokens)))
        poor = needs_fallback(further, task.options) or is_silence(further, task.options)
        if wordless or poor or not further.finished:
            return _result(task, prompt, sampled.until(sampled.urged_at), tokenizer)
    return decoding


def _result(task: WindowTask, prompt: Prompt, sampled: Sampled, tokenizer: WhisperTokenizer) -> DecodingResult:
    text = tokenizer.decode_with_special(sampled.tokens).strip()
    return DecodingResult(
        tokens=sampled.tokens,
        token_logprobs=sampled.logprobs,
        text=text,
        language=task.language,
        language_probability=task.language_probability,
        temperature=prompt.temperature,
        avg_logprob=sampled.sum_logprob / (len(sampled.tokens) + 1),
        compression_ratio=compression_ratio(text),
        no_speech_prob=sampled.no_speech_prob,
        finished=sampled.finished,
        loops=find_cycle([token for token in sampled.tokens if token < tokenizer.eot]) is not None,
    )
