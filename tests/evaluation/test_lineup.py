from __future__ import annotations

from contextlib import nullcontext

import pytest

from tests.evaluation.examples import Parrot
from whisper_serve.engine import DeviceError
from whisper_serve.evaluation.errors import BadSystem
from whisper_serve.evaluation.lineup import Opened, Setup, lineup
from whisper_serve.evaluation.server import ServerSystem
from whisper_serve.evaluation.systems import EngineSystem, OpenAIWhisper

SETUP = Setup("random:tiny", "cpu", fallback=False)


def no_peer(name: str) -> Opened:
    raise AssertionError(name)


def test_each_name_is_a_system() -> None:
    names = ["ours=engine", "openai-whisper", "http://127.0.0.1:9/v1", "b=http://127.0.0.1:9/v1?x=y#m"]
    entries = lineup(names, SETUP, no_peer)
    assert [entry.label for entry in entries] == ["ours", "openai-whisper", "http://127.0.0.1:9/v1", "b"]
    for entry, kind in zip(entries, (EngineSystem, OpenAIWhisper, ServerSystem, ServerSystem), strict=True):
        with entry.open() as system:
            assert isinstance(system, kind)


@pytest.mark.parametrize(
    ("name", "beams"),
    [("engine-beam", 5), ("engine-beam-float32", 5), ("engine-beam1", 1), ("engine-beam10-float32", 10)],
)
def test_an_engine_may_search_with_beams(name: str, beams: int) -> None:
    (entry,) = lineup([name], SETUP, no_peer)
    with entry.open() as system:
        assert isinstance(system, EngineSystem)
        assert system.beam_size == beams


def test_peers_are_started_by_whoever_can() -> None:
    asked = []

    def peer(name: str) -> Opened:
        asked.append(name)
        return nullcontext(Parrot())

    (entry,) = lineup(["faster-whisper-int8"], SETUP, peer)
    with entry.open() as system:
        assert isinstance(system, Parrot)
    assert asked == ["faster-whisper-int8"]


def test_what_cannot_take_part_is_named_before_anything_starts() -> None:
    with pytest.raises(BadSystem, match=r"unknown system 'abacus': there are engine, engine-DTYPE, engine-beam,"):
        lineup(["abacus"], SETUP, no_peer)
    with pytest.raises(BadSystem, match="two systems are called engine"):
        lineup(["engine", "engine"], SETUP, no_peer)
    with pytest.raises(DeviceError, match="int9"):
        lineup(["engine-int9"], SETUP, no_peer)
    with pytest.raises(DeviceError, match="int9"):
        lineup(["engine-beam-int9"], SETUP, no_peer)
    with pytest.raises(DeviceError, match="beam11"):
        lineup(["engine-beam11"], SETUP, no_peer)
