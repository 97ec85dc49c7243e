"""Keeping TorchServe running, and a companion beside it: ready line, restarts, a clean stop on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Protocol

from whisper_serve.torchserve.child import ending as how_it_ended
from whisper_serve.torchserve.errors import PortsBusy, ServerFailed
from whisper_serve.torchserve.health import Health
from whisper_serve.torchserve.server import POLL_SECONDS, ServerConfig, TorchServe

MAX_QUICK_DEATHS = 5
# A server that was ready for so long is counted as healthy: its death starts the count again.
STABLE_SECONDS = 120.0
LONGEST_DELAY_SECONDS = 60.0
# How long what runs beside TorchServe may take to be ready after it.
COMPANION_SECONDS = 120.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """A context manager under which signals to stop are only counted. For the main thread.

    `urgent` becomes true at the second one: whoever sends it does not want to wait.
    """

    def __init__(self) -> None:
        self._signals = 0
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
        return self._signals > 0

    @property
    def urgent(self) -> bool:
        return self._signals > 1

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1


class Companion(Protocol):
    """What runs beside TorchServe and lives longer than one TorchServe: a context manager, stopped by its exit."""

    def __enter__(self) -> Companion: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def address(self) -> str:
        """Where requests go."""

    @property
    def ready(self) -> bool:
        """Whether it answers requests, with a ready TorchServe behind it."""

    def check(self) -> None:
        """Raise ServerFailed when it cannot be kept running."""

    def stop(self, urgent: Callable[[], bool]) -> None:
        """Let it finish its work while TorchServe still runs, unless `urgent` becomes true."""


def supervise(
    config: ServerConfig,
    say: Callable[[str], None],
    hints: Sequence[str] = (),
    companion: Companion | None = None,
    health: Health | None = None,
) -> None:
    """Serve until a signal asks to stop, and start TorchServe again when it dies.

    `say` gets one line for each event, and `hints` when the server is ready for the first time. A companion is started
    first, counts for being ready, and is stopped before TorchServe is. `health` answers from the start on. Raises
    ServerFailed when the first start fails or when TorchServe dies MAX_QUICK_DEATHS times with less than STABLE_SECONDS
    of service between; also what TorchServe's entry, the companion and `health` raise.
    """
    with StopRequest() as stopping, health or nullcontext(), companion or nullcontext():
        _keep_serving(_Service(config, say, stopping, companion, health), hints)
        say("Stopped.")


def restart_delay(deaths: int) -> float:
    """Seconds to wait before the start after the given number of deaths in a row: 1, 2, 4 … 60."""
    return min(2.0 ** (deaths - 1), LONGEST_DELAY_SECONDS)


@dataclass(frozen=True, slots=True)
class _Service:
    """What is served, who hears of it, and who ends it."""

    config: ServerConfig
    say: Callable[[str], None]
    stopping: StopRequest
    companion: Companion | None
    health: Health | None

    def watching(self, server: TorchServe) -> AbstractContextManager[None]:
        return self.health.watching(server) if self.health else nullcontext()

    def ended(self) -> bool:
        """Whether to stop. Raises ServerFailed when the companion cannot be kept running."""
        if self.companion and not self.stopping():
            self.companion.check()
        return self.stopping()


def _keep_serving(service: _Service, hints: Sequence[str]) -> None:
    deaths = 0
    served, ending = _serve_once(service, hints)
    while not service.ended():
        deaths = 1 if served >= STABLE_SECONDS else deaths + 1
        if deaths >= MAX_QUICK_DEATHS:
            raise ServerFailed(f"{ending} That was death number {deaths} in a row: giving up.")
        delay = restart_delay(deaths)
        service.say(f"{ending} Starting it again in {delay:.0f} s.")
        _wait(delay, service.ended)
        if not service.ended():
            served, ending = _serve_again(service)


def _serve_once(service: _Service, hints: Sequence[str] = ()) -> tuple[float, str]:
    """Run TorchServe until it ends or has to: the seconds it served, and a sentence about its end."""
    with TorchServe(service.config) as server:
        ready_at = server.seconds
        if server.wait_ready(service.ended) and _wait_for_companion(service, server):
            ready_at = server.seconds
            service.say(_ready_line(service, server))
            for hint in hints:
                service.say(hint)
            with service.watching(server):
                while server.process.exit_code is None and not service.ended():
                    time.sleep(POLL_SECONDS)
        if service.companion and service.stopping():
            service.companion.stop(lambda: service.stopping.urgent)
        return server.seconds - ready_at, f"TorchServe died ({how_it_ended(server.process.exit_code)})."


def _serve_again(service: _Service) -> tuple[float, str]:
    """As `_serve_once`, but a start that fails counts as a death: it worked before."""
    try:
        return _serve_once(service)
    except (ServerFailed, PortsBusy) as error:
        if service.companion:
            service.companion.check()  # Where it is the one that failed, there is no use in another start.
        return 0.0, str(error)


def _wait_for_companion(service: _Service, server: TorchServe) -> bool:
    """False when the wait for the companion was broken off: TorchServe died, or all is to stop."""
    deadline = time.monotonic() + COMPANION_SECONDS
    while service.companion and not service.companion.ready:
        if server.process.exit_code is not None or service.ended():
            return False
        if time.monotonic() > deadline:
            raise ServerFailed(f"{service.companion.address} was not ready {COMPANION_SECONDS:.0f} s after TorchServe.")
        time.sleep(POLL_SECONDS)
    return True


def _ready_line(service: _Service, server: TorchServe) -> str:
    target = service.config.endpoints.grpc_target
    if service.companion is None:
        return f"Ready after {server.seconds:.1f} s: {server.predictions_url} (gRPC {target})"
    return f"Ready after {server.seconds:.1f} s: {service.companion.address} (TorchServe's gRPC {target})"


def _wait(seconds: float, ended: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not ended():
        time.sleep(POLL_SECONDS)
