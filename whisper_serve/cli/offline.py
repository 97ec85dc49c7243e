"""`transcribe`: without a server, or at one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whisper_serve.cli.console import err
from whisper_serve.cli.options import Dtype, Model


def transcribe(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Recordings, in any common format.")],
    model: Model = "default",
    response_format: Annotated[
        str, typer.Option("--format", "-f", help="json, text, srt, vtt, verbose_json or tsv.")
    ] = "text",
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="Write a file for each recording, of its name; by default, print."),
    ] = None,
    task: Annotated[str, typer.Option(help="transcribe, or translate to English.")] = "transcribe",
    language: Annotated[
        str,
        typer.Option(
            help="Code (de) or name (German); by default it is found out, once for a recording. auto-per-window finds "
            "it out for each window of at most 30 s."
        ),
    ] = "",
    prompt: Annotated[str, typer.Option(help="Text that comes before: names, spelling, style.")] = "",
    temperature: Annotated[float, typer.Option(help="0 to 1; 0 starts greedy and is raised where a text fails.")] = 0.0,
    beam_size: Annotated[
        int | None,
        typer.Option(
            help="At temperature 0: search so many texts side by side, 1 to 10; by default one, and two where the "
            "model is unsure of that."
        ),
    ] = None,
    patience: Annotated[
        float | None, typer.Option(help="With --beam-size: search until so many times as many texts have ended.")
    ] = None,
    best_of: Annotated[
        int | None, typer.Option(help="At temperatures above 0: take the best of so many samples, 1 to 10.")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="With --beam-size or --best-of: 0 to 1; by default texts' means are compared.")
    ] = None,
    hotwords: Annotated[str, typer.Option(help="Words and names that are likely to come.")] = "",
    suppress_tokens: Annotated[
        str, typer.Option(help="Tokens never said, ids separated by commas; -1: symbols that nobody speaks; or none.")
    ] = "-1",
    words: Annotated[bool, typer.Option(help="With verbose_json, srt and vtt: the times of words too.")] = False,
    highlight_words: Annotated[bool, typer.Option(help="With srt, vtt: underline each word while it is said.")] = False,
    max_line_width: Annotated[int | None, typer.Option(help="With srt, vtt: characters of a line.")] = None,
    max_line_count: Annotated[int | None, typer.Option(help="With --max-line-width: lines of a subtitle.")] = None,
    max_words_per_line: Annotated[int | None, typer.Option(help="With srt, vtt: words of a subtitle.")] = None,
    vad: Annotated[bool, typer.Option("--vad/--no-vad", help="Find speech first; off for music or odd audio.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Dtype = "auto",
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Let a server do it: grpc://HOST:9000, or http://HOST:8000 for OpenAI's API."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar=["WHISPER_API_KEY", "OPENAI_API_KEY"], help="With --url: the server's key.")
    ] = None,
) -> None:
    """Transcribe recordings in this process, without a server, or with --url at one.

    The windows of all recordings fill the model's batches together. A recording that fails is named and does not stop
    the others; the command then ends with exit code 1.

    Examples:

    * `whisper-serve transcribe talk.mp3`

    * `whisper-serve transcribe *.mp3 --format srt --output-dir subtitles`

    * `whisper-serve transcribe talk.mp3 --format vtt --max-line-width 42 --max-line-count 2 --highlight-words`

    * `whisper-serve transcribe talk.mp3 --beam-size 5 --best-of 5 --hotwords "Nemo, Aronnax, Nautilus"`

    * `whisper-serve transcribe rede.ogg --task translate --language de --model turbo`

    * `whisper-serve transcribe interview.mp3 --language auto-per-window --format verbose_json`

    * `whisper-serve transcribe talk.mp3 --url grpc://127.0.0.1:9000`
    """
    fields = {"response_format": response_format, "task": task, "language": language, "prompt": prompt}
    fields |= {"temperature": str(temperature), "vad_filter": str(vad)}
    fields |= {"hotwords": hotwords, "suppress_tokens": suppress_tokens}
    numbers = {
        "beam_size": beam_size,
        "patience": patience,
        "best_of": best_of,
        "length_penalty": length_penalty,
        "max_line_width": max_line_width,
        "max_line_count": max_line_count,
        "max_words_per_line": max_words_per_line,
    }
    fields |= {name: str(value) for name, value in numbers.items() if value is not None}
    fields["highlight_words"] = str(highlight_words)
    granularities = ("segment", "word") if words else ("segment",)
    lists = [("timestamp_granularities[]", one) for one in granularities]
    form = [*fields.items(), *lists]
    if output_dir is not None:
        from whisper_serve.delivery import require_own_names

        require_own_names(files)
        output_dir.mkdir(parents=True, exist_ok=True)
    if url is None:
        failed = _transcribe_here(files, form, output_dir, model, device, dtype)
    else:
        from whisper_serve.remote import transcribe_at

        named = [("model", model)] if model != "default" else []
        failed = transcribe_at(url, files, [*form, *named], err, output_dir, key=api_key)
    if failed:
        raise typer.Exit(1)


def _transcribe_here(
    files: list[Path], form: list[tuple[str, str]], output_dir: Path | None, model: str, device: str, dtype: str
) -> list[Path]:
    from whisper_serve.engine import Engine
    from whisper_serve.engine.weights import load_weights
    from whisper_serve.offline import transcribe_files
    from whisper_serve.request import FileRequest
    from whisper_serve.transcriber import Transcriber

    request = FileRequest.from_form(form)
    transcriber = Transcriber(Engine.load(load_weights(model), device, dtype))
    return transcribe_files(transcriber, files, request, err, output_dir)
