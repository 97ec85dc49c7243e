"""`build`: a model packed into an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_serve.cli.console import say
from whisper_serve.cli.options import External, Model, Name

if TYPE_CHECKING:
    from whisper_serve.torchserve.archive import Recipe


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
    build_recipe(recipe, say)
    say(f"Built {recipe.path} ({recipe.path.stat().st_size / 1e6:.0f} MB)")


def build_if_needed(recipe: Recipe) -> None:
    """Pack the archive if it is missing or out of date."""
    from whisper_serve.torchserve.archive import build as build_recipe
    from whisper_serve.torchserve.archive import is_current

    if not is_current(recipe):
        build_recipe(recipe, say)
