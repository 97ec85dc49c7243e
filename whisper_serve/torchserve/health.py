"""Health over HTTP for an orchestrator's probes: ``/livez`` and ``/readyz`` on a port of the supervisor.

TorchServe's own /ping is 200 while the model loads and when no worker lives, so it is not asked. Ready means that the
management API shows a worker READY and that the last tiny request was answered. Alive means that one was answered not
too long ago, or that TorchServe is being started: that has a limit of its own, after which the supervisor ends.

The tiny request waits its turn like any other, and of a batch that is being computed nothing is seen until its end. So
that good work is not taken for a hang, "too long" has to be longer than the batches before a request take. The
gateway's are windows, which take seconds; files that are sent straight to TorchServe are computed whole. A full queue
costs neither: its 503 counts as an answer while a worker is READY.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from whisper_serve.torchserve.client import WINDOW_KEY, RestClient
from whisper_serve.torchserve.errors import PortsBusy, RequestFailed
from whisper_serve.torchserve.readiness import has_ready_worker
from whisper_serve.torchserve.server import TorchServe

PROBE_SECONDS = 20.0
"""Between two tiny requests. One costs the model what a window of a second costs."""
UNRESPONSIVE_SECONDS = 300.0
_FULL_QUEUE = 503


class Health:
    """A context manager that answers on `host`:`port`; entry raises PortsBusy."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._address = (host, port)
        self._unresponsive = unresponsive_seconds
        self._probe_seconds = probe_seconds
        self._watch: _Watch | None = None
        self._http: ThreadingHTTPServer | None = None

    def __enter__(self) -> Health:
        try:
            self._http = ThreadingHTTPServer(self._address, _answering(self))
        except OSError as error:
            raise PortsBusy(f"The health port {self._address[1]} cannot be used: {error.strerror}.") from error
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()

    @contextmanager
    def watching(self, server: TorchServe) -> Iterator[None]:
        """Ask a server, which has just answered for the first time, again and again as long as the context lasts."""
        self._watch = _Watch(server, self._probe_seconds, self._unresponsive)
        self._watch.start()
        try:
            yield
        finally:
            self._watch.stop()
            self._watch = None

    @property
    def alive(self) -> bool:
        """False when TorchServe serves but has answered nothing for too long, be it for a hang or for a long batch."""
        watch = self._watch
        return watch is None or watch.silence < self._unresponsive

    @property
    def ready(self) -> bool:
        """Whether requests are answered now."""
        watch = self._watch
        return watch is not None and watch.answers and watch.has_worker()


class _Watch(threading.Thread):
    """Sends the probe to one running server."""

    def __init__(self, server: TorchServe, pause: float, timeout: float) -> None:
        super().__init__(daemon=True)
        self.answers = True
        """Whether the last probe that ended was answered."""
        self._heard = time.monotonic()
        self._server, self._pause, self._timeout = server, pause, timeout
        self._stopping = threading.Event()

    @property
    def silence(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self._heard

    def has_worker(self) -> bool:
        return has_ready_worker(self._server.config.endpoints, self._server.archive.name)

    def stop(self) -> None:
        """Does not wait for a probe that is under way."""
        self._stopping.set()

    def run(self) -> None:
        with RestClient(self._server.predictions_url, timeout=self._timeout) as client:
            while not self._stopping.wait(self._pause):
                self.answers = self._probe(client)
                if self.answers:
                    self._heard = time.monotonic()

    def _probe(self, client: RestClient) -> bool:
        try:
            client.predict_form(self._server.config.probe, key=WINDOW_KEY)
        except RequestFailed as error:
            # Full of work, or without a worker: TorchServe says the same of both.
            return error.status == _FULL_QUEUE and self.has_worker()
        return True


def _answering(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # The base class asks for this name.
            states = {"/livez": lambda: health.alive, "/readyz": lambda: health.ready}
            if (state := states.get(self.path)) is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            good = state()
            body = b"ok\n" if good else b"no\n"
            self.send_response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  The base class' name.
            """Probes come every few seconds: not a line for each."""

    return Handler
