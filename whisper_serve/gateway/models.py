"""The models that a gateway serves: what they are called, and where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

NAME: Final = r"^[\w.-]+$"
ADDRESS: Final = r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):\d{1,5}$"
"""host:port, an IPv6 host in brackets."""


class ModelSettings(BaseModel):
    """One model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME, description="Its own name in requests, and in metrics.")
    torchserve: str = Field(
        pattern=ADDRESS,
        description="gRPC host:port of its TorchServe; all addresses that the host resolves to are used.",
    )
    aliases: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="Other names in requests.")
    torchserve_model: str = Field(
        "whisper", pattern=NAME, description="Its name in TorchServe, which the archive gives."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """All names that requests may call it, its own first."""
        return tuple(dict.fromkeys((self.name, *self.aliases)))


def read_models(text: str) -> list[object]:
    """A list as JSON.

    Raises:
        ValueError: it is something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise ValueError('must be a list of objects as JSON, such as [{"name": "large-v3", "torchserve": "host:7070"}]')
    return value


def check_models(models: Sequence[ModelSettings]) -> None:
    """Raise ValueError unless there is a model and each name is that of one model only."""
    if not models:
        raise ValueError("the list is empty: there has to be a model")
    owners: dict[str, int] = {}
    for number, model in enumerate(models):
        for name in model.names:
            if (other := owners.setdefault(name, number)) != number:
                raise ValueError(f"models.{other} and models.{number} are both called {name!r}: a name is for one only")
