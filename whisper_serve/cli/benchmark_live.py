"""`bench-live`: how late the texts of live streams come, and how many streams a server keeps up with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from whisper_serve.cli.console import out
from whisper_serve.cli.options import Model

if TYPE_CHECKING:
    from whisper_serve.benchmark.live import Speech

MARKER: Final = "bench:live"


def bench_live(
    corpus: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="A folder with recordings and manifest.tsv.")
    ],
    streams: Annotated[str, typer.Option(help="How many at once; several with commas between.")] = "1,4,8",
    seconds: Annotated[float, typer.Option(min=1, help="Audio of each stream.")] = 30.0,
    transports: Annotated[str, typer.Option(help="ws, grpc or both with a comma between.")] = "ws,grpc",
    beam_size: Annotated[
        int | None, typer.Option(min=1, help="Search all texts with so many beams, 1 none; else unsure final ones.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="A running gateway, http://HOST:PORT; else one is started.")] = None,
    grpc: Annotated[str, typer.Option(help="Where the gateway of --url serves gRPC.")] = "127.0.0.1:9000",
    model: Model = "default",
    model_store: Annotated[Path, typer.Option(help="The folder of the archive of a server that is started.")] = Path(
        "model_store"
    ),
    device: Annotated[str, typer.Option(help="Of a server that is started: auto, cpu or cuda.")] = "auto",
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table into this file, between <!-- bench:live --> and its end.")
    ] = None,
) -> None:
    """Measure live streams: English recordings at the pace of speech, several at once, over a WebSocket and over gRPC.

    Latency is the time from when the audio of a text's end was sent to the text. Errors are against the references,
    beside those of the same audio sent as files. A server keeps up if no stream's last text comes more than 3 s after
    its last audio.

    Examples:

    * `whisper-serve bench-live recordings`

    * `whisper-serve bench-live recordings --url http://127.0.0.1:8000 --streams 1,2,4,8,16 --transports ws`
    """
    from whisper_serve.benchmark.live import markdown as as_markdown
    from whisper_serve.benchmark.live import measure, speeches
    from whisper_serve.benchmark.machine import this_machine
    from whisper_serve.client.live import LiveSettings
    from whisper_serve.evaluation.markers import split_at_markers, write_between_markers

    if markdown is not None:
        split_at_markers(markdown, MARKER)
    counts = [int(count) for count in streams.split(",")]
    spoken = speeches(corpus, max(counts), seconds)
    settings = LiveSettings(language="en", beam_size=beam_size)
    rows = []
    with _server(url, grpc, model, device, model_store) as (http, addresses):
        as_files = _as_files(http, spoken)
        for count in counts:
            for transport in transports.split(","):
                with out.status(f"{count} streams over {transport}"):
                    rows.append(measure(addresses[transport], spoken[:count], as_files[:count], settings))
                out.print("  ".join(rows[-1].cells()), markup=False)
    heading = f"{model}; streams of {seconds:g} s; {this_machine(None, device)}."
    text = as_markdown(heading, rows)
    out.print(text, markup=False)
    if markdown is not None:
        write_between_markers(markdown, MARKER, text)


@contextmanager
def _server(url: str | None, grpc: str, model: str, device: str, store: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address for files, and those for streams by transport."""
    from whisper_serve.benchmark.served import running_server
    from whisper_serve.torchserve.endpoints import on_free_ports

    if url is not None:
        files = f"{url.rstrip('/')}/v1/audio/transcriptions"
        yield files, {"ws": url.replace("http", "ws", 1), "grpc": f"grpc://{grpc}"}
        return
    port = on_free_ports().grpc
    with running_server(model, device, store, gateway=True, rpc_port=port) as files:
        address = files.removesuffix("/v1/audio/transcriptions").replace("http", "ws", 1)
        yield files, {"ws": address, "grpc": f"grpc://127.0.0.1:{port}"}


def _as_files(url: str, spoken: list[Speech]) -> list[str]:
    """The texts of all as files; it warms the model up, too."""
    import io
    import wave

    from whisper_serve.evaluation.server import new_client
    from whisper_serve.speech import SAMPLE_RATE

    texts = []
    with new_client(url) as client:
        for speech in spoken:
            buffer = io.BytesIO()
            with wave.open(buffer, "wb") as file:
                file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                file.writeframes(speech.pcm)
            fields = {"model": "whisper-1", "language": "en", "response_format": "json"}
            answer = client.post(url, files={"file": ("speech.wav", buffer.getvalue())}, data=fields)
            answer.raise_for_status()
            texts.append(str(answer.json()["text"]))
    return texts
