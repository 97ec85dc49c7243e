"""Something to measure on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CLIP = "en-librispeech-1089-134686-0001.flac"


@pytest.fixture
def small_corpus(data: Path, tmp_path: Path) -> Path:
    """Three seconds of English."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    shutil.copy(data / CLIP, folder)
    (folder / "manifest.tsv").write_text(f"path\tlanguage\ttranscript\n{CLIP}\ten\tStuff it into you\n")
    return folder
