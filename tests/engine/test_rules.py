"""The batched rules against openai-whisper's own filters, on random texts with random timestamps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.decoding import ApplyTimestampRules, LogitFilter, SuppressBlank, SuppressTokens
from whisper.tokenizer import get_tokenizer

from tests.tiny import TINY
from whisper_serve.engine import DecodingOptions as Options
from whisper_serve.engine.rules import MAX_INITIAL_TIMESTAMP_INDEX, TokenRules
from whisper_serve.engine.tokenizer import WhisperTokenizer

OURS = WhisperTokenizer(TINY)
THEIRS = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
TEXT = st.integers(0, THEIRS.eot - 1)
TIME = st.integers(THEIRS.timestamp_begin, THEIRS.timestamp_begin + 1500)


def filters(timestamps: bool) -> list[LogitFilter]:
    rules: list[LogitFilter] = [SuppressBlank(THEIRS, 0), SuppressTokens(OURS.suppressed())]
    return [*rules, ApplyTimestampRules(THEIRS, 0, MAX_INITIAL_TIMESTAMP_INDEX)] if timestamps else rules


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.lists(TEXT | TIME, min_size=6, max_size=6)), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1.0, 10.0]),
)
def test_batched_rules_equal_openai_whispers(rows: list[tuple[bool, list[int]]], seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rules = TokenRules(OURS, torch.tensor([timestamps for timestamps, _ in rows]))
    sampled = torch.tensor([tokens for _, tokens in rows])
    for step in range(7):
        logits = scale * torch.randn(len(rows), TINY.n_vocab, generator=generator)
        expected = logits.clone()
        for row, (timestamps, _) in enumerate(rows):
            for rule in filters(timestamps):
                rule.apply(expected[row : row + 1], sampled[row : row + 1, :step])
        rules.forbid(logits)
        rules.prefer_times(logits)
        assert torch.equal(logits, expected)
        if step < 6:
            rules.update(sampled[:, step])


def test_rows_keep_their_state_when_others_leave() -> None:
    texts = torch.tensor([[THEIRS.timestamp_begin + 5, 11], [THEIRS.timestamp_begin + 9, 12]])
    both = TokenRules(OURS, torch.tensor([True, True]))
    alone = TokenRules(OURS, torch.tensor([True]))
    for step in range(2):
        both.update(texts[:, step])
        alone.update(texts[1:, step])
    both.keep(torch.tensor([1]))
    logits = torch.randn(1, TINY.n_vocab, generator=torch.Generator().manual_seed(1))
    expected = logits.clone()
    both.forbid(logits)
    alone.forbid(expected)
    assert torch.equal(logits, expected)
    assert np.isneginf(logits[0, THEIRS.timestamp_begin : THEIRS.timestamp_begin + 10].numpy()).all()


@pytest.mark.parametrize(
    ("sampled", "reach", "urged"),
    [
        ((0, "a", 500, 500), 501, True),
        ((0, "a", 500, 500), 500, False),  # It got as far as it has to.
        ((0, "a", 500), 501, True),  # The last segment is closed, and no other one opened.
        ((0, "a", 500), 500, False),
        ((0, "a", "a"), 501, False),
        ((0,), 501, False),  # Silence has no text at all.
        ((), 501, False),
    ],
)
@pytest.mark.parametrize("timestamps", [True, False])
def test_a_text_stops_behind_a_segment_only_near_the_end(
    sampled: tuple[int | str, ...], reach: int, urged: bool, timestamps: bool
) -> None:
    # The second row sees to it that there are times in the batch.
    rules = TokenRules(OURS, torch.tensor([timestamps, True]), torch.tensor([reach, 0]))
    for token in sampled:
        rules.update(torch.tensor([THEIRS.timestamp_begin + token if isinstance(token, int) else 11, 11]))
    urged = urged and timestamps
    for likelier, expected in ((THEIRS.eot, urged), (12, False)):
        logits = torch.zeros(2, TINY.n_vocab)
        logits[0, likelier] = 9.0
        rules.forbid(logits)
        assert rules.urged.tolist() == [expected, False]
        assert (logits[0, THEIRS.eot] == float("-inf")).item() == (expected or not sampled)


def test_a_text_that_would_go_on_with_a_time_is_not_urged() -> None:
    rules = TokenRules(OURS, torch.tensor([True]), torch.tensor([1000]))
    for token in (THEIRS.timestamp_begin, 11, THEIRS.timestamp_begin + 500):
        rules.update(torch.tensor([token]))
    logits = torch.zeros(1, TINY.n_vocab)
    logits[0, THEIRS.eot] = 5.0  # Less than a thousand times together.
    rules.forbid(logits)
    assert not rules.urged.any()
    rules.prefer_times(logits)
    assert logits[0, THEIRS.timestamp_begin :].argmax() == 500
    assert np.isneginf(logits[0, THEIRS.eot].item())


def test_suppressed_tokens_are_openai_whispers_default() -> None:
    import whisper
    from whisper.decoding import DecodingOptions, DecodingTask
    from whisper.model import ModelDimensions, Whisper

    task = DecodingTask(Whisper(ModelDimensions(**TINY.as_dict())), DecodingOptions(language="en", fp16=False))
    assert task._get_suppress_tokens() == OURS.suppressed()
    assert whisper.tokenizer.get_tokenizer(True).eot == OURS.eot


@pytest.mark.parametrize("prompt", [None, "", "   ", "Nemo, Aronnax", "word " * 500])
def test_prompts_are_those_of_openai_whisper(prompt: str | None) -> None:
    from whisper.decoding import DecodingOptions, DecodingTask
    from whisper.model import ModelDimensions, Whisper

    theirs = DecodingTask(
        Whisper(ModelDimensions(**TINY.as_dict())), DecodingOptions(language="fr", prompt=prompt, fp16=False)
    ).initial_tokens
    blank = prompt is not None and not prompt.strip()
    ours = tuple(OURS.initial_tokens(Options(language="fr", prompt=prompt), "fr"))
    assert ours == (theirs[-3:] if blank else theirs)


def test_suppressed_tokens_are_those_of_openai_whisper() -> None:
    from whisper.decoding import DecodingOptions, DecodingTask
    from whisper.model import ModelDimensions, Whisper

    model = Whisper(ModelDimensions(**TINY.as_dict()))
    for tokens in ([-1], [5, -1], [220, 50_256]):
        task = DecodingTask(model, DecodingOptions(language="en", suppress_tokens=list(tokens), fp16=False))
        assert OURS.suppressed(tokens) == task._get_suppress_tokens()


def test_hotwords_come_before_the_prompt_and_leave_the_text_its_half() -> None:
    options = Options(language="en", hotwords=" Nemo, Aronnax ", prompt="The sea")
    start = OURS.start_sequence("en", "transcribe", timestamps=True)
    sot_prev = THEIRS.sot_prev
    assert OURS.initial_tokens(options, "en") == [
        sot_prev,
        *THEIRS.encode(" Nemo, Aronnax"),
        *THEIRS.encode(" The sea"),
        *start,
    ]
    room = TINY.n_text_ctx // 2 - 1
    for long in (
        Options(hotwords="Nemo " * 500, prompt="The sea"),
        Options(hotwords="Nemo", prompt="The sea " * 500),
        Options(hotwords="Nemo " * 500, prompt="The sea " * 500),
    ):
        before = OURS.initial_tokens(long, "en")[: -len(start)]
        assert len(before) == 1 + room
        assert before[1] == THEIRS.encode(" Nemo")[0]
    assert OURS.initial_tokens(Options(hotwords="  "), "en") == start
