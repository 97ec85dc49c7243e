"""The processes as `whisper-serve` starts them, on free ports, with clients of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import psutil

from whisper_serve.torchserve.endpoints import Endpoints, on_free_ports

COMMAND = [sys.executable, "-m", "whisper_serve"]


class Gateway:
    """What answers at `url` as OpenAI's API does, and the process that was started for it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=300, trust_env=False)
        self.sdk = self.sdk_with("none")

    def sdk_with(self, key: str) -> openai.OpenAI:
        """OpenAI's SDK with a key; it does not try again by itself."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def close(self) -> None:
        self.sdk.close()
        self.http.close()

    @property
    def pid(self) -> int:
        """Of the gateway itself."""
        return self.process.pid

    def answers(self, path: str) -> bool:
        """Whether GET of that path is answered 200; the process must be running."""
        assert self.process.poll() is None
        try:
            return self.http.get(path).status_code == 200
        except httpx.HTTPError:
            return False

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def text(self, content: bytes, **fields: str) -> httpx.Response:
        form = {"model": "whisper-1", "response_format": "text", **fields}
        return self.http.post("/v1/audio/transcriptions", files={"file": ("clip", content)}, data=form)


class Stack(Gateway):
    """A running `whisper-serve serve`: the supervisor with TorchServe and the gateway below it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, grpc: str, endpoints: Endpoints) -> None:
        super().__init__(process, url)
        self.grpc = grpc
        """Where the gateway's gRPC service listens."""
        self.endpoints = endpoints

    def descendant(self, words: str) -> psutil.Process:
        """The process below the supervisor whose command line holds `words`."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if any(words in part for part in process.cmdline()):
                return process
        raise LookupError(words)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def is_ready(gateway: Gateway) -> bool:
    return gateway.answers("/readyz")


@contextmanager
def run_stack(store: Path, **environment: str) -> Iterator[Stack]:
    """`whisper-serve serve` of the trial model, once it is ready; `store` is where its archive is or will be."""
    endpoints, more = on_free_ports(), on_free_ports()
    port, rpc = more.inference, more.grpc
    command = [*serve_command(store, endpoints), "--gateway-port", str(port), "--gateway-grpc-port", str(rpc)]
    with running(command, environment) as process:
        stack = Stack(process, f"http://127.0.0.1:{port}", f"127.0.0.1:{rpc}", endpoints)
        try:
            wait_until(lambda: is_ready(stack), 120)
            yield stack
        finally:
            stack.close()


@contextmanager
def run_gateway(torchserve: str, **environment: str) -> Iterator[Gateway]:
    """`whisper-serve gateway` before a TorchServe's gRPC address, once it listens; it need not be ready then."""
    port = on_free_ports().inference
    command = [*COMMAND, "gateway", "--torchserve", torchserve, "--port", str(port), "--grpc-port", "off"]
    with running(command, environment) as process:
        gateway = Gateway(process, f"http://127.0.0.1:{port}")
        try:
            wait_until(lambda: gateway.answers("/livez"), 60)
            yield gateway
        finally:
            gateway.close()


def serve_command(store: Path, endpoints: Endpoints) -> list[str]:
    """`whisper-serve serve` of the trial model on the CPU."""
    command = [*COMMAND, "serve", "--model", "trial", "--model-store", str(store), "--device", "cpu"]
    command += ["--port", str(endpoints.inference), "--management-port", str(endpoints.management)]
    command += ["--metrics-port", str(endpoints.metrics), "--grpc-port", str(endpoints.grpc)]
    return [*command, "--grpc-management-port", str(endpoints.grpc_management)]


@contextmanager
def running(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a folder of its own for temporary files; it is told to stop at the end, and has to do so well."""
    # A Unix socket's path may have 107 characters at most, which pytest's own folders exceed.
    with tempfile.TemporaryDirectory(prefix="ws") as folder:
        process = subprocess.Popen(command, env={**os.environ, **environment, "TMPDIR": folder})
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        assert code == 0


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all below it, and wait until none is left."""
    root = psutil.Process(process.pid)
    victims = [root, *root.children(recursive=True)]
    for victim in victims:
        victim.kill()
    process.wait(30)
    _, alive = psutil.wait_procs(victims, timeout=30)
    assert not alive
