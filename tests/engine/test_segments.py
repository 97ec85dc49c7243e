from __future__ import annotations

import pytest

from tests.tiny import TINY
from whisper_serve.engine.results import DecodingResult
from whisper_serve.engine.segments import segment
from whisper_serve.engine.tokenizer import WhisperTokenizer

TOKENIZER = WhisperTokenizer(TINY)


def decoding(*parts: float | str, finished: bool = True) -> DecodingResult:
    """A decoding of texts and times in seconds."""
    tokens: list[int] = []
    for part in parts:
        tokens += TOKENIZER.encode(part) if isinstance(part, str) else [TOKENIZER.timestamp_begin + round(part / 0.02)]
    text = TOKENIZER.decode(tokens)
    return DecodingResult(tuple(tokens), (), text, "en", None, 0.0, -0.1, 1.0, 0.0, finished)


@pytest.mark.parametrize(
    ("result", "segments", "consumed"),
    [
        pytest.param(decoding(0.0, " One.", 4.0), [(0.0, 4.0, " One.")], 10.0, id="one segment"),
        pytest.param(
            decoding(0.0, " One.", 4.0, 4.5, " Two.", 9.0),
            [(0.0, 4.0, " One."), (4.5, 9.0, " Two.")],
            10.0,
            id="two segments",
        ),
        pytest.param(
            decoding(0.0, " One.", 4.0, 4.0, " Two"),
            [(0.0, 4.0, " One."), (4.0, 10.0, " Two")],
            10.0,
            id="the last is left open: it ends with the window",
        ),
        pytest.param(
            decoding(0.0, " One.", 4.0, 4.0, " Two", finished=False),
            [(0.0, 4.0, " One.")],
            4.0,
            id="cut short by the token limit: the rest is for another decoding",
        ),
        pytest.param(
            decoding(0.0, " One.", 4.0, 4.0), [(0.0, 4.0, " One.")], 4.0, id="a segment is opened and nothing said"
        ),
        pytest.param(decoding(" One. Two."), [(0.0, 10.0, " One. Two.")], 10.0, id="no times"),
        pytest.param(decoding(0.0, " One"), [(0.0, 10.0, " One")], 10.0, id="only the start"),
        pytest.param(decoding(0.0, " One", 4.0, " more"), [(0.0, 4.0, " One more")], 10.0, id="a time inside"),
        pytest.param(decoding(0.0, " ", 4.0), [], 10.0, id="blank"),
        pytest.param(decoding(), [], 10.0, id="nothing"),
        pytest.param(decoding(0.0, " One.", 12.0), [(0.0, 10.0, " One.")], 10.0, id="one ends beyond the window"),
        pytest.param(
            decoding(0.0, " One.", 4.0, 4.5, " Two.", 12.0),
            [(0.0, 4.0, " One."), (4.5, 10.0, " Two.")],
            10.0,
            id="the last ends beyond the window",
        ),
        pytest.param(
            decoding(0.0, " One.", 4.0, 11.0, " Two.", 12.0),
            [(0.0, 4.0, " One."), (4.0, 10.0, " Two.")],
            10.0,
            id="the last begins beyond the window: it follows the one before",
        ),
        pytest.param(
            decoding(0.0, " One.", 11.0, 11.0, " Two.", 12.0, 12.0, " Three"),
            [(0.0, 10.0, " One."), (10.0, 10.0, " Two."), (10.0, 10.0, " Three")],
            10.0,
            id="where no time is left, all are at the end",
        ),
    ],
)
def test_a_decoding_is_cut_at_its_times(
    result: DecodingResult, segments: list[tuple[float, float, str]], consumed: float
) -> None:
    found = segment(result, TOKENIZER, 10.0)
    assert [each.text for each in found.segments] == [text for *_, text in segments]
    assert [each.start for each in found.segments] == pytest.approx([start for start, *_ in segments])
    assert [each.end for each in found.segments] == pytest.approx([end for _, end, _ in segments])
    assert found.consumed == pytest.approx(consumed)
