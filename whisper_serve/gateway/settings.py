"""Settings of the gateway, each declared once; they come from ``WHISPER_<NAME>`` and the command line."""

from __future__ import annotations

from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from whisper_serve.gateway.models import ADDRESS, NAME, ModelSettings, check_models, read_models
from whisper_serve.settings import Settings

MIB: Final = 1024**2
GIB: Final = 1024**3


class GatewaySettings(Settings):
    """What can be set of the gateway. Times are in seconds, sizes in bytes."""

    what = "bad gateway settings (WHISPER_*):"

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    grpc_port: int | None = Field(
        9000, ge=0, le=65535, description="Port of the gRPC service; 0: any free one; off: there is none."
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of /metrics alone; off: it is on the same port as all else."
    )
    torchserve_grpc: str = Field(
        "127.0.0.1:7070",
        pattern=ADDRESS,
        description="TorchServe's gRPC host:port; all addresses that the host resolves to are used.",
    )
    model: str = Field("whisper", pattern=NAME, description="Name of the model in TorchServe.")
    model_aliases: Annotated[tuple[str, ...], NoDecode] = Field(
        ("whisper-1", "base"), description="Other names that requests may call the model, separated by commas."
    )
    models: Annotated[tuple[ModelSettings, ...] | None, NoDecode] = Field(
        None,
        description="Several models, instead of torchserve_grpc, model and model_aliases: a list of objects as JSON, "
        "each with name and torchserve (host:port), and if need be aliases and torchserve_model (its name there: "
        "whisper). Requests that name no model get the first.",
    )
    hold_seconds: float = Field(120.0, ge=0, description="How long a request waits for its model to become ready.")
    request_timeout: float = Field(600.0, gt=0, description="How long one request may take, from its last byte on.")
    max_upload_bytes: int = Field(GIB, gt=0, description="Largest body of a request.")
    spool_memory_bytes: int = Field(MIB, ge=0, description="Of an upload, this much is held in memory, not on disk.")
    max_spool_bytes: int | None = Field(
        None,
        gt=0,
        description="Most bytes of uploads on disk at once; what comes beyond is answered 507. off: what the disk has.",
    )
    upload_idle_seconds: float = Field(30.0, gt=0, description="How long a body may bring no data.")
    max_audio_seconds: float = Field(4 * 3600.0, gt=0, description="Longest audio that is accepted as one file.")
    windows_per_request: int = Field(4, ge=1, le=512, description="Windows of one request that are in work at once.")
    windows_in_flight: int = Field(64, ge=1, le=4096, description="Windows in work at once at one address.")
    max_queued_audio_seconds: float = Field(
        7200.0, gt=0, description="Audio that may wait for a model or be in work before new work for it is refused."
    )
    max_requests_per_client: int = Field(
        64, ge=1, description="Requests of one client in work at once; uploads that still come count too."
    )
    max_bytes_per_client: int = Field(
        2 * GIB, gt=0, description="Uploaded bytes of one client in work at once; what still comes counts too."
    )
    decode_threads: int = Field(
        0, ge=0, le=256, description="Files that are decoded at the same time; 0: as many as it has cores, 2 to 16."
    )
    live_streams: int = Field(64, ge=0, description="Live streams at once; 0 takes none.")
    live_idle_seconds: float = Field(30.0, gt=0, description="How long a live stream may bring nothing.")
    live_max_seconds: float = Field(4 * 3600.0, gt=0, description="Longest live stream, in seconds of audio.")
    live_buffer_seconds: float = Field(
        60.0, gt=0, description="Audio of a live stream that may wait for its text; what comes beyond is read later."
    )
    live_interim_seconds: float = Field(1.0, gt=0, description="New audio after which an interim result is made.")
    live_interim_windows: int = Field(
        1, ge=0, description="Interim results in work at once at one address, when no more else is; 0 makes none."
    )
    drain_seconds: float = Field(30.0, ge=0, description="How long running requests may take to finish at the end.")
    trusted_proxies: str = Field(
        "127.0.0.1,::1",
        description="Proxies whose X-Forwarded-For tells who a client is, where no keys are used: addresses and "
        "networks such as 10.42.0.0/16, separated by commas; *: all.",
    )
    keys_file: Path | None = Field(None, description="File of API keys; without one no key is asked for.")
    keepalive_seconds: float = Field(15.0, gt=0, description="Longest silence in a stream of events.")
    window_timeout: float = Field(120.0, gt=0, description="How long one window may take at one address.")
    resolve_seconds: float = Field(5.0, gt=0, description="How often TorchServe's host is resolved anew.")
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="OpenTelemetry collector that traces are sent to as OTLP over HTTP, such as http://collector:4318; "
        "off: nothing is traced.",
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="Part of the traces begun here that is kept.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line goes over the environment, as everywhere."""
        return init_settings, env_settings

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("grpc_port", "metrics_port", "max_spool_bytes", "otlp_endpoint", mode="before")
    @classmethod
    def _switch_off(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() == "off" else value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        for proxy in () if value == "*" else value.split(","):
            ip_network(proxy.strip())  # Says what is wrong.
        return value

    @field_validator("models", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        return read_models(value) if isinstance(value, str) else value

    @field_validator("models")
    @classmethod
    def _check(cls, value: tuple[ModelSettings, ...] | None) -> tuple[ModelSettings, ...] | None:
        if value is not None:
            check_models(value)
        return value

    @model_validator(mode="after")
    def _either_one_or_several(self) -> GatewaySettings:
        both = sorted(self.model_fields_set & {"torchserve_grpc", "model", "model_aliases"})
        if self.models is not None and both:
            raise ValueError(f"models names all models: {' and '.join(both)} must not be set beside it")
        return self

    @cached_property
    def served(self) -> tuple[ModelSettings, ...]:
        """All models; requests that name none get the first."""
        if self.models is not None:
            return self.models
        one = ModelSettings(
            name=self.model,
            torchserve=self.torchserve_grpc,
            aliases=self.model_aliases,
            torchserve_model=self.model,
        )
        return (one,)

    @property
    def model_names(self) -> tuple[str, ...]:
        """All names that requests may call the models, each model's own before its others."""
        return tuple(name for model in self.served for name in model.names)
