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
    """The row's result; of what it said when it had to go on, only what is good."""
    for urge in reversed(sampled.urges):
        before, further = sampled.until(urge), _result(task, prompt, sampled.since(urge), tokenizer)
        said = _letters(tokenizer.decode(further.tokens))
        poor = needs_fallback(further, task.options) or is_silence(further, task.options)
        # Who has nothing more to say and must, says the last sentence again.
        again = _letters(tokenizer.decode(before.tokens)).endswith(said)
        if poor or again or not further.finished:
            sampled = before
    return _result(task, prompt, sampled, tokenizer)


def _letters(text: str) -> str:
    """What is left of a text to compare: each word, the space before it too, without case and punctuation."""
    return "".join(one for one in text.casefold() if one.isalnum() or one.isspace()).rstrip()


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
