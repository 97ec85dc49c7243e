from __future__ import annotations

from pathlib import Path

import pytest

from whisper_serve.evaluation.corpus import CorpusError, read_corpus

MANIFEST = (
    'path\tlanguage\ttranscript\na.wav\ten\tHe said "no".\nb.wav\tde\tNein\nnoise.wav\tnone\t\nodd/c.wav\ten\tx\n'
)


def test_spoken_files_are_read_with_their_translations(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text(MANIFEST)
    (tmp_path / "translations.tsv").write_text("path\tlanguage\tenglish_translation\nb.wav\tde\tNo\n")
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    english, german = read_corpus(tmp_path)
    assert (english.name, english.transcript, english.translation) == ("a.wav", 'He said "no".', None)
    assert (german.language, german.translation, german.group) == ("de", "No", ".")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, r"no corpus at .*manifest\.tsv"),
        ("path\tlanguage\na.wav\ten\n", "lacks the column transcript"),
        (MANIFEST, "lists 2 files that are not there, such as a.wav"),
    ],
)
def test_a_corpus_that_cannot_be_read_says_why(tmp_path: Path, manifest: str | None, message: str) -> None:
    if manifest is not None:
        (tmp_path / "manifest.tsv").write_text(manifest)
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path)
