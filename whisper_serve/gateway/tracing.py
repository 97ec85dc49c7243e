"""Traces of requests: which step took how long. Without a tracer nothing is recorded, and no package imported.

A request's span has below it ``decode`` and ``vad`` for each step of its file, ``wait`` and ``window`` for each window,
and below a window ``torchserve`` for each time that it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

from whisper_serve.settings import SettingsError

if TYPE_CHECKING:
    from whisper_serve.gateway.settings import GatewaySettings

Attribute = str | int | float | bool


class Span(Protocol):
    """A step that is under way."""

    def set(self, **attributes: Attribute) -> None:
        """Say more of it."""

    def fail(self, reason: str) -> None:
        """It did not succeed."""


class Tracer(Protocol):
    """Makes spans, each below the one that is current."""

    def request(self, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The span of a request, below that which its caller's ``traceparent`` names."""

    def step(self, name: str, **attributes: Attribute) -> AbstractContextManager[Span]:
        """A step of it."""

    def past(self, name: str, began: int, ended: int, **attributes: Attribute) -> None:
        """A step that is over; its times are nanoseconds since 1970."""

    def headers(self) -> Mapping[str, str]:
        """What tells the next program of the current span: W3C's ``traceparent``."""

    def close(self) -> None:
        """Send what was not sent yet; takes some seconds if nobody is there."""


class _Nothing:
    def set(self, **attributes: Attribute) -> None: ...

    def fail(self, reason: str) -> None: ...


_NOTHING: Final = _Nothing()
_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)


def make_tracer(settings: GatewaySettings) -> Tracer | None:
    """The tracer that the settings ask for.

    Raises:
        SettingsError: its packages are not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from whisper_serve.gateway.otlp import OtlpTracer
    except ImportError as error:
        raise SettingsError("WHISPER_OTLP_ENDPOINT needs the extra otel: pip install 'whisper-serve[otel]'") from error
    return OtlpTracer(settings.otlp_endpoint, settings.trace_ratio)


@contextmanager
def request_span(tracer: Tracer | None, headers: Mapping[str, str], request_id: str) -> Iterator[Span]:
    """A request's span, while which `step` makes those below it."""
    if tracer is None:
        yield _NOTHING
        return
    token = _tracer.set(tracer)
    try:
        with tracer.request(headers) as span:
            span.set(**{"whisper.request_id": request_id})
            yield span
    finally:
        _tracer.reset(token)


def step(name: str, **attributes: Attribute) -> AbstractContextManager[Span]:
    """A step of the request that is being answered."""
    tracer = _tracer.get()
    return nullcontext(_NOTHING) if tracer is None else tracer.step(name, **attributes)


def past_step(name: str, began: int, seconds: float, **attributes: Attribute) -> int:
    """A step that took so many seconds; gives back when it ended, in nanoseconds since 1970 as `began` is."""
    ended = began + round(seconds * 1e9)
    tracer = _tracer.get()
    if tracer is not None:
        tracer.past(name, began, ended, **attributes)
    return ended


def outgoing_headers() -> Mapping[str, str]:
    """What to send along to the next program; empty without a trace."""
    tracer = _tracer.get()
    return {} if tracer is None else tracer.headers()
