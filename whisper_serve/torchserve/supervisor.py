"""Keeping TorchServe running: ready line, restarts, a clean stop on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

from whisper_serve.torchserve.errors import ServerFailed
from whisper_serve.torchserve.server import POLL_SECONDS, ServerConfig, TorchServe

MAX_QUICK_DEATHS = 5
# A server that was ready for so long is counted as healthy: its death starts the count again.
STABLE_SECONDS = 120.0
LONGEST_DELAY_SECONDS = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """A context manager under which a signal to stop only sets `requested`. For the main thread."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        self._previous = {each: signal.signal(each, self._request) for each in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)

    def __call__(self) -> bool:
        return self.requested

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


def supervise(config: ServerConfig, say: Callable[[str], None], hints: Sequence[str] = ()) -> None:
    """Serve until a signal asks to stop, and start TorchServe again when it dies.

    `say` gets one line for each event, and `hints` when the server is ready for the first time. Raises ServerFailed
    when the first start fails or when TorchServe dies MAX_QUICK_DEATHS times with less than STABLE_SECONDS of service
    between; also what TorchServe's entry raises.
    """
    deaths = 0
    with StopRequest() as stopping:
        served, ending = _serve_once(config, say, stopping, hints)
        while not stopping():
            deaths = 1 if served >= STABLE_SECONDS else deaths + 1
            if deaths >= MAX_QUICK_DEATHS:
                raise ServerFailed(f"{ending} That was death number {deaths} in a row: giving up.")
            delay = restart_delay(deaths)
            say(f"{ending} Starting it again in {delay:.0f} s.")
            _wait(delay, stopping)
            if not stopping():
                served, ending = _serve_again(config, say, stopping)
        say("Stopped.")


def restart_delay(deaths: int) -> float:
    """Seconds to wait before the start after the given number of deaths in a row: 1, 2, 4 … 60."""
    return min(2.0 ** (deaths - 1), LONGEST_DELAY_SECONDS)


def _serve_once(
    config: ServerConfig, say: Callable[[str], None], stopping: StopRequest, hints: Sequence[str] = ()
) -> tuple[float, str]:
    """Run TorchServe until it ends or has to: the seconds it served, and a sentence about its end."""
    with TorchServe(config) as server:
        if not server.wait_ready(stopping):
            return 0.0, ""
        ready_at = server.seconds
        say(f"Ready after {ready_at:.1f} s: {server.predictions_url} (gRPC {config.endpoints.grpc_target})")
        for hint in hints:
            say(hint)
        while server.process.exit_code is None and not stopping():
            time.sleep(POLL_SECONDS)
        return server.seconds - ready_at, f"TorchServe died ({_cause(server.process.exit_code)})."


def _serve_again(config: ServerConfig, say: Callable[[str], None], stopping: StopRequest) -> tuple[float, str]:
    """As `_serve_once`, but a start that fails counts as a death: it worked before."""
    try:
        return _serve_once(config, say, stopping)
    except ServerFailed as error:
        return 0.0, str(error)


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _wait(seconds: float, stopping: StopRequest) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopping():
        time.sleep(POLL_SECONDS)
