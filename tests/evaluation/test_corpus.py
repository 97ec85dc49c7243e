from __future__ import annotations

import re
from pathlib import Path

import pytest

from whisper_serve.evaluation.corpus import read_corpus, read_manifest
from whisper_serve.evaluation.errors import CorpusError

MANIFEST = (
    'path\tlanguage\ttranscript\na.wav\ten\tHe said "no".\nb.wav\tGerman\tNein\nnoise.wav\tnone\t\nodd/c.wav\ten\tx\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifest.tsv").write_text(MANIFEST)
    (tmp_path / "translations.tsv").write_text("path\tlanguage\tenglish_translation\nb.wav\tde\tNo\n")
    for name in ("a.wav", "b.wav", "noise.wav"):
        (tmp_path / name).touch()
    return tmp_path


def test_spoken_files_are_read_with_their_translations(folder: Path) -> None:
    english, german = read_corpus(folder)
    assert (english.name, english.transcript, english.translation) == ("a.wav", 'He said "no".', None)
    assert (german.language, german.translation, german.group) == ("de", "No", ".")


def test_files_without_speech_are_read_too(folder: Path) -> None:
    noise = read_manifest(folder)[-1]
    assert (noise.name, noise.silent, noise.told_language) == ("noise.wav", True, None)


def test_a_table_of_any_name_is_a_corpus(folder: Path) -> None:
    table = folder / "test.tsv"
    table.write_text("\ufefftranscript\tspeaker\tlanguage\tpath\nHello\tAnna\ten\ta.wav\n", encoding="utf-8")
    (sample,) = read_corpus(table)
    assert (sample.path, sample.transcript) == (folder / "a.wav", "Hello")


HEAD = "path\tlanguage\ttranscript\n"


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, r"no corpus at .*manifest\.tsv"),
        ("", "manifest.tsv, line 1 lacks the column path, language, transcript"),
        ("path\tlanguage\na.wav\ten\n", "manifest.tsv, line 1 lacks the column transcript"),
        (HEAD + "a.wav\ten\tHello\n\nb.wav\tde\n", "manifest.tsv, line 4, column transcript: the line ends"),
        (HEAD + "a.wav\ten\tHello\nb.wav\ttlh\tnuqneH\n", "manifest.tsv, line 3, column language: 'tlh' is not a"),
        (HEAD + "a.wav\ten\tHello\ngone.wav\ten\tBye\n", "manifest.tsv, line 3, column path: there is no file .*gone"),
    ],
)
def test_a_corpus_that_cannot_be_read_says_where(folder: Path, manifest: str | None, message: str) -> None:
    if manifest is None:
        (folder / "manifest.tsv").unlink()
    else:
        (folder / "manifest.tsv").write_text(manifest)
    with pytest.raises(CorpusError, match=message):
        read_corpus(folder)


def test_translations_without_their_column_say_so(folder: Path) -> None:
    (folder / "translations.tsv").write_text("path\ttext\nb.wav\tNo\n")
    with pytest.raises(CorpusError, match=re.escape("translations.tsv, line 1 lacks the column english_translation")):
        read_corpus(folder)
