from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_serve.speech import LANGUAGES, Dropped, Segment, TokenLogprob, WindowTranscript, Word
from whisper_serve.wire import (
    HEAD,
    ErrorReply,
    InvalidOption,
    WindowOptions,
    WireError,
    pack_reply,
    pack_window,
    unpack_reply,
    unpack_window,
)

OPTIONS = st.builds(
    WindowOptions,
    task=st.sampled_from(["transcribe", "translate"]),
    language=st.none() | st.sampled_from(sorted(LANGUAGES)),
    prompt=st.none() | st.text(max_size=50),
    temperature=st.floats(0, 1),
    timestamps=st.booleans(),
    detect_only=st.booleans(),
    logprobs=st.booleans(),
    hotwords=st.none() | st.text(max_size=50),
    best_of=st.none() | st.integers(1, 10),
    suppress_tokens=st.none() | st.lists(st.integers(-1, 50_256), max_size=5).map(tuple),
    search_threshold=st.none() | st.floats(-10, 0),
    draft_tokens=st.none() | st.lists(st.integers(0, 51_865), max_size=5).map(tuple),
) | st.builds(
    WindowOptions,
    beam_size=st.integers(1, 10),
    patience=st.none() | st.floats(0, 10, exclude_min=True),
    length_penalty=st.none() | st.floats(0, 1),
)
MESSAGE = pack_window(np.linspace(-1, 1, 100, dtype=np.float32), WindowOptions(prompt="Ünïcödé"))


@given(options=OPTIONS, samples=st.lists(st.integers(-32768, 32767), max_size=50))
def test_a_window_comes_back_as_it_was_sent(options: WindowOptions, samples: list[int]) -> None:
    audio = np.array(samples, dtype=np.float32) / np.float32(32768)
    received, asked = unpack_window(pack_window(audio, options))
    assert np.array_equal(received, audio)
    assert received.dtype == np.float32
    assert asked == options


def test_loud_samples_are_clipped_not_wrapped() -> None:
    received, _ = unpack_window(pack_window(np.array([2.0, -2.0, 1.0], np.float32), WindowOptions()))
    assert received.tolist() == [32767 / 32768, -1.0, 32767 / 32768]


@given(st.integers(0, len(MESSAGE) - 1))
def test_a_message_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(WireError, match="bytes"):
        unpack_window(MESSAGE[:length])


@given(st.integers(0, len(MESSAGE) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_noticed(position: int, change: int) -> None:
    damaged = bytearray(MESSAGE)
    damaged[position] ^= change
    try:
        audio, options = unpack_window(damaged)
    except WireError:
        return
    # Only the reserved field may change unnoticed.
    assert position in (6, 7)
    assert (len(audio), options.prompt) == (100, "Ünïcödé")


@given(st.binary(max_size=200))
def test_anything_else_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack_window(data)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"version": 2}, "version 1 are understood here, not version 2"),
        ({"samples": 480_001}, "announces 480,001"),
        ({"magic": b"RIFF"}, "not with b'RIFF'"),
    ],
)
def test_a_head_that_is_not_ours_is_named(header: dict[str, Any], message: str) -> None:
    fields = dict(zip(("magic", "version", "_", "length", "samples", "crc"), HEAD.unpack_from(MESSAGE), strict=True))
    with pytest.raises(WireError, match=message):
        unpack_window(HEAD.pack(*{**fields, **header}.values()) + MESSAGE[HEAD.size :])


@pytest.mark.parametrize("options", [b"[1]", b"{", b"\xff"])
def test_options_that_are_no_json_object_are_named(options: bytes) -> None:
    import zlib

    message = HEAD.pack(b"WSWN", 1, 0, len(options), 0, zlib.crc32(options)) + options
    with pytest.raises(WireError, match="options of the window message"):
        unpack_window(message)


