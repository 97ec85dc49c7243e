"""Where the texts of transcribed files go: to standard output, or into files of a folder."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from whisper_serve.speech import RESPONSE_FORMATS


def deliver(text: str, path: Path, response_format: str, console: Console, output: Path | None) -> None:
    """Print the text of the recording `path`, or write it into the folder `output` and tell so on `console`."""
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    target = output / f"{path.stem}.{RESPONSE_FORMATS[response_format].extension}"
    target.write_text(text, encoding="utf-8")
    console.print(f"{path} → {target}", markup=False)
