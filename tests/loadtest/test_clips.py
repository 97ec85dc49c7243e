from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from loadtest.clips import Clips
from whisper_serve.evaluation.corpus import Sample


@pytest.fixture(scope="module")
def all_clips() -> Clips:
    return Clips.read(Path(__file__).parents[1] / "data")


def test_clips_have_their_length_and_text(all_clips: Clips, clips: dict[str, Sample]) -> None:
    by_name = {clip.name: clip for clip in all_clips.all}
    assert by_name.keys() == clips.keys()
    jfk = by_name["en-jfk.mp3"]
    assert jfk.seconds == pytest.approx(11.0, abs=0.1)
    assert (jfk.language, jfk.transcript) == ("en", clips["en-jfk.mp3"].transcript)
    assert len(jfk.pcm()) == pytest.approx(2 * 16_000 * jfk.seconds, rel=0.01)


def test_seconds_are_sent_evenly(all_clips: Clips) -> None:
    chance = random.Random(0)
    sent = Counter(all_clips.choose(chance).name for _ in range(20_000))
    total = sum(clip.seconds for clip in all_clips.all)
    for clip in all_clips.all:
        assert sent[clip.name] / 20_000 == pytest.approx(clip.seconds / total, abs=0.01)


def test_long_clips_can_be_left_out(data: Path) -> None:
    assert Clips.read(data, longest=5.0).longest <= 5.0
    with pytest.raises(ValueError, match=r"no clip with a transcript of at most 0\.1 s"):
        Clips.read(data, longest=0.1)
