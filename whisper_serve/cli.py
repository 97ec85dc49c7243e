"""The command `whisper-serve`: build an archive, serve it, try it out, transcribe and measure without a server."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from whisper_serve import __version__
from whisper_serve.torchserve.errors import ServerFailed

if TYPE_CHECKING:
    from whisper_serve.torchserve.archive import Recipe
    from whisper_serve.torchserve.endpoints import Endpoints
    from whisper_serve.torchserve.server import ServerConfig

# Modules that need torch, gRPC or TorchServe are imported by the command that uses them: --help answers at once.

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

app = typer.Typer(
    name="whisper-serve",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A model's official name (tiny, base, small, medium, large-v3, turbo; tiny.en …), a checkpoint "
        "file, a Hugging Face or CTranslate2 folder, `trial`, or `default`: base, and trial where base cannot "
        "be downloaded.",
    ),
]
Store = Annotated[Path, typer.Option("--model-store", help="The folder of the archive.")]
Name = Annotated[str, typer.Option("--name", help="The model's name in addresses: /predictions/NAME.")]
External = Annotated[
    bool,
    typer.Option(
        "--external-weights",
        help="Keep the weights beside the archive instead of inside: for big models, since TorchServe unpacks "
        "the archive at each start. The archive then works on this machine only.",
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="cpu or cuda; by default a GPU if there is one.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Model processes; by default two for each GPU, on a CPU the archive's."),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Most requests in a batch; by default the archive's."),
]


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


@app.command()
def build(
    model: Model = "default",
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to build into.")] = Path("model_store"),
    name: Name = "whisper",
    external_weights: External = False,
) -> None:
    """Pack a model into an archive (.mar) that TorchServe loads.

    It holds the handler, this package and the weights, and nothing else is needed beside the installed
    libraries.

    Examples:

    * `whisper-serve build` – the base model into model_store/whisper.mar

    * `whisper-serve build --model turbo --external-weights`

    * `whisper-serve build --model ./my-finetuned-whisper --name finetuned --output /srv/models`
    """
    from whisper_serve.torchserve.archive import Recipe
    from whisper_serve.torchserve.archive import build as build_recipe

    recipe = Recipe(model, output, name, embed_weights=not external_weights)
    build_recipe(recipe, _say)
    _say(f"Built {recipe.path} ({recipe.path.stat().st_size / 1e6:.0f} MB)")


@app.command()
def serve(
    model: Model = "default",
    model_store: Store = Path("model_store"),
    name: Name = "whisper",
    external_weights: External = False,
    build_first: Annotated[
        bool, typer.Option("--build/--no-build", help="Build the archive if it is missing or out of date.")
    ] = True,
    host: Annotated[str, typer.Option(help="Address for requests; 0.0.0.0 for all.")] = "127.0.0.1",
    admin_host: Annotated[
        str, typer.Option(help="Address for management and metrics. Who reaches it controls the server.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="REST requests.")] = 8080,
    management_port: Annotated[int, typer.Option(help="TorchServe's management API.")] = 8081,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics.")] = 8082,
    grpc_port: Annotated[int, typer.Option(help="gRPC requests.")] = 7070,
    grpc_management_port: Annotated[int, typer.Option(help="TorchServe's gRPC management API.")] = 7071,
    workers: Workers = None,
    batch_size: BatchSize = None,
    device: Device = None,
) -> None:
    """Serve a model until Ctrl-C; TorchServe is started again when it dies.

    The archive is built first if it is not there. "Ready" is printed once a real request has been answered.

    Examples:

    * `whisper-serve serve` – then, elsewhere:

    * `curl -T talk.mp3 http://127.0.0.1:8080/predictions/whisper`

    * `curl -F file=@talk.mp3 -F response_format=srt http://127.0.0.1:8080/predictions/whisper`

    * `whisper-serve serve --model turbo --device cuda --workers 2 --host 0.0.0.0`
    """
    from whisper_serve.torchserve.archive import Recipe
    from whisper_serve.torchserve.endpoints import Endpoints
    from whisper_serve.torchserve.supervisor import supervise

    recipe = Recipe(model, model_store, name, embed_weights=not external_weights)
    if build_first:
        _build_if_needed(recipe)
    endpoints = Endpoints(host, admin_host, port, management_port, metrics_port, grpc_port, grpc_management_port)
    url = f"{endpoints.inference_url}/predictions/{name}"
    hints = (
        "Try it:",
        f"  curl -T recording.mp3 {url}",
        f"  curl -F file=@recording.mp3 -F response_format=srt {url}",
        f"Metrics: {endpoints.metrics_url}   Stop: Ctrl-C",
    )
    supervise(_server_config(recipe.path, endpoints, workers, batch_size, device), _say, hints)


@app.command()
def demo(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A recording, in any common format.")],
    model: Model = "default",
    model_store: Store = Path("model_store"),
    device: Device = None,
) -> None:
    """Start a server, transcribe one recording over REST and over gRPC, print both texts and stop.

    It uses free ports and fails if a text is empty or the two differ.

    Example: `whisper-serve demo talk.mp3`
    """
    from whisper_serve.torchserve.archive import Recipe
    from whisper_serve.torchserve.demonstration import demonstrate
    from whisper_serve.torchserve.endpoints import on_free_ports

    recipe = Recipe(model, model_store)
    _build_if_needed(recipe)
    texts = demonstrate(_server_config(recipe.path, on_free_ports(), None, None, device), file.read_bytes(), _say)
    for way, text in texts.items():
        out.print(f"[bold]{way}[/bold]", text, sep="  ")
    if len(set(texts.values())) != 1 or "" in texts.values():
        raise ServerFailed("The texts should be the same and not empty.")


@app.command()
def transcribe(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Recordings, in any common format.")],
    model: Model = "default",
    response_format: Annotated[
        str, typer.Option("--format", "-f", help="json, text, srt, vtt, verbose_json or tsv.")
    ] = "text",
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Write a file for each recording; by default, print.")
    ] = None,
    task: Annotated[str, typer.Option(help="transcribe, or translate to English.")] = "transcribe",
    language: Annotated[str, typer.Option(help="Code (de) or name (German); by default it is found out.")] = "",
    prompt: Annotated[str, typer.Option(help="Text that comes before: names, spelling, style.")] = "",
    temperature: Annotated[float, typer.Option(help="0 to 1; 0 starts greedy and is raised where a text fails.")] = 0.0,
    vad: Annotated[bool, typer.Option("--vad/--no-vad", help="Find speech first; off for music or odd audio.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Transcribe recordings in this process, without a server.

    The windows of all recordings fill the model's batches together. A recording that fails is named and does not stop
    the others; the command then ends with exit code 1.

    Examples:

    * `whisper-serve transcribe talk.mp3`

    * `whisper-serve transcribe *.mp3 --format srt --output-dir subtitles`

    * `whisper-serve transcribe rede.ogg --task translate --language de --model turbo`
    """
    from whisper_serve.engine import Engine
    from whisper_serve.engine.weights import load_weights
    from whisper_serve.offline import transcribe_files
    from whisper_serve.request import FileRequest
    from whisper_serve.transcriber import Transcriber

    fields = {"response_format": response_format, "task": task, "language": language, "prompt": prompt}
    request = FileRequest.from_fields({**fields, "temperature": str(temperature), "vad_filter": str(vad)})
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
    transcriber = Transcriber(Engine.load(load_weights(model), device))
    if transcribe_files(transcriber, files, request, err, output_dir):
        raise typer.Exit(1)


