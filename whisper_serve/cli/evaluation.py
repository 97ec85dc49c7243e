"""`eval`: how good, beside other systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from whisper_serve.cli.console import CommandFailed, out
from whisper_serve.cli.options import Dtype, Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from whisper_serve.evaluation.lineup import Setup
    from whisper_serve.evaluation.results import Report
    from whisper_serve.evaluation.tables import Table

MARKER: Final = "bench:quality"
"""What is written into a Markdown file stands between its marks."""
BORDERS_MARKER: Final = "bench:borders"
"""The same of what is measured where windows meet."""


def evaluate_systems(
    corpus: Annotated[
        Path, typer.Argument(exists=True, help="A folder with recordings and manifest.tsv, or such a table itself.")
    ],
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            "-s",
            help="engine, engine-int8 …, engine-beam1 (greedy), engine-beam (five beams), openai-whisper, "
            "faster-whisper, or a server's address, such as http://127.0.0.1:8000/v1#model. With a label: ours=engine. "
            "May be repeated; the others are compared with the first. By default engine.",
        ),
    ] = None,
    model: Model = "default",
    language: Annotated[
        list[str] | None, typer.Option(help="Code of a language to measure. May be repeated; by default all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many files of each language.")] = None,
    silence: Annotated[
        int,
        typer.Option(
            min=0,
            help="Also so many seconds each of the corpus's files without speech, digital silence, white and pink "
            "noise, and hum.",
        ),
    ] = 0,
    borders: Annotated[
        float | None,
        typer.Option(
            "--borders",
            min=1,
            max=120,
            help="Only measure this: the recordings of each language (by default English), joined without pauses to so "
            "many minutes, and the words that are lost or doubled where windows meet, without and with overlap.",
        ),
    ] = None,
    fallback: Annotated[
        bool,
        typer.Option(
            "--fallback/--greedy",
            help="Raise the temperature where a text fails, or decode once. Servers do as they are set up.",
        ),
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Dtype = "auto",
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", help="What servers ask for.")] = None,
    peers: Annotated[Path, typer.Option(help="The environment of faster-whisper; `make quality` makes it.")] = Path(
        ".venv-peers"
    ),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all that was measured, with the texts.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help=f"Write the tables into this file, between <!-- {MARKER} --> and its end; with --borders between "
            f"those of {BORDERS_MARKER}."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one page with tables, plots, and the texts with their differences.")
    ] = None,
) -> None:
    """Measure errors, language identification, translation, invented and repeated words, on a labelled corpus.

    The manifest is tab-separated with the columns path, language (code; none where nobody speaks) and transcript;
    translations.tsv beside it (path, english_translation) has the references for translations. Texts are normalised
    as Whisper's authors do, and error rates have 95 % intervals.

    Examples:

    * `whisper-serve eval recordings`

    * `whisper-serve eval recordings --system engine --system openai-whisper --language de --language fr --limit 20`

    * `whisper-serve eval recordings --system engine --system engine-int8 --system faster-whisper --html report.html`

    * `whisper-serve eval recordings --system engine --system engine-beam1 --system engine-beam --language en`

    * `whisper-serve eval recordings --borders 10 --language en --language fr`

    * `whisper-serve eval recordings/test.tsv --system http://127.0.0.1:8000/v1 --system other=http://other:8000/v1#base`
    """
    from whisper_serve.benchmark.machine import this_machine
    from whisper_serve.benchmark.peer import faster_whisper
    from whisper_serve.engine import resolve_device
    from whisper_serve.evaluation.lineup import ENGINE, Opened, Setup, lineup
    from whisper_serve.evaluation.markers import split_at_markers
    from whisper_serve.evaluation.run import Plan, measure

    # What would fail at the end fails now.
    if missing := [path for path in (json_file, html) if path is not None and not path.parent.is_dir()]:
        raise CommandFailed(f"{missing[0]} cannot be written: there is no folder {missing[0].parent}")
    if markdown is not None:
        split_at_markers(markdown, MARKER if borders is None else BORDERS_MARKER)
    codes = tuple(_code(name) for name in language or ())
    where = str(resolve_device(device))
    if borders is not None:
        setup = Setup(model, where, dtype, fallback, api_key)
        _borders(corpus, codes or ("en",), borders, setup, json_file, markdown)
        return

    def peer(name: str) -> Opened:
        return faster_whisper(name, model, where, peers, fallback=fallback)

    entries = lineup(system or [ENGINE], Setup(model, where, dtype, fallback, api_key), peer)
    plan = Plan(corpus, model, where, str(this_machine(None, where)), codes, limit, silence, fallback)
    _deliver(measure(out, plan, entries), json_file, markdown, html)


def _borders(
    corpus: Path,
    codes: Sequence[str],
    minutes: float,
    setup: Setup,
    json_file: Path | None,
    markdown: Path | None,
) -> None:
    """Measure where windows meet, print what was found, and write it into the files that are asked for."""
    from dataclasses import asdict
    from datetime import datetime, timezone

    from rich.progress import Progress

    from whisper_serve.benchmark.machine import this_machine
    from whisper_serve.engine import Engine
    from whisper_serve.engine.weights import load_weights
    from whisper_serve.evaluation import tables
    from whisper_serve.evaluation.borders import Cutting, measure_cutting
    from whisper_serve.evaluation.corpus import read_corpus
    from whisper_serve.evaluation.gapless import gapless
    from whisper_serve.evaluation.markers import write_between_markers
    from whisper_serve.transcriber import Transcriber

    samples = read_corpus(corpus)
    spoken = {code: [sample for sample in samples if sample.language == code] for code in codes}
    if missing := [code for code in codes if not spoken[code]]:
        raise CommandFailed(f"nothing in {corpus} is in {missing[0]!r}")
    transcriber = Transcriber(Engine.load(load_weights(setup.model), setup.device, setup.dtype))
    cuttings: list[Cutting] = []
    with Progress(console=out, transient=True) as bar:
        job = bar.add_task("listening", total=2.0 * len(spoken))
        for code, recordings in spoken.items():
            recording = gapless(recordings, 60 * minutes)
            cuttings += (
                measure_cutting(
                    transcriber, recording, code, overlap=overlap, progress=lambda share: bar.advance(job, share)
                )
                for overlap in (False, True)
            )
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    heading = tables.origin(setup.model, setup.device, date, str(this_machine(None, setup.device)))
    heading += f"; {minutes:g} minutes of each language"
    table = tables.border_table(cuttings)
    _print(heading, [table])
    _write_json(json_file, [asdict(cutting) for cutting in cuttings])
    if markdown is not None:
        write_between_markers(markdown, BORDERS_MARKER, f"{heading}.\n\n{tables.markdown_table(table)}")


def _code(name: str) -> str:
    from whisper_serve.speech import language_code

    try:
        return language_code(name)
    except ValueError as error:
        raise CommandFailed(str(error)) from error


def _deliver(report: Report, json_file: Path | None, markdown: Path | None, html: Path | None) -> None:
    """Print the report, and write it into the files that are asked for."""
    from whisper_serve.evaluation import tables
    from whisper_serve.evaluation.markers import write_between_markers
    from whisper_serve.evaluation.page import page

    _print(tables.heading(report), tables.tables(report), tables.remarks(report))
    _write_json(json_file, report.as_dict())
    if markdown is not None:
        write_between_markers(markdown, MARKER, tables.markdown(report))
    if html is not None:
        html.write_text(page(report), encoding="utf-8")


def _print(heading: str, found: Iterable[Table], remarks: Iterable[str] = ()) -> None:
    from whisper_serve.benchmark.table import CONSOLE_WIDTH
    from whisper_serve.evaluation.tables import console_table

    console = Console(width=max(out.width, CONSOLE_WIDTH), highlight=False)
    console.print(heading, markup=False)
    for table in found:
        console.print(console_table(table))
    for remark in remarks:
        console.print(remark, markup=False)


def _write_json(path: Path | None, body: object) -> None:
    import json

    if path is not None:
        path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
