from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tiny import TINY
from whisper_serve.engine import DecodingOptions
from whisper_serve.engine.decoding import Sampled
from whisper_serve.engine.judging import decoding_of
from whisper_serve.engine.state import Prompt
from whisper_serve.engine.task import WindowTask
from whisper_serve.engine.tokenizer import WhisperTokenizer

TOKENIZER = WhisperTokenizer(TINY)
OPTIONS = DecodingOptions(language="en", no_speech_threshold=None)
TASK = WindowTask(0, np.zeros(16_000, np.float32), OPTIONS, "en")
PROMPT = Prompt([], 0, 0.0, True, 224, 0)
SURE, UNSURE = -0.1, -3.0


def sampled(*pieces: tuple[str, float]) -> Sampled:
    """A text of segments, each with the logarithm of its tokens' probability; after the first it had to go on."""
    tokens: list[int] = []
    logprobs: list[float] = []
    urges = []
    for number, (text, logprob) in enumerate(pieces):
        if number:
            urges.append(len(tokens))
        begin = TOKENIZER.timestamp_begin + 10 * number
        segment = [begin, *TOKENIZER.encode(text), begin + 5]
        tokens += segment
        logprobs += [logprob] * len(segment)
    return Sampled(tuple(tokens), tuple(logprobs), sum(logprobs), 0.0, True, tuple(urges))


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        ([(" One.", SURE)], 1),
        ([(" One.", SURE), (" Two.", SURE), (" Three.", SURE)], 3),
        ([(" One.", SURE), (" Two.", SURE), (" Two.", SURE)], 2),
        ([(" One.", SURE), (" One.", SURE), (" One.", SURE)], 1),
        ([(" A cat.", SURE), (" cat.", SURE)], 1),
        ([(" When is it? When it is a crayfish.", SURE), (" When is it, when it is a Crayfish?", SURE)], 1),
        ([("一つ、二つ。", SURE), ("二つ", SURE)], 1),
        ([(" A tomcat.", SURE), (" cat.", SURE)], 2),
        ([(" One.", SURE), (" Two.", SURE), (" ...", SURE)], 2),
        ([(" One.", SURE), (" Two.", SURE), (" Three.", UNSURE)], 2),
        ([(" One.", SURE), (" Two.", UNSURE), (" Three.", SURE)], 1),
    ],
)
def test_of_what_had_to_be_added_only_the_good_counts(pieces: list[tuple[str, float]], kept: int) -> None:
    decoding = decoding_of(TASK, PROMPT, sampled(*pieces), TOKENIZER)
    expected = decoding_of(TASK, PROMPT, replace(sampled(*pieces[:kept]), urges=()), TOKENIZER)
    assert decoding == expected


def test_an_addition_without_end_is_dropped() -> None:
    endless = replace(sampled((" One.", SURE), (" Two.", SURE)), finished=False)
    assert decoding_of(TASK, PROMPT, endless, TOKENIZER).tokens == sampled((" One.", SURE)).tokens
