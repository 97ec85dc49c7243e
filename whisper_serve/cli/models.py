"""`build` and `fetch`: a model packed into an archive, and its weights fetched for later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_serve.cli.console import CommandFailed, say
from whisper_serve.cli.options import External, Model, Name

if TYPE_CHECKING:
    from whisper_serve.torchserve.archive import Recipe, WeightsPlace


def build(
    model: Model = "default",
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to build into.")] = Path("model_store"),
    name: Name = "whisper",
    external_weights: External = False,
    no_weights: Annotated[
        bool,
        typer.Option(
            "--no-weights",
            help="Pack no weights: the handler loads --model when it starts, from its cache or an absolute path. "
            "WHISPER_WEIGHTS names another model then, WHISPER_MODEL_CACHE the cache's folder.",
        ),
    ] = False,
) -> None:
    """Pack a model into an archive (.mar) that TorchServe loads.

    It holds the handler, this package and, by default, the weights; nothing else is needed beside the installed
    libraries.

    Examples:

    * `whisper-serve build` – the base model into model_store/whisper.mar

    * `whisper-serve build --model turbo --external-weights`

    * `whisper-serve build --model turbo --no-weights` – some kB, for a container image

    * `whisper-serve build --model ./my-finetuned-whisper --name finetuned --output /srv/models`
    """
    from whisper_serve.torchserve.archive import Recipe, WeightsPlace
    from whisper_serve.torchserve.archive import build as build_recipe

    if external_weights and no_weights:
        raise CommandFailed("--external-weights and --no-weights exclude each other: choose one.")
    place = WeightsPlace.ELSEWHERE if no_weights else place_of(external_weights)
    recipe = Recipe(model, output, name, place)
    build_recipe(recipe, say)
    say(f"Built {recipe.path} ({recipe.path.stat().st_size / 1e6:.1f} MB)")


def fetch(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…",
            help="Official names, as of `build --model`, trial or default. Or addresses of files: URL#sha256=HEX.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            envvar="WHISPER_MODEL_CACHE",
            help="The folder to keep them in. [default: ~/.cache/whisper-serve]",
        ),
    ] = None,
) -> None:
    """Fetch the weights of models into a cache and check them: servers that use it then start without the internet.

    What is there already is only checked. A file of an address is kept under the last part of its path: a checkpoint,
    or all files of a Hugging Face folder.

    Examples:

    * `whisper-serve fetch turbo`

    * `whisper-serve fetch base large-v3 --output /models`

    * `whisper-serve fetch https://models.example/tuned.pt#sha256=0f1e… --output /models`
    """
    from whisper_serve.engine.weights import KNOWN_NAMES, load_weights
    from whisper_serve.engine.weights.fetching import fetch_all
    from whisper_serve.engine.weights.files import cache_folder

    addresses = [model for model in models if "://" in model]
    if unknown := [model for model in models if model not in (*addresses, *KNOWN_NAMES)]:
        expected = ", ".join(KNOWN_NAMES)
        raise CommandFailed(f"{unknown[0]!r} is no model that can be fetched: expected {expected} or URL#sha256=HEX.")
    for path in fetch_all(addresses, cache_folder(output)):
        say(f"{path} is there ({path.stat().st_size / 1e6:.0f} MB).")
    for model in (model for model in models if model not in addresses):
        name = load_weights(model, cache_dir=output).name
        say(f"{cache_folder(output)} holds the weights of {name}.")


def place_of(external: bool) -> WeightsPlace:
    """Where weights lie that are packed."""
    from whisper_serve.torchserve.archive import WeightsPlace

    return WeightsPlace.BESIDE if external else WeightsPlace.ARCHIVE


def build_if_needed(recipe: Recipe) -> None:
    """Pack the archive if it is missing or out of date."""
    from whisper_serve.torchserve.archive import build as build_recipe
    from whisper_serve.torchserve.archive import is_current

    if not is_current(recipe):
        build_recipe(recipe, say)
