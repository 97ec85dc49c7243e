"""`serve` and `demo`: TorchServe, with the gateway before it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_serve.cli.console import out, say
from whisper_serve.cli.hints import direct_hints, gateway_hints
from whisper_serve.cli.models import build_if_needed, place_of
from whisper_serve.cli.options import BatchSize, Device, External, Model, Name, Store, Workers
from whisper_serve.torchserve.errors import ServerFailed

if TYPE_CHECKING:
    from whisper_serve.serving.gateway_process import GatewayConfig
    from whisper_serve.torchserve.endpoints import Endpoints
    from whisper_serve.torchserve.server import ServerConfig


def serve(
    model: Model = "default",
    model_store: Store = Path("model_store"),
    name: Name = "whisper",
    external_weights: External = False,
    build_first: Annotated[
        bool,
        typer.Option(
            "--build/--no-build", envvar="WHISPER_BUILD", help="Build the archive if it is missing or out of date."
        ),
    ] = True,
    host: Annotated[
        str, typer.Option(envvar="WHISPER_TORCHSERVE_HOST", help="Address of TorchServe itself; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    admin_host: Annotated[
        str,
        typer.Option(
            envvar="WHISPER_TORCHSERVE_ADMIN_HOST",
            help="Address for management and metrics. Who reaches it controls the server.",
        ),
    ] = "127.0.0.1",
    metrics_host: Annotated[
        str | None,
        typer.Option(
            envvar="WHISPER_TORCHSERVE_METRICS_HOST",
            help="Address for metrics alone. [default: that of --admin-host]",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="TorchServe's REST requests.")] = 8080,
    management_port: Annotated[int, typer.Option(help="TorchServe's management API.")] = 8081,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics.")] = 8082,
    grpc_port: Annotated[int, typer.Option(help="TorchServe's gRPC requests.")] = 7070,
    grpc_management_port: Annotated[int, typer.Option(help="TorchServe's gRPC management API.")] = 7071,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Answer an orchestrator's probes here, at --host: /livez and /readyz. [default: none]",
        ),
    ] = None,
    unresponsive_seconds: Annotated[
        float,
        typer.Option(
            min=1,
            help="How long TorchServe may answer nothing before /livez is 503. Has to be longer than the longest batch "
            "takes, and what waits before it: files of hours that are sent straight to TorchServe need more.",
        ),
    ] = 300.0,
    workers: Workers = None,
    batch_size: BatchSize = None,
    device: Device = None,
    gateway: Annotated[
        bool, typer.Option("--gateway/--no-gateway", help="OpenAI's API before TorchServe, or TorchServe alone.")
    ] = True,
    gateway_host: Annotated[
        str | None, typer.Option(help="Address of OpenAI's API; 0.0.0.0 for all. [default: WHISPER_HOST, 127.0.0.1]")
    ] = None,
    gateway_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of OpenAI's API. [default: WHISPER_PORT, 8000]")
    ] = None,
    gateway_grpc_port: Annotated[
        str | None,
        typer.Option(metavar="PORT|off", help="Port of the gRPC service. [default: WHISPER_GRPC_PORT, 9000]"),
    ] = None,
) -> None:
    """Serve a model until Ctrl-C: OpenAI's API on port 8000, the same over gRPC on port 9000, TorchServe behind them.

    The archive is built first if it is not there. "Ready" is printed once real requests can be answered. What dies is
    started again. At the end running requests may finish; a second Ctrl-C does not wait for them.

    Examples:

    * `whisper-serve serve` – then, elsewhere:

    * `curl http://127.0.0.1:8000/v1/audio/transcriptions -F file=@talk.mp3 -F model=whisper-1`

    * `whisper-serve serve --model turbo --device cuda --gateway-host 0.0.0.0`

    * `whisper-serve serve --no-gateway` – TorchServe alone:

    * `curl -T talk.mp3 http://127.0.0.1:8080/predictions/whisper`
    """
    from whisper_serve.serving.gateway_keeper import GatewayKeeper
    from whisper_serve.torchserve.archive import Recipe
    from whisper_serve.torchserve.endpoints import Endpoints
    from whisper_serve.torchserve.health import Health
    from whisper_serve.torchserve.supervisor import supervise

    recipe = Recipe(model, model_store, name, place_of(external_weights))
    if build_first:
        build_if_needed(recipe)
    ports = (port, management_port, metrics_port, grpc_port, grpc_management_port)
    endpoints = Endpoints(host, admin_host, *ports, metrics_host=metrics_host)
    health = None if health_port is None else Health(host, health_port, unresponsive_seconds=unresponsive_seconds)
    config = server_config(recipe.path, endpoints, workers, batch_size, device)
    if not gateway:
        supervise(config, say, direct_hints(endpoints, name), health=health)
        return
    front = gateway_config(
        endpoints.grpc_target, name, alias_of(model), host=gateway_host, port=gateway_port, grpc_port=gateway_grpc_port
    )
    supervise(config, say, gateway_hints(front, endpoints), GatewayKeeper(front, say), health)


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
    build_if_needed(recipe)
    texts = demonstrate(server_config(recipe.path, on_free_ports(), None, None, device), file.read_bytes(), say)
    for way, text in texts.items():
        out.print(f"[bold]{way}[/bold]", text, sep="  ")
    if len(set(texts.values())) != 1 or "" in texts.values():
        raise ServerFailed("The texts should be the same and not empty.")


def server_config(
    archive: Path, endpoints: Endpoints, workers: int | None, batch_size: int | None, device: str | None
) -> ServerConfig:
    """How TorchServe is to run."""
    import numpy as np

    from whisper_serve.torchserve.gpus import visible_gpus
    from whisper_serve.torchserve.server import ServerConfig
    from whisper_serve.wire import WindowOptions, pack_window

    # One second of silence as a window: unlike a silent file, it is decoded by the model.
    probe = pack_window(np.zeros(16_000, dtype=np.float32), WindowOptions(language="en", timestamps=False))
    gpus = 0 if device is not None and device.startswith("cpu") else visible_gpus()
    return ServerConfig(archive, probe, endpoints, workers or 2 * gpus or None, batch_size, device)


def alias_of(model: str) -> str:
    """What requests may call a model that is served: its official name, or that of its file or folder.

    >>> alias_of("trial"), alias_of("turbo"), alias_of("/srv/models/finetuned")
    ('base', 'turbo', 'finetuned')
    """
    return "base" if model in ("default", "trial") else Path(model).name.replace(",", " ")


def gateway_config(
    torchserve: str, model: str, alias: str, *, host: str | None, port: int | None, grpc_port: str | None
) -> GatewayConfig:
    """How the gateway is to run; `alias` is another name of the model, unless the environment names all.

    Raises SettingsError now rather than in the process that it will be.
    """
    from whisper_serve.gateway.settings import GatewaySettings
    from whisper_serve.serving.gateway_process import GatewayConfig

    asked = {"torchserve_grpc": torchserve, "model": model, "host": host, "port": port, "grpc_port": grpc_port}
    settings = GatewaySettings.read({name: value for name, value in asked.items() if value is not None})
    return GatewayConfig(
        torchserve,
        model,
        settings.host,
        settings.port,
        settings.grpc_port,
        settings.drain_seconds,
        keys=settings.keys_file is not None,
        environment={"WHISPER_MODEL_ALIASES": f"whisper-1,{alias}", **os.environ},
    )
