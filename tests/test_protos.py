"""The .proto files, and the stubs that are generated from them wherever the project is built."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUBS = [
    f"whisper_serve/{name}"
    for module in ("speech_v1/speech", "torchserve/inference")
    for name in (f"{module}_pb2.py", f"{module}_pb2.pyi", f"{module}_pb2_grpc.py")
]


def test_the_service_is_defined_as_the_linter_wants() -> None:
    buf = Path(sys.executable).with_name("buf")
    found = subprocess.run([buf, "lint"], cwd=ROOT / "proto", capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_linter_sees_mistakes(tmp_path: Path) -> None:
    folder = tmp_path / "proto"
    shutil.copytree(ROOT / "proto", folder)
    file = folder / "whisper" / "v1" / "speech.proto"
    file.write_text(file.read_text().replace("TASK_UNSPECIFIED", "NOTHING").replace("  // The word.\n", ""))
    buf = Path(sys.executable).with_name("buf")
    found = subprocess.run([buf, "lint"], cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode == 100
    assert "NOTHING" in found.stdout
    assert 'Field "word" should have a non-empty comment' in found.stdout


def test_stubs_here_are_those_of_the_protos(tmp_path: Path) -> None:
    for folder in ("proto", "whisper_serve/torchserve"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    (tmp_path / "whisper_serve" / "speech_v1").mkdir()
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    subprocess.run([sys.executable, "hatch_build.py"], cwd=tmp_path, check=True)
    for name in STUBS:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), "install the project again, or: make proto"


def test_archives_of_the_sources_can_be_built_from(tmp_path: Path) -> None:
    """The wheel that is made of a source archive has stubs, generated from the protos in that archive."""
    build = [sys.executable, "-m", "hatchling", "build"]
    subprocess.run([*build, "-t", "sdist", "-d", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    for path in folder.rglob("*_pb2*"):
        path.unlink()
    subprocess.run([*build, "-t", "wheel", "-d", str(tmp_path)], cwd=folder, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert set(STUBS) <= set(wheel.namelist())
