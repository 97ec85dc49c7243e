"""Tiny models, and the writers and servers the weights tests share."""

from __future__ import annotations

import base64
import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from whisper_serve.engine.weights import Dimensions, Weights
from whisper_serve.engine.weights.layout import complete
from whisper_serve.engine.weights.random_init import random_tensors

TINY = Dimensions(
    n_mels=8,
    n_audio_ctx=12,
    n_audio_state=16,
    n_audio_head=4,
    n_audio_layer=2,
    n_vocab=30,
    n_text_ctx=10,
    n_text_state=16,
    n_text_head=2,
    n_text_layer=3,
)
HEADS = ((1, 0), (2, 1))
CT2_TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


@pytest.fixture
def tiny() -> Weights:
    """A model of a few thousand float32 weights."""
    return complete("tiny weights", "tiny-test", TINY, random_tensors(TINY, torch.float32), HEADS)


@pytest.fixture
def build_whisper() -> Callable[[Weights], Whisper]:
    """Puts weights into openai-whisper's own model, which takes no other names or shapes than its own."""

    def build(weights: Weights) -> Whisper:
        model = Whisper(ModelDimensions(**weights.dimensions.as_dict()))
        model.load_state_dict({name: tensor.float() for name, tensor in weights.tensors.items()}, strict=True)
        return model.eval()

    return build


@pytest.fixture
def write_checkpoint(tiny: Weights) -> Callable[[Path], str]:
    """Writes the tiny model as OpenAI writes checkpoints; returns the file's SHA-256."""

    def write(path: Path) -> str:
        torch.save({"dims": tiny.dimensions.as_dict(), "model_state_dict": dict(tiny.tensors)}, path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return write


def _text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


@dataclass
class Ct2File:
    """A CTranslate2 model to be written byte by byte; tests change parts of it first."""

    variables: dict[str, torch.Tensor]
    aliases: dict[str, str] = field(default_factory=lambda: {"decoder/projection/weight": "decoder/embeddings/weight"})
    version: int = 6
    spec: str = "WhisperSpec"

    def content(self) -> bytes:
        out = struct.pack("<I", self.version) + _text(self.spec) + struct.pack("<II", 3, len(self.variables))
        for name, value in sorted(self.variables.items()):
            raw = value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
            sizes = struct.pack(f"<B{value.dim()}I", value.dim(), *value.shape)
            out += _text(name) + sizes + struct.pack("<BI", CT2_TYPES.index(value.dtype), len(raw)) + raw
        out += struct.pack("<I", len(self.aliases))
        return out + b"".join(_text(alias) + _text(name) for alias, name in self.aliases.items())

    def write(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "model.bin").write_bytes(self.content())
        return folder


@pytest.fixture
def ct2_file(tiny: Weights) -> Ct2File:
    """The tiny model as CTranslate2's converter would lay it out."""
    t = tiny.tensors
    variables = {
        "encoder/num_heads": torch.tensor(4, dtype=torch.int16),
        "decoder/num_heads": torch.tensor(2, dtype=torch.int16),
        "decoder/activation": torch.tensor(3, dtype=torch.int8),
        "decoder/pre_norm": torch.tensor(1, dtype=torch.int8),
        "decoder/scale_embeddings": torch.tensor(0, dtype=torch.int8),
        "decoder/alignment_heads": torch.tensor([1, 1], dtype=torch.int16),
        "decoder/embeddings/weight": t["decoder.token_embedding.weight"],
        "encoder/position_encodings/encodings": t["encoder.positional_embedding"],
        "decoder/position_encodings/encodings": t["decoder.positional_embedding"],
    }

    def linear(theirs: str, *ours: str) -> None:
        weights = [t[f"{name}.weight"] for name in ours]
        zeros = torch.zeros(16)
        variables[f"{theirs}/weight"] = torch.cat(weights)
        variables[f"{theirs}/bias"] = torch.cat([t.get(f"{name}.bias", zeros) for name in ours])

    def norm(theirs: str, ours: str) -> None:
        variables[f"{theirs}/gamma"], variables[f"{theirs}/beta"] = t[f"{ours}.weight"], t[f"{ours}.bias"]

    linear("encoder/conv1", "encoder.conv1")
    linear("encoder/conv2", "encoder.conv2")
    norm("encoder/layer_norm", "encoder.ln_post")
    norm("decoder/layer_norm", "decoder.ln")
    for side, layers in (("encoder", 2), ("decoder", 3)):
        for index in range(layers):
            theirs, ours = f"{side}/layer_{index}", f"{side}.blocks.{index}"
            norm(f"{theirs}/self_attention/layer_norm", f"{ours}.attn_ln")
            linear(
                f"{theirs}/self_attention/linear_0",
                *(f"{ours}.attn.{part}" for part in ("query", "key", "value")),
            )
            linear(f"{theirs}/self_attention/linear_1", f"{ours}.attn.out")
            norm(f"{theirs}/ffn/layer_norm", f"{ours}.mlp_ln")
            linear(f"{theirs}/ffn/linear_0", f"{ours}.mlp.0")
            linear(f"{theirs}/ffn/linear_1", f"{ours}.mlp.2")
            if side == "decoder":
                norm(f"{theirs}/attention/layer_norm", f"{ours}.cross_attn_ln")
                linear(f"{theirs}/attention/linear_0", f"{ours}.cross_attn.query")
                linear(f"{theirs}/attention/linear_1", f"{ours}.cross_attn.key", f"{ours}.cross_attn.value")
                linear(f"{theirs}/attention/linear_2", f"{ours}.cross_attn.out")
    return Ct2File(variables)


@dataclass
class Server:
    """A web server on loopback. `bodies` are answered by path; other paths are 404."""

    address: str
    bodies: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cut_after: int | None = None  # bytes, after which the connection breaks off
    silent_after: int | None = None  # bytes, after which the server says no more until the test ends
    ended: threading.Event = field(default_factory=threading.Event)

    def offer(self, path: str, body: bytes) -> str:
        self.bodies[path] = body
        return self.address + path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            if target := state.redirects.get(self.path):
                self.send_response(302)
                self.send_header("Location", target)
                self.end_headers()
                return
            if (body := state.bodies.get(self.path)) is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            stop = state.cut_after if state.cut_after is not None else state.silent_after
            self.wfile.write(body[:stop])
            self.wfile.flush()
            if state.silent_after is not None:
                state.ended.wait()

        def log_message(self, *args: object) -> None:
            """Says nothing on stderr."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{http.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield state
    state.ended.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Enters an address into openai-whisper's table of models, with the tiny model's alignment heads.

    Its own cache folder is moved away, so that nothing on this machine is found instead.
    """
    mask = bytearray(TINY.n_text_layer * TINY.n_text_head)
    for layer, head in HEADS:
        mask[layer * TINY.n_text_head + head] = 1
    encoded = base64.b85encode(gzip.compress(bytes(mask)))

    def publish(name: str, url: str, *, dimensions: Mapping[str, Dimensions] | None = None) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
        monkeypatch.setitem(whisper._MODELS, name, url)
        monkeypatch.setitem(whisper._ALIGNMENT_HEADS, name, encoded)
        monkeypatch.setattr("whisper_serve.engine.weights.official.OFFICIAL_DIMENSIONS", dimensions or {name: TINY})

    return publish
