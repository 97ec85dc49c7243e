"""Settings, each declared once: how they are read, and those of the model server's handler.

Each has an environment variable ``WHISPER_<NAME>``. For the handler it goes over the section ``handler:`` of
``model-config.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

S = TypeVar("S", bound="Settings")


class SettingsError(ValueError):
    """A setting is unknown or has a bad value; the message names it."""


class Settings(BaseSettings):
    """Settings that are fixed once read; unknown names and bad values are errors that name them."""

    model_config = SettingsConfigDict(env_prefix="WHISPER_", extra="forbid", frozen=True)
    what: ClassVar[str] = "bad settings (WHISPER_*):"
    """Begins the message about bad ones."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @classmethod
    def read(cls: type[S], section: Mapping[str, Any] | None) -> S:
        """Settings from ``section`` and the environment.

        Raises:
            SettingsError: a key is unknown or a value is bad; all of them are named.
        """
        try:
            return cls(**(section or {}))
        except ValidationError as error:
            problems = "; ".join(map(_sentence, error.errors()))
            raise SettingsError(f"{cls.what} {problems}") from error


def _sentence(problem: Mapping[str, Any]) -> str:
    """What is wrong, and with which setting if it is one."""
    where, what = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


class HandlerSettings(Settings):
    """What can be set of the handler. Sizes and times carry their unit in the name."""

    what = "bad handler settings (model-config.yaml, WHISPER_*):"

    weights: str = Field(
        "model.safetensors", description="Weights: a file in the archive, an absolute path, or a model's name."
    )
    model_cache: Path | None = Field(
        None, description="Folder of the weights that are named; they are fetched into it. By default the user's cache."
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto: the GPU that TorchServe assigns, else the CPU."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16", "int8"] = Field(
        "auto", description="Number type; auto: on a CPU float32 with some integers, on a GPU bfloat16 or float16."
    )
    batch_windows: int = Field(
        0, ge=0, le=512, description="Windows computed together; 0: 16 on a CPU, up to 64 on a GPU."
    )
    cuda_graphs: bool = Field(True, description="On a GPU, decode by CUDA graphs.")
    search_threshold: float = Field(
        -0.3,
        ge=-1,
        le=-0.3,
        description="Greedy transcripts with a mean log-probability a token below this are searched for with two "
        "beams; -1: only those that fail, which is fastest.",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of one worker; 0: one a core.")
    max_audio_seconds: float = Field(3600.0, gt=0, description="Longest audio that is accepted as one file.")
