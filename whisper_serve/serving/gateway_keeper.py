"""Keeping the gateway running beside TorchServe: it starts again when it dies, and stops when all does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from whisper_serve.serving.gateway_process import POLL_SECONDS, GatewayConfig, GatewayProcess
from whisper_serve.torchserve.child import ending
from whisper_serve.torchserve.endpoints import is_free
from whisper_serve.torchserve.errors import PortsBusy, ServerFailed
from whisper_serve.torchserve.supervisor import MAX_QUICK_DEATHS, STABLE_SECONDS, restart_delay

STOP_SECONDS = 15.0
"""What a gateway may take to stop, over the time that its requests have to finish."""
PROBE_EVERY_SECONDS = 0.5


class GatewayKeeper:
    """A context manager: the gateway runs on entry and is gone on exit.

    A thread starts it and watches it: the kernel takes a child away with the thread that started it, so the thread
    lasts as long as the gateway is wanted. `say` gets one line for each event. Entry raises PortsBusy.
    """

    def __init__(self, config: GatewayConfig, say: Callable[[str], None]) -> None:
        self._config, self._say = config, say
        self._stop = threading.Event()
        self._drain = threading.Event()
        self._urgent: Callable[[], bool] = lambda: False
        self._process: GatewayProcess | None = None
        self._failure: ServerFailed | None = None
        self._thread = threading.Thread(target=self._keep, name="gateway-keeper", daemon=True)

    def __enter__(self) -> GatewayKeeper:
        for port, option in ((self._config.port, "--gateway-port"), (self._config.grpc_port, "--gateway-grpc-port")):
            if port is not None and not is_free(self._config.host, port):
                raise PortsBusy(
                    f"Another program already listens on the gateway's port ({port}): stop it or choose another with "
                    f"{option}."
                )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def address(self) -> str:
        return self._config.url

    @property
    def ready(self) -> bool:
        return self._process is not None and self._process.ready

    def check(self) -> None:
        """Raise ServerFailed when the gateway died too often."""
        if self._failure:
            raise self._failure

    def stop(self, urgent: Callable[[], bool]) -> None:
        """Let running requests finish, then end the gateway; at once when `urgent` becomes true."""
        self._urgent = urgent
        self._drain.set()
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        deaths = 0
        while not self._stop.is_set():
            started = time.monotonic()
            story = self._run_once(announce=deaths > 0)
            if story is None:
                return
            deaths = 1 if time.monotonic() - started >= STABLE_SECONDS else deaths + 1
            if deaths >= MAX_QUICK_DEATHS:
                self._failure = ServerFailed(f"{story} That was death number {deaths} in a row: giving up.")
                return
            delay = restart_delay(deaths)
            self._say(f"{story} Starting it again in {delay:.0f} s.")
            self._stop.wait(delay)

    def _run_once(self, *, announce: bool) -> str | None:
        """A sentence about how the gateway ended; None if it was stopped."""
        try:
            self._process = process = GatewayProcess(self._config)
        except OSError as error:
            return f"The gateway cannot be started ({error.strerror})."
        self._watch(process, announce=announce)
        if self._stop.is_set():
            process.stop(STOP_SECONDS + self._config.drain_seconds * self._drain.is_set(), self._urgent)
            return None
        process.stop(0)  # Its group, should anything be left of it.
        return f"The gateway died ({ending(process.exit_code)})."

    def _watch(self, process: GatewayProcess, *, announce: bool) -> None:
        """Until it ends or has to; say once when one that was started again is ready."""
        next_probe = time.monotonic()
        while process.exit_code is None and not self._stop.wait(POLL_SECONDS):
            if announce and time.monotonic() >= next_probe:
                next_probe = time.monotonic() + PROBE_EVERY_SECONDS
                if process.ready:
                    self._say("The gateway is ready again.")
                    announce = False