def test_too_long_a_window_is_refused_before_it_is_sent() -> None:
    with pytest.raises(WireError, match="at most 480,000"):
        pack_window(np.zeros(480_001, np.float32), WindowOptions())


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"task": "sing"}, "task"),
        ({"language": "english"}, "language"),
        ({"language": 3}, "language"),
        ({"language": ["en"]}, "language"),
        ({"task": ["transcribe"]}, "task"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"prompt": "Caf\ud83d"}, "prompt"),
        ({"hotwords": "\ude00"}, "hotwords"),
        ({"temperature": 1.1}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"timestamps": 1}, "timestamps"),
        ({"detect_only": "yes"}, "detect_only"),
        ({"logprobs": None}, "logprobs"),
        ({"beams": 5}, "beams"),
        ({"beam_size": 0}, "beam_size"),
        ({"beam_size": 11}, "beam_size"),
        ({"beam_size": 2.0}, "beam_size"),
        ({"beam_size": True}, "beam_size"),
        ({"beam_size": 5, "temperature": 0.2}, "beam_size"),
        ({"best_of": "5"}, "best_of"),
        ({"beam_size": 5, "patience": 0}, "patience"),
        ({"beam_size": 5, "patience": 11}, "patience"),
        ({"beam_size": 5, "patience": float("nan")}, "patience"),
        ({"patience": 2.0}, "patience"),
        ({"patience": 2.0, "best_of": 5}, "patience"),
        ({"beam_size": 5, "length_penalty": 1.5}, "length_penalty"),
        ({"beam_size": 5, "length_penalty": -0.1}, "length_penalty"),
        ({"length_penalty": 0.6}, "length_penalty"),
        ({"hotwords": ["Nemo"]}, "hotwords"),
        ({"hotwords": "x" * 10_001}, "hotwords"),
        ({"suppress_tokens": "-1"}, "suppress_tokens"),
        ({"suppress_tokens": [-2]}, "suppress_tokens"),
        ({"suppress_tokens": [50_257]}, "suppress_tokens"),
        ({"suppress_tokens": [1.0]}, "suppress_tokens"),
        ({"suppress_tokens": [1] * 1_001}, "suppress_tokens"),
        ({"search_threshold": 0.1}, "search_threshold"),
        ({"search_threshold": "low"}, "search_threshold"),
        ({"draft_tokens": "1"}, "draft_tokens"),
        ({"draft_tokens": [1.0]}, "draft_tokens"),
        ({"draft_tokens": [1] * 449}, "draft_tokens"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(values: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        WindowOptions.from_json(values)
    assert caught.value.param == param
    assert param in str(caught.value)


SEGMENT = Segment(0, 0, 0.5, 2.0, " Hé.", (50364, 1, 50464), 0.0, -0.3, 1.1, 0.01, (Word(" Hé.", 0.5, 2.0, 0.9),))


@pytest.mark.parametrize(
    "reply",
    [
        WindowTranscript("fr", 0.98, (SEGMENT, replace(SEGMENT, id=1, words=()))),
        WindowTranscript("en", None, ()),
        ErrorReply(400, "no", "invalid_request_error", "language", "invalid_value"),
    ],
)
def test_a_reply_comes_back_as_it_was_sent(reply: WindowTranscript | ErrorReply) -> None:
    assert unpack_reply(pack_reply(reply)) == reply


@pytest.mark.parametrize(
    "data",
    [b"", b"busy", b"[]", b"{}", b'{"version": 9}', b'{"version": 1}', b'{"version": 1, "window": {"language": "en"}}'],
)
def test_anything_else_is_no_reply(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack_reply(data)


def test_replies_are_plain_json() -> None:
    content = json.loads(pack_reply(WindowTranscript("fr", 0.5, (SEGMENT,))))
    assert content["window"]["segments"][0]["tokens"] == [50364, 1, 50464]
    # What nobody asked for is not there, so that an older gateway understands the rest.
    assert content["window"]["segments"][0].keys() == asdict(SEGMENT).keys() - {"token_logprobs", "language"}
    assert content["window"].keys() == {"language", "language_probability", "segments"}


DROPPED = (Dropped(0.0, 2.5, "silence", "Merci."), Dropped(3.0, 4.0, "repetition", "Hé. Hé."))


def test_what_was_dropped_comes_with_the_reply() -> None:
    reply = WindowTranscript("fr", 0.5, (SEGMENT,), dropped=DROPPED)
    data = pack_reply(reply)
    assert unpack_reply(data) == reply
    # An older gateway reads these members and no others; what it reads is what it got before there were more.
    window = json.loads(data)["window"]
    assert json.loads(pack_reply(replace(reply, dropped=())))["window"] == {
        name: window[name] for name in ("language", "language_probability", "segments")
    }


def test_members_that_are_not_known_are_passed_over() -> None:
    content = json.loads(pack_reply(WindowTranscript("fr", 0.5, (SEGMENT,))))
    content["window"]["speakers"] = ["Anna"]
    assert unpack_reply(json.dumps(content).encode()) == WindowTranscript("fr", 0.5, (SEGMENT,))


def test_a_language_may_come_without_its_probability() -> None:
    content = json.loads(pack_reply(WindowTranscript("fr", 0.5, (SEGMENT,))))
    del content["window"]["language_probability"]
    assert unpack_reply(json.dumps(content).encode()) == WindowTranscript("fr", None, (SEGMENT,))


LOGPROBS = (TokenLogprob(" H", (32, 72), -0.1), TokenLogprob("�", (195,), -0.25), TokenLogprob("�", (169,), 0.0))


@pytest.mark.parametrize(
    "reply",
    [
        WindowTranscript("fr", 0.75, (), {"fr": 0.75, "en": 0.25}),
        WindowTranscript("fr", None, (replace(SEGMENT, token_logprobs=LOGPROBS), SEGMENT)),
    ],
)
def test_what_was_asked_for_comes_with_the_reply(reply: WindowTranscript) -> None:
    assert unpack_reply(pack_reply(reply)) == reply


def test_only_what_differs_from_the_defaults_is_sent() -> None:
    assert WindowOptions(timestamps=False, logprobs=True).as_json() == {"timestamps": False, "logprobs": True}
    assert WindowOptions().as_json() == {}


@pytest.mark.parametrize("probabilities", ["[0.5]", '{"en": "much"}', "3"])
def test_probabilities_that_are_none_are_refused(probabilities: str) -> None:
    reply = pack_reply(WindowTranscript("en", 1.0, (), {"en": 1.0})).decode()
    with pytest.raises(WireError):
        unpack_reply(reply.replace('{"en": 1.0}', probabilities).encode())
