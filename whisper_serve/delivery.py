"""Where the texts of transcribed files go: to standard output, or into files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from whisper_serve.speech import RESPONSE_FORMATS


class SameName(Exception):
    """Two texts would be written to the same file; the message is a sentence."""


def require_own_names(paths: Iterable[Path]) -> None:
    """Raise SameName where the texts of two recordings would get the same name in a folder."""
    taken: dict[str, Path] = {}
    for path in paths:
        other = taken.setdefault(path.stem, path)
        if other != path:
            raise SameName(
                f"{other} and {path} would both be written as {path.stem!r} into --output-dir, and one of the "
                "texts be lost: rename one of the files, or transcribe them one after the other into different folders."
            )


def deliver(text: str, path: Path, response_format: str, console: Console, output: Path | None) -> None:
    """Print the text of the recording `path`, or write it into the folder `output` and tell so on `console`."""
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    target = output / f"{path.stem}.{RESPONSE_FORMATS[response_format].extension}"
    target.write_text(text, encoding="utf-8")
    console.print(f"{path} → {target}", markup=False)
