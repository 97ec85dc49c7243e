"""A corpus: audio files with reference transcripts, listed in a tab-separated manifest."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MANIFEST: Final = "manifest.tsv"
TRANSLATIONS: Final = "translations.tsv"
COLUMNS: Final = ("path", "language", "transcript")


class CorpusError(Exception):
    """The corpus cannot be read; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording and what is said in it."""

    name: str
    path: Path
    language: str
    transcript: str
    translation: str | None = None
    """Reference translation to English."""

    @property
    def group(self) -> str:
        """The folder that the file is in, as seen from the corpus."""
        return str(Path(self.name).parent)


def read_corpus(folder: Path) -> list[Sample]:
    """All spoken files with a transcript, as ``manifest.tsv`` in ``folder`` lists them.

    The manifest has at least the columns path (from ``folder``), language (ISO 639-1 code) and transcript, without
    quoting. English references may lie in ``translations.tsv`` beside it (path, english_translation).

    Raises:
        CorpusError: there is no such manifest, a column is missing, or a listed file is not there.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise CorpusError(f"no corpus at {folder}: it has no {MANIFEST}")
    rows = _read_table(manifest)
    if missing := [column for column in COLUMNS if rows and column not in rows[0]]:
        raise CorpusError(f"{manifest} lacks the column {', '.join(missing)}")
    translations = _translations(folder)
    samples = [
        Sample(row["path"], folder / row["path"], row["language"], row["transcript"], translations.get(row["path"]))
        for row in rows
        if row["transcript"].strip() and row["language"] not in ("", "none") and not row["path"].startswith("odd/")
    ]
    if absent := [sample.name for sample in samples if not sample.path.is_file()]:
        raise CorpusError(f"{manifest} lists {len(absent)} files that are not there, such as {absent[0]}")
    return samples


def _translations(folder: Path) -> dict[str, str]:
    table = folder / TRANSLATIONS
    if not table.is_file():
        return {}
    return {row["path"]: row["english_translation"] for row in _read_table(table)}


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
