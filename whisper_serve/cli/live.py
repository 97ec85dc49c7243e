"""`live`: captions of a microphone, or of a file as if it were spoken now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_serve.cli.console import CommandFailed, out

if TYPE_CHECKING:
    from whisper_serve.client.live import LiveEvent

CHUNK_SECONDS = 0.1


def live(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A recording, sent as fast as it plays; else the microphone."),
    ] = None,
    url: Annotated[
        str, typer.Option(help="The gateway: ws://HOST:PORT, wss://, grpc://HOST:PORT or grpcs://.")
    ] = "ws://127.0.0.1:8000",
    key: Annotated[
        str | None, typer.Option(envvar="OPENAI_API_KEY", help="An API key, where the gateway asks for one.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="ISO 639-1 code; by default it is found out.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Text that comes before: names, spelling, style.")] = None,
    translate: Annotated[bool, typer.Option("--translate", help="Write English.")] = False,
    interim: Annotated[
        bool, typer.Option("--interim/--no-interim", help="Show the text while it is still being spoken.")
    ] = True,
    endpointing_ms: Annotated[int, typer.Option(min=200, max=3000, help="The pause that ends an utterance.")] = 600,
    speed: Annotated[float, typer.Option(min=0.1, help="How fast a file is sent; 1 as it plays.")] = 1.0,
) -> None:
    """Caption live audio until it ends or Ctrl-C: each utterance is a line, which is shown while it grows.

    Examples:

    * `whisper-serve live` – the microphone; it needs `pip install sounddevice` and PortAudio

    * `whisper-serve live talk.mp3 --url grpc://127.0.0.1:9000 --language en`
    """
    from whisper_serve.client.live import LiveSettings, listen

    settings = LiveSettings(
        language=language,
        prompt=prompt,
        task="translate" if translate else "transcribe",
        interim_results=interim,
        endpointing_ms=endpointing_ms,
    )
    chunks = microphone() if file is None else paced(file, speed)
    shown = 0
    try:
        for event in listen(url, chunks, settings, key=key):
            shown = show(event, shown)
    except KeyboardInterrupt:
        out.print()


def show(event: LiveEvent, shown: int) -> int:
    """Print an event over the last `shown` characters, which may still change; returns how many may now."""
    if event.type not in ("interim", "final") or not (event.text or shown):
        return shown
    if not out.is_terminal:
        if event.type == "final" and event.text:
            out.print(event.text, markup=False)
        return 0
    width = max(out.width - 1, 1)
    text = event.text if event.type == "final" else event.text[-width:]
    out.file.write("\r" + text + " " * (shown - len(text)) + ("\n" if event.type == "final" and text else ""))
    out.file.flush()
    return 0 if event.type == "final" else len(text)


def paced(file: Path, speed: float) -> Iterator[bytes]:
    """A file's samples as they would come if it were spoken now."""
    import time

    from whisper_serve.speech import SAMPLE_RATE, load_audio

    audio = load_audio(file)
    samples = (audio * 32767).astype("<i2")
    size = round(CHUNK_SECONDS * SAMPLE_RATE)
    started = time.monotonic()
    for at in range(0, len(samples), size):
        chunk = samples[at : at + size]
        time.sleep(max(0.0, started + (at + len(chunk)) / SAMPLE_RATE / speed - time.monotonic()))
        yield chunk.tobytes()


def microphone() -> Iterator[bytes]:
    """What the default microphone hears, until the caller stops.

    Raises:
        CommandFailed: there is none, or it cannot be used.
    """
    from whisper_serve.speech import SAMPLE_RATE

    try:
        import sounddevice  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except (ImportError, OSError) as error:
        raise CommandFailed(
            f"The microphone needs the package sounddevice and PortAudio ({error}): pip install sounddevice, or name a "
            "file to send."
        ) from error
    size = round(CHUNK_SECONDS * SAMPLE_RATE)
    try:
        with sounddevice.RawInputStream(samplerate=SAMPLE_RATE, channels=1, dtype="int16", blocksize=size) as stream:
            while True:
                yield bytes(stream.read(size)[0])
    except sounddevice.PortAudioError as error:
        raise CommandFailed(f"There is no microphone to record from ({error}): name a file to send.") from error