@app.command(name="eval")
def evaluate_model(
    corpus: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="A folder with recordings and manifest.tsv.")
    ],
    model: Model = "default",
    language: Annotated[str, typer.Option(help="Code of the language whose word errors are measured.")] = "en",
    compare: Annotated[
        bool, typer.Option("--compare/--alone", help="Also run openai-whisper on the same weights.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measure word errors, language identification and translation on a labelled corpus.

    The manifest is tab-separated with the columns path, language (code) and transcript; both systems decode greedily,
    and the texts are normalised as Whisper's authors do.

    Examples:

    * `whisper-serve eval recordings`

    * `whisper-serve eval recordings --language de --model small --alone`
    """
    from whisper_serve.evaluation.run import evaluate

    evaluate(out, corpus, model, device, language, compare=compare)


def _build_if_needed(recipe: Recipe) -> None:
    from whisper_serve.torchserve.archive import build as build_recipe
    from whisper_serve.torchserve.archive import is_current

    if not is_current(recipe):
        build_recipe(recipe, _say)


def _server_config(
    archive: Path, endpoints: Endpoints, workers: int | None, batch_size: int | None, device: str | None
) -> ServerConfig:
    import numpy as np

    from whisper_serve.torchserve.gpus import visible_gpus
    from whisper_serve.torchserve.server import ServerConfig
    from whisper_serve.wire import WindowOptions, pack_window

    # One second of silence as a window: unlike a silent file, it is decoded by the model.
    probe = pack_window(np.zeros(16_000, dtype=np.float32), WindowOptions(language="en", timestamps=False))
    gpus = 0 if device is not None and device.startswith("cpu") else visible_gpus()
    return ServerConfig(archive, probe, endpoints, workers or 2 * gpus or None, batch_size, device)


def _say(line: str) -> None:
    out.print(line, markup=False)


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
