"""Sending windows to TorchServe, over all addresses of its host name, until they are answered.

A window goes to the ready address with the least work. If it fails there for no fault of its own it is sent again, to
another address first. If its worker died the window is a suspect: it is sent once more, alone at its address, so that
a second death tells of this window and takes no other with it; then it is given up.

An address is ready when it has answered a real window, and not any more when it fails: then it is probed with a tiny
window until it answers. Addresses that appear or vanish are noticed every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from whisper_serve.gateway.addresses import Address, Resolve, resolve_host
from whisper_serve.gateway.changes import Changes
from whisper_serve.gateway.failures import BackendUnavailable, DeadlineExceeded, PoisonWindow, Refused
from whisper_serve.gateway.faults import AttemptFailed, Fault
from whisper_serve.gateway.models import ModelSettings
from whisper_serve.gateway.observer import ModelObserver
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.gateway.tracing import outgoing_headers, step
from whisper_serve.speech import SAMPLE_RATE, WindowTranscript
from whisper_serve.wire import ErrorReply, WindowOptions, WireError, pack_window, unpack_reply

logger = logging.getLogger(__name__)

MAX_DEATHS: Final = 2
"""Workers that a window may end."""
MAX_FAILURES: Final = 3
"""Attempts that may time out or fail in other ways that could be the window's own."""
LONGEST_DELAY: Final = 2.0
IDLE_PROBE_SECONDS: Final = 30
"""After which an address that has nothing to do is asked whether it is still there. It costs the encoder a window."""
PROBE_TIMEOUT: Final = 30.0
PROBE: Final = pack_window(np.zeros(SAMPLE_RATE // 10, np.float32), WindowOptions(detect_only=True))
"""A tenth of a second of silence, of which only the language is asked: one step of the model."""
WITHOUT_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""Errors of a look-up that say that there is nothing; others say that nobody knows."""
_COUNTED: Final = (Fault.TIMEOUT, Fault.FAILED)


@dataclass(slots=True)
class _Journey:
    """A window on its way: what happened to it so far. `span` is start and end in the file, in seconds."""

    span: tuple[float, float]
    deadline: float
    tried: set[str] = field(default_factory=set)
    attempts: int = 0
    deaths: int = 0
    failures: int = 0

    def note(self, fault: Fault) -> None:
        self.attempts += 1
        self.deaths += fault is Fault.WORKER_DIED
        self.failures += fault in _COUNTED


class Backend:
    """All TorchServes behind one model's host name."""

    def __init__(
        self,
        settings: GatewaySettings,
        model: ModelSettings,
        observer: ModelObserver,
        *,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._settings = settings
        self._model = model
        self._observer = observer
        self._resolve = resolve
        self._addresses: dict[str, Address] = {}
        self._unresolved = ""
        """Why the host could not be resolved when it was last tried."""
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._changes = Changes()
        self._listeners: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Begin to look for addresses and to probe them; returns before any is ready."""
        await self._look_up()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop, and close all connections; what is being sent fails."""
        tasks = [task for task in (self._watching, *self._probing.values(), *self._retiring) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for address in self._addresses.values():
            await address.close()

    @property
    def ready(self) -> bool:
        """Whether some address answers."""
        return any(address.ready for address in self._addresses.values())

    @property
    def ready_addresses(self) -> int:
        return sum(address.ready for address in self._addresses.values())

    async def wait_ready(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for an address that answers: whether there is one."""
        return await self._changes.within(timeout, lambda: self.ready)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever an address becomes ready or stops being so."""
        self._listeners.append(listener)

    async def send(self, message: bytes, *, span: tuple[float, float], deadline: float) -> WindowTranscript:
        """Have a window computed; `span` is its start and end in the file, `deadline` a time of the event loop.

        Raises:
            Refused: the model server says that it cannot be done.
            PoisonWindow: it ended two workers.
            BackendUnavailable: no address answered for `hold_seconds`, or it failed in some other way three times.
            DeadlineExceeded: the deadline has passed.
        """
        journey, began = _Journey(span, deadline), time.monotonic()
        with step("window", **{"whisper.start": span[0], "whisper.end": span[1]}):
            transcript = await self._travel(journey, message)
        self._observer.window_answered(time.monotonic() - began)
        return transcript

    async def _travel(self, journey: _Journey, message: bytes) -> WindowTranscript:
        """Send a window until it is answered."""
        while True:
            address = await self._pick(journey)
            try:
                return await self._attempt(address, message, journey)
            except AttemptFailed as failure:
                self._judge(failure, address, journey)
            await asyncio.sleep(min(_delay(journey.attempts), max(self._left(journey), 0)))

    async def _pick(self, journey: _Journey) -> Address:
        """The address for the next attempt, as soon as one is ready."""
        ready = await self.wait_ready(min(self._settings.hold_seconds, self._left(journey)))
        self._check_deadline(journey)
        if not ready:
            self._observer.window_failed("unavailable")
            raise BackendUnavailable()
        answering = [address for address in self._addresses.values() if address.ready]
        fresh = [address for address in answering if address.name not in journey.tried]
        if not fresh:
            journey.tried.clear()
        # Chance decides between equals, and keeps no secret.
        chosen = min(fresh or answering, key=lambda address: (address.in_flight, random.random()))  # noqa: S311
        journey.tried.add(chosen.name)
        return chosen

    async def _attempt(self, address: Address, message: bytes, journey: _Journey) -> WindowTranscript:
        async with address.entered(alone=journey.deaths > 0):
            self._check_deadline(journey)
            self._observer.window_sent(journey.span[1] - journey.span[0])
            with step("torchserve", **{"server.address": address.name}):
                answer = await address.predict(
                    message, min(self._settings.window_timeout, self._left(journey)), outgoing_headers()
                )
        self._mark(address, ready=True)
        return _read(answer)

    def _judge(self, failure: AttemptFailed, address: Address, journey: _Journey) -> None:
        """Raise what the caller is told if the window is not to be sent again."""
        fault = failure.fault
        journey.note(fault)
        if fault not in (Fault.QUEUE_FULL, Fault.FAILED) and self._left(journey) > 0:
            self._mark(address, ready=False)
        logger.warning("a window failed at %s: %s", address.name, failure)
        if journey.deaths >= MAX_DEATHS:
            self._observer.window_failed(fault.value)
            raise PoisonWindow(*journey.span) from failure
        self._check_deadline(journey)
        if journey.failures >= MAX_FAILURES:
            self._observer.window_failed(fault.value)
            raise BackendUnavailable("the model server failed on this audio") from failure
        self._observer.window_retried(fault.value)

    def _left(self, journey: _Journey) -> float:
        return journey.deadline - asyncio.get_running_loop().time()

    def _check_deadline(self, journey: _Journey) -> None:
        if self._left(journey) <= 0:
            self._observer.window_failed("deadline")
            raise DeadlineExceeded(self._settings.request_timeout)

    def _mark(self, address: Address, *, ready: bool) -> None:
        if address.ready == ready or address.retired:
            return
        address.ready = ready
        if not ready:
            self._observer.address_lost()
        logger.info("%s is %s", address.name, "ready" if ready else "not ready")
        self._tell()

    def _tell(self) -> None:
        self._observer.addresses(len(self._addresses), self.ready_addresses)
        self._changes.tell()
        for listener in self._listeners:
            listener()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resolve_seconds)
            await self._look_up()

    async def _look_up(self) -> None:
        """Take in addresses that are new and let go of those that vanished."""
        found = await self._found()
        for name in sorted(found - self._addresses.keys()):
            address = self._addresses[name] = Address(name, self._model.torchserve_model)
            self._probing[name] = asyncio.create_task(self._keep_probed(address))
        for name in self._addresses.keys() - found:
            self._probing.pop(name).cancel()
            retiring = asyncio.create_task(self._addresses.pop(name).retire())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        self._tell()

    async def _found(self) -> frozenset[str]:
        """The addresses that there are; those that are known, where that cannot be found out.

        A service without pods has no name. What still answers may stay then, but nothing else: its address may become
        that of another model.
        """
        try:
            found = await self._resolve(self._model.torchserve)
        except (OSError, UnicodeError) as error:
            if str(error) != self._unresolved:
                logger.warning("%s cannot be resolved: %s", self._model.torchserve, error)
            self._unresolved = str(error)
            nameless = isinstance(error, socket.gaierror) and error.errno in WITHOUT_NAME
            return frozenset(name for name, address in self._addresses.items() if address.ready or not nameless)
        self._unresolved = ""
        return found

    async def _keep_probed(self, address: Address) -> None:
        """Probe an address until it answers, and then whenever nothing else tells whether it still does."""
        failures = 0
        while True:
            if address.ready and address.in_flight:
                fault = None
            else:
                fault = await _probe(address)
                self._mark(address, ready=fault is None or (address.ready and fault is Fault.QUEUE_FULL))
            failures = 0 if address.ready else failures + 1
            if address.ready:
                await self._rest(address)
            else:
                await asyncio.sleep(_delay(failures))

    async def _rest(self, address: Address) -> None:
        """Until the next probe of an address that answers: at once when it fails or its connection is lost."""
        for _ in range(IDLE_PROBE_SECONDS):
            failed = await self._changes.within(1.0, lambda: not address.ready)
            if failed or not address.connected:
                return


async def _probe(address: Address) -> Fault | None:
    """Whether an address answers a tiny window, whatever it says to it."""
    try:
        answer = unpack_reply(await address.predict(PROBE, PROBE_TIMEOUT))
    except AttemptFailed as failure:
        return failure.fault
    except WireError:
        return Fault.FAILED
    return Fault.FAILED if isinstance(answer, ErrorReply) and answer.status >= 500 else None


def _read(answer: bytes) -> WindowTranscript:
    try:
        reply = unpack_reply(answer)
    except WireError as error:
        raise AttemptFailed(Fault.FAILED, str(error)) from error
    if not isinstance(reply, ErrorReply):
        return reply
    if reply.status < 500:
        raise Refused(reply)
    raise AttemptFailed(Fault.FAILED, f"{reply.status}: {reply.message}")


def _delay(attempts: int) -> float:
    """Seconds before the next attempt, longer every time, with jitter so that not all come at once."""
    return min(LONGEST_DELAY, 0.05 * 2.0 ** min(attempts, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
