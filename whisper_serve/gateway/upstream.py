"""A model: the servers that compute it, what waits for them, and whose window goes next."""

from __future__ import annotations

from whisper_serve.gateway.admission import Admission, Clients
from whisper_serve.gateway.backend import Backend
from whisper_serve.gateway.failures import NotReady
from whisper_serve.gateway.live.gate import InterimGate
from whisper_serve.gateway.observer import ModelObserver
from whisper_serve.gateway.scheduler import Scheduler
from whisper_serve.gateway.settings import GatewaySettings


class Upstream:
    """Of one model, and of no other: so what waits for one keeps no request from another."""

    def __init__(
        self, name: str, settings: GatewaySettings, backend: Backend, clients: Clients, observer: ModelObserver
    ) -> None:
        self.backend = backend
        self.observer = observer
        self.admission = Admission(settings, clients, observer)
        self.scheduler = Scheduler(self._capacity, settings.windows_per_request, observer.window_waited)
        self.gate = InterimGate(self.scheduler, self._addresses, settings.live_interim_windows)
        self._name, self._settings = name, settings

    async def start(self) -> None:
        """Begin to connect to the servers."""
        self.backend.on_change(self.scheduler.wake)
        await self.backend.start()

    async def hold(self) -> None:
        """Wait for a server: one that is started by the first request needs a while.

        Raises:
            NotReady: none came in time.
        """
        longest = min(self._settings.hold_seconds, self._settings.request_timeout)
        if not await self.backend.wait_ready(longest):
            raise NotReady(message=f"the model {self._name!r} is not ready yet: try again later")

    def _capacity(self) -> int:
        """Windows that may be in work at once; what is under way while no address answers waits for one."""
        return self._settings.windows_in_flight * self._addresses()

    def _addresses(self) -> int:
        return max(1, self.backend.ready_addresses)
