"""`bench` and `profile`: how fast, beside other systems, and where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from whisper_serve.cli.console import CommandFailed, out
from whisper_serve.cli.options import Dtype, Model


def bench(
    corpus: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="A folder with recordings and manifest.tsv.")
    ],
    model: Model = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    systems: Annotated[
        str, typer.Option(help="Names with commas between; by default all that are for the device.")
    ] = "",
    baseline: Annotated[str, typer.Option(help="The system that others are compared with.")] = "openai-whisper",
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of English speech to transcribe.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often; medians are shown.")] = 3,
    latency_runs: Annotated[int, typer.Option(min=0, help="Requests with a 10-s and with a 30-s clip.")] = 5,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Cores that each system may use; by default all that this process may.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Decode at most so many tokens of each window: for random weights.")
    ] = None,
    peers: Annotated[Path, typer.Option(help="The environment of other projects; `make bench` makes it.")] = Path(
        ".venv-peers"
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all that was measured.")] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write the table into this file, between <!-- bench:cpu --> and <!-- /bench:cpu --> (gpu)."),
    ] = None,
    marker: Annotated[str, typer.Option(help="The name of other such lines in the file: bench:gpu-turbo, say.")] = "",
    svg: Annotated[Path | None, typer.Option(help="Write a bar chart.")] = None,
) -> None:
    """Measure speed: this engine, openai-whisper, faster-whisper, transformers, and the servers before the engine.

    Each system runs in a process of its own; one at a time is asked, in turns. A system that cannot run, or that dies,
    is named with the reason and does not stop the others.

    Examples:

    * `whisper-serve bench recordings`

    * `whisper-serve bench recordings --systems engine-int8,openai-whisper --minutes 2 --rounds 1`

    * `whisper-serve bench recordings --model random:large-v3-turbo --device cuda --tokens 100`
    """
    import json

    from whisper_serve.benchmark.chart import speed_chart
    from whisper_serve.benchmark.run import Plan, benchmark
    from whisper_serve.benchmark.table import CONSOLE_WIDTH, console_table, markdown_table
    from whisper_serve.engine import resolve_device
    from whisper_serve.evaluation.markers import picture, split_at_markers, write_between_markers

    # What would fail at the end fails now.
    if missing := [path for path in (json_file, svg) if path is not None and not path.parent.is_dir()]:
        raise CommandFailed(f"{missing[0]} cannot be written: there is no folder {missing[0].parent}")
    marker = marker or ("bench:cpu" if resolve_device(device).type == "cpu" else "bench:gpu")
    if markdown is not None:
        split_at_markers(markdown, marker)
    plan = Plan(corpus, model, device, systems, baseline, minutes, rounds, latency_runs, threads, tokens, peers)
    report = benchmark(out, plan)
    Console(width=max(out.width, CONSOLE_WIDTH), highlight=False).print(console_table(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    if svg is not None:
        svg.write_text(speed_chart(report), encoding="utf-8")
    if markdown is not None:
        chart = f"\n\n{picture(markdown, 'Seconds of audio a second', svg)}" if svg else ""
        write_between_markers(markdown, marker, markdown_table(report) + chart)
    if not any(row.rounds for row in report.rows):
        raise typer.Exit(1)


def profile(
    corpus: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="A folder with recordings and manifest.tsv.")
    ],
    model: Model = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Dtype = "auto",
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of English speech to transcribe.")] = 5.0,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Decode at most so many tokens of each window: for random weights.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write into this file, between <!-- bench:profile-cpu --> and its end (gpu)."),
    ] = None,
) -> None:
    """Show where the engine's time goes: its phases, the operators that cost most, how often the host waits for a GPU.

    Examples:

    * `whisper-serve profile recordings --minutes 1`

    * `whisper-serve profile recordings --model random:large-v3-turbo --device cuda --tokens 100`
    """
    from whisper_serve.benchmark.profile import markdown as tables
    from whisper_serve.benchmark.profile import profile_engine
    from whisper_serve.engine import resolve_device
    from whisper_serve.evaluation.markers import split_at_markers, write_between_markers

    marker = "bench:profile-cpu" if resolve_device(device).type == "cpu" else "bench:profile-gpu"
    if markdown is not None:
        split_at_markers(markdown, marker)
    with out.status("transcribing twice: to warm up, and to measure"):
        text = tables(profile_engine(corpus, model, device, dtype, minutes, tokens))
    out.print(text, markup=False, highlight=False, soft_wrap=True)
    if markdown is not None:
        write_between_markers(markdown, marker, text)
