"""A corpus: audio files with reference transcripts, listed in a tab-separated manifest."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisper_serve.speech import language_code

from .errors import CorpusError

MANIFEST: Final = "manifest.tsv"
TRANSLATIONS: Final = "translations.tsv"
COLUMNS: Final = ("path", "language", "transcript")
TRANSLATION_COLUMNS: Final = ("path", "english_translation")
NO_SPEECH: Final = "none"
"""What a manifest calls the language of a file without speech."""
UNUSUAL: Final = "odd/"
"""A folder of files whose format or signal is unusual: speech in them is not measured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording and what is said in it."""

    name: str
    path: Path
    language: str
    transcript: str
    translation: str | None = None
    """Reference translation to English."""
    seconds: float = 0.0
    """Its length, where that was found out."""

    @property
    def group(self) -> str:
        """The folder that the file is in, as seen from the corpus."""
        return str(Path(self.name).parent)

    @property
    def silent(self) -> bool:
        return self.language == NO_SPEECH

    @property
    def told_language(self) -> str | None:
        """The language that a system is told; that of a file without speech it has to find out."""
        return None if self.silent else self.language


def read_corpus(corpus: Path) -> list[Sample]:
    """All spoken files with a transcript. Raises CorpusError as `read_manifest` does."""
    return [sample for sample in read_manifest(corpus) if not sample.silent]


def read_manifest(corpus: Path) -> list[Sample]:
    """All spoken files with a transcript and all files without speech, in the order of the manifest.

    The manifest is ``corpus``, or ``manifest.tsv`` in that folder. It has at least the columns path (from the
    manifest's folder), language (code, or none where nobody speaks) and transcript, without quoting. English
    references may lie in ``translations.tsv`` beside it (path, english_translation).

    Raises:
        CorpusError: there is no such manifest, a column or a value is missing, a language is not known, or a listed
            file is not there.
    """
    manifest = corpus / MANIFEST if corpus.is_dir() else corpus
    if not manifest.is_file():
        raise CorpusError(f"no corpus at {corpus}: it has no {MANIFEST}")
    references = manifest.with_name(TRANSLATIONS)
    translations = _translations(references) if references.is_file() else {}
    return [
        sample
        for line, row in _rows(manifest, COLUMNS)
        if (sample := _sample(manifest, line, row, translations)) is not None
    ]


def _sample(manifest: Path, line: int, row: Mapping[str, str], translations: Mapping[str, str]) -> Sample | None:
    """The sample of a line, or None if nothing can be measured with it."""
    name, language, transcript = row["path"], row["language"].strip(), row["transcript"]
    if language != NO_SPEECH and (not language or not transcript.strip() or name.startswith(UNUSUAL)):
        return None
    if language != NO_SPEECH:
        try:
            language = language_code(language)
        except ValueError as error:
            raise _at(manifest, line, "language", str(error)) from error
    path = manifest.parent / name
    if not path.is_file():
        raise _at(manifest, line, "path", f"there is no file {path}")
    return Sample(name, path, language, transcript, translations.get(name))


def _translations(table: Path) -> dict[str, str]:
    return {row["path"]: row["english_translation"] for _, row in _rows(table, TRANSLATION_COLUMNS)}


def _rows(table: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line number, once it has all that is needed."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := [column for column in needed if column not in (reader.fieldnames or ())]:
            raise CorpusError(f"{table}, line 1 lacks the column {', '.join(missing)}")
        for row in reader:
            for column in needed:
                if row[column] is None:
                    raise _at(table, reader.line_num, column, "the line ends before it")
            yield reader.line_num, row


def _at(table: Path, line: int, column: str, problem: str) -> CorpusError:
    return CorpusError(f"{table}, line {line}, column {column}: {problem}")
