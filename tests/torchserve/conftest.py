"""A handler that starts in two seconds, so that servers and archives can be tested without a model."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from whisper_serve.torchserve.archive import CONFIG, HANDLER, pack
from whisper_serve.torchserve.endpoints import on_free_ports
from whisper_serve.torchserve.server import ServerConfig

# Answers with what arrived. The part `do` makes it misbehave.
ECHO = """
import json
import logging
import os
import sys

class Echo:
    def initialize(self, context):
        print("a warning of the handler", file=sys.stderr, flush=True)
        logging.getLogger("other").warning("not for the console")

    def handle(self, data, context):
        metric = context.metrics.get_metric("whisper_windows_total")
        metric.add_or_update(len(data), [context.model_name])
        return [self.answer(index, row, context) for index, row in enumerate(data)]

    def answer(self, index, row, context):
        sizes = {key: len(value) for key, value in row.items()}
        if row.get("do") == b"refuse":
            context.set_response_status(400, "Bad Request", index)
            return json.dumps({"error": "refused"})
        if row.get("do") == b"return":
            return bytes(row["file"])
        return json.dumps({"sizes": sizes, "pid": os.getpid(), "device": os.environ.get("WHISPER_DEVICE")})
"""

CONFIG_TEXT = """
minWorkers: 1
maxWorkers: 1
batchSize: 4
maxBatchDelay: 5
responseTimeout: 60
startupTimeout: 60
"""

Packer = Callable[..., Path]
Configure = Callable[..., ServerConfig]


@pytest.fixture
def pack_handler(tmp_path: Path) -> Packer:
    """Packs a handler's source into a model store whose path no plain properties file could hold."""

    def pack_source(source: str = ECHO, config: str = CONFIG_TEXT, name: str = "whisper") -> Path:
        content, store = tmp_path / f"content-{name}", tmp_path / "mödel store 模"
        content.mkdir()
        store.mkdir(exist_ok=True)
        (content / HANDLER).write_text(source, "utf-8")
        (content / CONFIG).write_text(config, "utf-8")
        pack(name, content, store)
        return store / f"{name}.mar"

    return pack_source


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path, unlike tmp_path: a Unix socket's may have 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="ws") as folder:
        yield Path(folder)


@pytest.fixture
def configure(short_dir: Path) -> Configure:
    """A configuration on free ports whose server keeps its files in `short_dir`."""

    def configure_server(archive: Path, **changes: Any) -> ServerConfig:
        values: dict[str, Any] = {"probe": b"probe", "endpoints": on_free_ports(), "temp_dir": short_dir}
        return ServerConfig(archive=archive, **{**values, **changes})

    return configure_server


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which something listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]
