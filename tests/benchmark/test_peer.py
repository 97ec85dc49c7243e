from __future__ import annotations

import sys
from pathlib import Path

import pytest

from whisper_serve.benchmark.peer import FasterWhisper, faster_whisper
from whisper_serve.benchmark.process import Worker
from whisper_serve.engine import FALLBACK_TEMPERATURES
from whisper_serve.evaluation.corpus import Sample
from whisper_serve.evaluation.errors import BadSystem, SystemFailed

ECHO = """
import json, sys
print('{"ready": true}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    answer = {"texts": [line], "languages": ["de"], "seconds": 1.5, "peak_rss": 1}
    print(json.dumps({"error": "no more"} if "bad" in line else answer), flush=True)
"""
SAMPLES = [Sample(name, Path(name), "de", "") for name in ("a.wav", "b.wav")]


def test_each_file_is_asked_for_with_its_language() -> None:
    worker = Worker([sys.executable, "-c", ECHO], threads=1)
    try:
        done: list[float] = []
        system = FasterWhisper(worker, fallback=True)
        heard = system.transcribe(SAMPLES, "translate", done.append)
        assert (len(heard.values), heard.seconds, len(done)) == (2, 3.0, 2)
        assert f'"temperatures": {[*FALLBACK_TEMPERATURES]}, "task": "translate", "language": "de"' in heard.values[1]
        assert '"files": ["b.wav"]' in heard.values[1]
        assert system.detect(SAMPLES, done.append).values == ["de", "de"]
        with pytest.raises(SystemFailed, match="no more"):
            system.transcribe([Sample("bad.wav", Path("bad.wav"), "de", "")], "transcribe", done.append)
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("faster-whisper-int9", "trial", "unknown system faster-whisper-int9: there are faster-whisper, "),
        ("faster-whisper", "random:tiny", "the base model only, not random:tiny"),
        ("faster-whisper-float16", "trial", "it is for cuda only"),
        ("faster-whisper", "trial", "no environment none"),
    ],
)
def test_what_cannot_run_here_says_why(name: str, model: str, reason: str) -> None:
    with pytest.raises(BadSystem, match=reason), faster_whisper(name, model, "cpu", Path("none"), fallback=False):
        pass
