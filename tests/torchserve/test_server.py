"""A real TorchServe with a small handler: what it serves, and that nothing of it remains."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import psutil
import pytest

from whisper_serve.torchserve import collector
from whisper_serve.torchserve.archive import HANDLER
from whisper_serve.torchserve.client import WINDOW_KEY, GrpcClient, RestClient
from whisper_serve.torchserve.errors import ArchiveError, PortsBusy, RequestFailed, ServerFailed
from whisper_serve.torchserve.server import ServerConfig, TorchServe

pytestmark = pytest.mark.e2e

TWENTY_MB = bytes(range(256)) * (20 * 1024 * 4)
BROKEN = """
class Broken:
    def initialize(self, context):
        raise ValueError("the weights are missing")

    def handle(self, data, context):
        return []
"""
UNIMPORTABLE = "import no_such_package\n" + BROKEN
MORTAL = """
import os

class Mortal:
    def initialize(self, context):
        os._exit(9)

    def handle(self, data, context):
        return []
"""
REFUSING = """
class Refusing:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        context.set_response_status(500, "Internal Server Error", 0)
        return ["no model today"]
"""


@dataclass
class Running:
    """A server that is ready, and the lines it has logged."""

    server: TorchServe
    lines: list[str] = field(default_factory=list)

    @property
    def rest(self) -> RestClient:
        return RestClient(self.server.predictions_url, timeout=60)

    @property
    def grpc(self) -> GrpcClient:
        return GrpcClient(self.server.config.endpoints.grpc_target, timeout=60)


def serve(config: ServerConfig) -> Iterator[Running]:
    lines: list[str] = []
    with TorchServe(config, lines.append) as server:
        assert server.wait_ready()
        yield Running(server, lines)


@pytest.fixture
def running(pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig]) -> Iterator[Running]:
    yield from serve(configure(pack_handler(), workers=2, batch_size=3, device="cpu"))


def test_everything_a_client_needs(running: Running) -> None:
    """One server for many checks: a start takes seconds."""
    check_rest(running)
    check_grpc(running)
    check_errors(running)
    check_settings(running)
    check_metrics(running)
    check_log(running)
    check_python_path(running)


def check_rest(running: Running) -> None:
    with running.rest as client:
        assert json.loads(client.predict(b"12345").text)["sizes"] == {"body": 5}
        form = json.loads(client.predict_form(b"123", {"language": "en"}).text)
        assert form["sizes"] == {"file": 3, "language": 2}
        assert form["device"] == "cpu"
        assert json.loads(client.predict_form(b"12", key=WINDOW_KEY).text)["sizes"] == {"window": 2}
        assert client.predict_form(TWENTY_MB, {"do": "return"}).body == TWENTY_MB


def check_grpc(running: Running) -> None:
    with running.grpc as client:
        assert json.loads(client.predict(b"123", {"language": "en"}))["sizes"] == {"file": 3, "language": 2}
        assert client.predict(TWENTY_MB, {"do": "return"}) == TWENTY_MB


def check_errors(running: Running) -> None:
    with running.rest as client, pytest.raises(RequestFailed, match=r'answered 400: \{"error": "refused"\}') as refused:
        client.predict_form(b"", {"do": "refuse"})
    assert refused.value.status == 400
    target = running.server.config.endpoints.grpc_target
    with (
        GrpcClient(target, "unknown") as other,
        pytest.raises(RequestFailed, match="Model not found: unknown") as failed,
    ):
        other.predict(b"")
    assert failed.value.status == "INTERNAL"


def check_settings(running: Running) -> None:
    address = f"{running.server.config.endpoints.management_url}/models/whisper"
    model = httpx.get(address).json()[0]
    assert (model["minWorkers"], model["maxWorkers"], model["batchSize"], model["maxBatchDelay"]) == (2, 2, 3, 5)


def check_metrics(running: Running) -> None:
    text = httpx.get(running.server.config.endpoints.metrics_url).text
    counted = re.search(r'^whisper_windows_total\{ModelName="whisper",Hostname="[^"]+",\} (\d+)', text, re.MULTILINE)
    assert counted is not None
    assert int(counted[1]) >= 7
    assert "ts_inference_requests_total{" in text


def check_log(running: Running) -> None:
    messages = [json.loads(line) for line in running.lines]
    warnings = [line["message"] for line in messages if line["level"] == "WARN"]
    assert warnings.count("a warning of the handler") == 2  # one of each worker
    assert not [line for line in messages if "not for the console" in line["message"] or line["exception"]]


def check_python_path(running: Running) -> None:
    """Java passes it on in the same way to workers and to the collector, which lives for a moment a minute only."""
    children = psutil.Process(running.server.process.pid).children(recursive=True)
    workers = [child for child in children if any("model_service_worker" in part for part in child.cmdline())]
    assert len(workers) == 2
    for worker in workers:
        assert str(Path(collector.__file__).parent) in worker.environ()["PYTHONPATH"].split(os.pathsep)


def test_nothing_remains(
    pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig], short_dir: Path
) -> None:
    with TorchServe(configure(pack_handler())) as server:
        assert server.wait_ready()
        processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
        assert len(processes) == 2
    assert not [process for process in processes if process.is_running()]
    assert list(short_dir.iterdir()) == []


def test_stop_during_the_start(
    pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig], short_dir: Path
) -> None:
    with TorchServe(configure(pack_handler())) as server:
        process = psutil.Process(server.process.pid)
        assert not server.wait_ready(stopping=lambda: server.seconds > 1)
    assert not process.is_running()
    assert list(short_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(BROKEN, "ValueError: the weights are missing", id="exception"),
        pytest.param(UNIMPORTABLE, "ModuleNotFoundError: No module named 'no_such_package'", id="import"),
        pytest.param(MORTAL, "memory is short", id="vanishing"),
        pytest.param(REFUSING, "first request failed: .* 500: no model today", id="refusing"),
    ],
)
def test_failed_start_says_why(
    pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig], handler: str, reason: str
) -> None:
    with TorchServe(configure(pack_handler(handler)), lambda _line: None) as server:
        with pytest.raises(ServerFailed, match=reason) as failed:
            server.wait_ready()
        assert failed.value.log


def test_damaged_archive_is_told(pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig]) -> None:
    archive = pack_handler()
    with zipfile.ZipFile(archive) as packed:
        inside = packed.getinfo(HANDLER)
    content = bytearray(archive.read_bytes())
    content[inside.header_offset + 30 + len(HANDLER) + 20] ^= 0xFF  # a byte of the handler's text
    archive.write_bytes(content)
    with TorchServe(configure(archive)) as server, pytest.raises(ServerFailed, match=r"whisper\.mar: .*CRC"):
        server.wait_ready()


def test_busy_port_is_told_before_the_start(
    pack_handler: Callable[..., Path], configure: Callable[..., ServerConfig], taken_port: int
) -> None:
    config = configure(pack_handler())
    config = replace(config, endpoints=replace(config.endpoints, inference=taken_port))
    with pytest.raises(PortsBusy, match=f"inference .{taken_port}."), TorchServe(config):
        pytest.fail("it started")


def test_missing_archive_is_told_before_the_start(tmp_path: Path, configure: Callable[..., ServerConfig]) -> None:
    with pytest.raises(ArchiveError, match="whisper-serve build"), TorchServe(configure(tmp_path / "no.mar")):
        pytest.fail("it started")


def test_no_server_is_an_error_of_the_request() -> None:
    rest = RestClient("http://127.0.0.1:9/predictions/whisper", timeout=5)
    with rest, pytest.raises(RequestFailed, match=r"did not answer: .*refused") as refused:
        rest.predict(b"")
    assert refused.value.status is None
    with GrpcClient("127.0.0.1:9", timeout=5) as grpc, pytest.raises(RequestFailed) as unavailable:
        grpc.predict(b"")
    assert unavailable.value.status == "UNAVAILABLE"
