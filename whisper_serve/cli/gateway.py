"""`gateway` and `keys`: OpenAI's API before a TorchServe that runs elsewhere, and who may use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whisper_serve.cli.console import CommandFailed, out, say

keys = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="API keys of the gateway.")

KeysFile = Annotated[
    Path, typer.Option("--keys-file", "-f", dir_okay=False, envvar="WHISPER_KEYS_FILE", help="The file of keys.")
]
NEEDED = (
    "fastapi",
    "grpc",
    "grpc_health",
    "grpc_reflection",
    "grpc_status",
    "prometheus_client",
    "python_multipart",
    "uvicorn",
    "websockets",
)


def gateway(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 for a free one. [default: 8000]")] = None,
    grpc_port: Annotated[
        str | None,
        typer.Option(metavar="PORT|off", help="Port of the gRPC service; 0 for a free one. [default: 9000]"),
    ] = None,
    torchserve: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="TorchServe's gRPC address; all addresses that the name resolves to are used. "
            "[default: 127.0.0.1:7070]",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name in TorchServe. [default: whisper]")] = None,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="Several models, instead of --torchserve and --name: a list of objects with name and torchserve, and "
            "if need be aliases and torchserve_model. Requests that name no model get the first.",
        ),
    ] = None,
    keys_file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File of API keys; without one no key is asked for.")
    ] = None,
) -> None:
    """OpenAI's audio API, and the same over gRPC, before a TorchServe that is started elsewhere.

    Every setting can also come from the environment: WHISPER_PORT, WHISPER_HOLD_SECONDS, WHISPER_REQUEST_TIMEOUT …;
    options go over it. SIGTERM lets running requests finish.

    Examples:

    * `whisper-serve gateway --torchserve 127.0.0.1:7070`

    * `whisper-serve gateway --host 0.0.0.0 --torchserve whisper-workers:7070 --keys-file keys.jsonl`

    * `whisper-serve gateway --models '[{"name": "large-v3", "torchserve": "one:7070", "aliases": ["whisper-1"]},
      {"name": "turbo", "torchserve": "two:7070"}]'`
    """
    require_installed()
    from whisper_serve.gateway.server import run
    from whisper_serve.gateway.settings import GatewaySettings

    listening = {"host": host, "port": port, "grpc_port": grpc_port}
    serving = {"torchserve_grpc": torchserve, "model": name, "models": models}
    asked = {**listening, **serving, "keys_file": keys_file}
    settings = GatewaySettings.read({name: value for name, value in asked.items() if value is not None})
    raise typer.Exit(run(settings))


def require_installed() -> None:
    """Raise CommandFailed where the packages of the gateway are missing."""
    from importlib.util import find_spec

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise CommandFailed(
            f"The gateway is not installed ({', '.join(missing)} missing): pip install 'whisper-serve[gateway]'."
        )


@keys.command()
def add(
    keys_file: KeysFile,
    label: Annotated[str, typer.Argument(help="Whose key it is; only for you.")] = "",
) -> None:
    """Make a key and print it. It is shown only now: the file holds a salted hash.

    A running gateway notices the change by itself.

    Example: `whisper-serve keys add --keys-file keys.jsonl "Anna's notebook"`
    """
    from whisper_serve.gateway.keys import add_key

    entry, key = add_key(keys_file, label)
    say(f"Added {entry.id}. The key, which is shown only now:")
    say(key)


@keys.command(name="list")
def list_all(keys_file: KeysFile) -> None:
    """List the keys: id, when it was made, label.

    Example: `whisper-serve keys list --keys-file keys.jsonl`
    """
    from whisper_serve.gateway.keys import list_keys

    for entry in list_keys(keys_file):
        out.print(entry.id, entry.created, entry.label, sep="  ", markup=False)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")], keys_file: KeysFile
) -> None:
    """Make a key invalid.

    Example: `whisper-serve keys revoke --keys-file keys.jsonl 3f1c9a2b7d40`
    """
    from whisper_serve.gateway.keys import revoke_key

    if not revoke_key(keys_file, key_id):
        raise CommandFailed(f"{keys_file} holds no key with the id {key_id}.")
    say(f"Revoked {key_id}.")
