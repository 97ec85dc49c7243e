"""Transcribing files in this process, without a server: what `whisper-serve transcribe` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from whisper_serve.delivery import deliver
from whisper_serve.request import FileRequest
from whisper_serve.speech import SpeechError, Transcript, open_audio, render
from whisper_serve.transcriber import FileJob, Outcome, Transcriber


def transcribe_files(
    transcriber: Transcriber, files: Sequence[Path], request: FileRequest, console: Console, output: Path | None
) -> list[Path]:
    """Transcribe files together and print the results, or write them to the folder ``output``.

    A file that fails is named on ``console`` and does not stop the others.

    Returns:
        The files that failed.
    """
    outcomes = _run(transcriber, files, request, console)
    failed = []
    for path, outcome in zip(files, outcomes, strict=True):
        if not isinstance(outcome, Transcript):
            console.print(f"Error: {path}: {outcome}", style="bold red", markup=False)
            failed.append(path)
            continue
        for warning in outcome.warnings:
            console.print(f"Warning: {path}: {warning}", style="yellow", markup=False)
        text = render(outcome, request.response_format, request.render)
        deliver(text, path, request.response_format, console, output)
    return failed


def _run(transcriber: Transcriber, files: Sequence[Path], request: FileRequest, console: Console) -> list[Outcome]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} s of audio"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        job = bar.add_task("transcribing", total=sum(map(_announced_seconds, files)) or None)
        jobs = [FileJob(path, request.options, request.vad, request.language_per_window) for path in files]
        return transcriber.run(jobs, lambda seconds: bar.advance(job, seconds)).outcomes


def _announced_seconds(path: Path) -> float:
    try:
        with open_audio(path) as stream:
            return stream.announced_seconds
    except (SpeechError, OSError):
        return 0.0  # What is wrong with it comes up when it is its turn.
