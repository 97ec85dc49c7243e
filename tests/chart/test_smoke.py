"""The script of `helm test`, against a gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.chart.render import CHART
from tests.gateway.deterministic import serve
from whisper_serve.gateway.keys import add_key

SCRIPT = CHART / "files" / "smoke.py"


def smoke(url: str, clip: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPT), url, str(clip), "--model=whisper", "--timeout=4", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_tells_good_from_bad(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.write_bytes(b"audio")
    keys = tmp_path / "keys.jsonl"
    _, key = add_key(keys)
    (tmp_path / "key").write_text(key + "\n")
    with serve(keys_file=keys) as served:
        given = f"--key-file={tmp_path / 'key'}"
        done = smoke(served.url, clip, given, "--expect=one window and another")
        assert (done.returncode, done.stderr) == (0, "")
        assert smoke(served.url, clip, given, "--expect=something else").returncode == 1
        assert smoke(served.url, clip).returncode == 1
        assert smoke(served.url, clip, "--refused").returncode == 0
        assert smoke(served.url, clip, given, "--refused").returncode == 1
        clip.write_bytes(b"noise")
        assert smoke(served.url, clip, given).returncode == 1
    assert smoke(served.url, clip, "--timeout=1").returncode == 1


def test_the_clip_is_one_of_the_tests(data: Path) -> None:
    assert (CHART / "files" / "clip.mp3").read_bytes() == (data / "en-jfk.mp3").read_bytes()
