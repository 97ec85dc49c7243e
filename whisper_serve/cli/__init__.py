"""The command `whisper-serve`: build an archive, serve it, try it out, transcribe and measure without a server.

Modules that need torch, gRPC or TorchServe are imported by the command that uses them: --help answers at once.
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated

import typer

from whisper_serve import __version__
from whisper_serve.cli import benchmark, benchmark_live, evaluation, gateway, live, models, offline, servers
from whisper_serve.cli.console import err, out

app = typer.Typer(
    name="whisper-serve",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(models.build)
app.command()(models.fetch)
app.command()(servers.serve)
app.command()(gateway.gateway)
app.add_typer(gateway.keys, name="keys")
app.command()(servers.demo)
app.command()(offline.transcribe)
app.command(name="eval")(evaluation.evaluate_systems)
app.command()(live.live)
app.command()(benchmark.bench)
app.command(name="bench-live")(benchmark_live.bench_live)
app.command()(benchmark.profile)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"whisper-serve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """OpenAI's Whisper as a speech-to-text endpoint served by TorchServe.

    `whisper-serve serve` starts a server; `whisper-serve COMMAND --help` shows examples.
    """


def main() -> None:
    """Run the command line: an error of ours ends it with its sentence, not with a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # As Ctrl-C does: whatever is half done is cleaned up on the way out. A running server has its own way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        app()
    except Exception as error:
        if not type(error).__module__.startswith("whisper_serve."):
            raise
        for line in getattr(error, "log", ()):
            err.print(line, style="dim", markup=False)
        err.print(f"Error: {error}", style="bold red", markup=False)
        raise SystemExit(1) from error
