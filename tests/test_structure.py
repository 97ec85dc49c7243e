"""The shape of the sources: who imports whom, which names are taken, what an import costs."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "whisper_serve"
HANDLER = ROOT / "handler"

# What each part of the package may import of the others at all.
MAY_IMPORT = {
    "speech": set[str](),
    "engine": set[str](),
    "settings": set[str](),
    "memory": set[str](),
    "cores": set[str](),
    "ahead": set[str](),
    "wire": {"speech"},
    "errors": {"speech", "wire"},
    "request": {"speech", "wire"},
    "conversions": {"engine", "speech", "wire"},
    "transcriber": {"ahead", "conversions", "cores", "engine", "errors", "speech", "wire"},
    "torchserve": {"engine"},
    "speech_v1": set(),
    "client": {"speech_v1"},
    "health": {"gateway", "torchserve"},
    "gateway": {"cores", "errors", "memory", "request", "settings", "speech", "speech_v1", "torchserve", "wire"},
    "serving": {"torchserve"},
    "evaluation": {"conversions", "engine", "speech", "transcriber", "wire"},
    "benchmark": {"client", "cores", "engine", "evaluation", "speech", "torchserve", "transcriber", "wire"},
    "delivery": {"speech"},
    "offline": {"delivery", "request", "speech", "transcriber"},
    "remote": {"client", "delivery", "request"},
    "cli": {
        "benchmark",
        "client",
        "delivery",
        "engine",
        "evaluation",
        "gateway",
        "offline",
        "remote",
        "request",
        "serving",
        "speech",
        "torchserve",
        "transcriber",
        "wire",
    },
    "__main__": {"cli"},
}
HANDLER_MAY_IMPORT = {"engine", "errors", "memory", "request", "settings", "speech", "transcriber", "wire"}
# Imports that would make a part unfit for where it runs: at no level, in no function.
MUST_NOT_IMPORT = {
    "speech": {"torch", "whisper", "silero_vad", "fastapi", "starlette", "grpc", "httpx", "ts", "pydantic_settings"},
    "engine": {"fastapi", "starlette", "grpc", "ts", "pydantic", "pydantic_settings"},
    "wire": {"torch", "whisper", "grpc", "httpx", "ts"},
    "torchserve": {"torch", "whisper"},
    "gateway": {"torch", "whisper", "ts", "httpx", "psutil", "yaml"},
    "serving": {"torch", "whisper", "ts", "grpc", "fastapi"},
    "client": {"torch", "numpy", "fastapi", "httpx", "pydantic", "rich"},
}
# Of TorchServe's side the gateway knows only the messages.
GATEWAY_MAY_IMPORT_OF_TORCHSERVE = {"inference_pb2", "inference_pb2_grpc"}
# The distribution of a module whose name is another, and the extras whose distributions a part may use.
DISTRIBUTIONS = {
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_status": "grpcio-status",
    "model_archiver": "torch-model-archiver",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
    "pynvml": "nvidia-ml-py",
    "python_multipart": "python-multipart",
    "ts": "torchserve",
    "typing_extensions": "typing-extensions",
    "whisper": "openai-whisper",
    "yaml": "pyyaml",
}
EXTRAS = {
    "cli": ["microphone"],
    "benchmark": ["engine", "eval", "torchserve"],
    "client": ["client"],
    "engine": ["engine"],
    "evaluation": ["engine", "eval"],
    "gateway": ["gateway", "otel"],
    "remote": ["client", "engine"],
    "serving": ["gateway", "torchserve"],
    "torchserve": ["engine", "torchserve"],
    "speech_v1": ["client"],
    "transcriber": ["engine"],
}
# A worker that runs in an environment of its own, and what it finds there.
STAND_ALONE = PACKAGE / "benchmark" / "peer_worker.py"
STAND_ALONE_MAY_IMPORT = {"faster_whisper", "numpy", "torch", "transformers"}
# What must not be loaded by importing a module: whoever uses it pays for it then.
HEAVY = {
    "whisper_serve.speech": ["torch", "whisper", "grpc", "httpx", "ts"],
    "whisper_serve.wire": ["torch", "whisper", "grpc", "httpx", "ts"],
    "whisper_serve.cli": [
        "torch",
        "whisper",
        "numpy",
        "av",
        "onnxruntime",
        "grpc",
        "httpx",
        "ts",
        "fastapi",
        "uvicorn",
    ],
    "whisper_serve.gateway.server": ["torch", "whisper", "ts", "httpx", "psutil", "yaml", "whisper_serve.engine"],
    "whisper_serve.gateway.settings": ["fastapi", "grpc", "numpy", "av"],
    "whisper_serve.client": ["torch", "whisper", "numpy", "av", "fastapi", "httpx", "pydantic", "rich"],
    "whisper_serve.gateway.keys": ["fastapi", "grpc", "numpy", "av"],
    "whisper_serve.serving.gateway_keeper": ["torch", "whisper", "fastapi", "av"],
    "whisper_serve.torchserve": ["torch", "grpc", "httpx", "yaml", "psutil"],
    "whisper_serve.torchserve.supervisor": ["torch", "whisper", "av", "onnxruntime"],
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, and where."""

    path: Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"

    @property
    def root(self) -> str:
        return self.module.split(".")[0]

    @property
    def part(self) -> str | None:
        """The part of our package that is imported, if it is ours."""
        names = self.module.split(".")
        return names[1] if names[0] == PACKAGE.name and len(names) > 1 else None


def imports_of(path: Path) -> Iterator[Import]:
    """All imports of a file, those inside functions too; relative ones made absolute."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            # `from package import module`: the module is what is imported.
            yield from (Import(path, node.lineno, f"{base}.{alias.name}") for alias in node.names)


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def declared_in(extra: str) -> Iterator[str]:
    """The distributions that the installed project needs: always (extra ""), or for an extra."""
    for line in metadata.requires("whisper-serve") or []:
        name = re.split(r"[<>=;! ]", line, maxsplit=1)[0]
        wanted = re.search(r"extra == ['\"]([a-z]+)['\"]", line)
        if (wanted[1] if wanted else "") == extra:
            yield name


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def parts() -> list[str]:
    return sorted({part_of(path) for path in sources()} - {"__init__"})


def test_every_part_has_its_rule() -> None:
    assert set(parts()) <= MAY_IMPORT.keys()


@pytest.mark.parametrize("part", parts())
def test_parts_import_only_what_they_may(part: str) -> None:
    found = [each for path in sources() if part_of(path) == part for each in imports_of(path)]
    # A name imported from the package itself, such as __version__, is no part.
    foreign = [each for each in found if each.part in MAY_IMPORT and each.part != part]
    assert [str(each) for each in foreign if each.part not in MAY_IMPORT[part]] == []


@pytest.mark.parametrize("part", sorted(MUST_NOT_IMPORT))
def test_parts_do_not_import_what_they_must_not(part: str) -> None:
    found = [each for path in sources() if part_of(path) == part for each in imports_of(path)]
    assert [str(each) for each in found if each.root in MUST_NOT_IMPORT[part]] == []


@pytest.mark.parametrize("part", parts())
def test_parts_import_only_what_is_declared(part: str) -> None:
    declared = {distribution for extra in ["", *EXTRAS.get(part, [])] for distribution in declared_in(extra)}
    shared = [path for path in sources() if path != STAND_ALONE]
    found = [each for path in shared if part_of(path) == part for each in imports_of(path)]
    foreign = [each for each in found if each.root not in sys.stdlib_module_names | {PACKAGE.name}]
    assert [str(each) for each in foreign if DISTRIBUTIONS.get(each.root, each.root) not in declared] == []


def test_worker_of_another_environment_stands_alone() -> None:
    roots = {each.root for each in imports_of(STAND_ALONE)}
    assert roots <= sys.stdlib_module_names | STAND_ALONE_MAY_IMPORT


def test_gateway_knows_only_the_messages_of_torchserve() -> None:
    found = [each for path in sources() if part_of(path) == "gateway" for each in imports_of(path)]
    names = {each.module.split(".")[2] for each in found if each.part == "torchserve"}
    assert names == GATEWAY_MAY_IMPORT_OF_TORCHSERVE


def test_handler_imports_only_what_is_in_the_archive() -> None:
    found = [each for path in sorted(HANDLER.glob("*.py")) for each in imports_of(path)]
    ours = [each for each in found if each.root == PACKAGE.name]
    assert ours
    assert [str(each) for each in ours if each.part not in HANDLER_MAY_IMPORT] == []


def test_relative_imports_are_resolved() -> None:
    node = ast.parse("from ..speech.audio import load").body[0]
    assert isinstance(node, ast.ImportFrom)
    assert absolute(PACKAGE / "engine" / "model.py", node) == "whisper_serve.speech.audio"


@pytest.mark.parametrize("module", sorted(HEAVY))
def test_import_does_not_load(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY[module]} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_no_module_takes_a_name_of_torchserve_or_whisper() -> None:
    names = [path.stem for folder in (PACKAGE, HANDLER) for path in folder.rglob("*.py")]
    packages = [path.parent.name for folder in (PACKAGE, HANDLER) for path in folder.rglob("__init__.py")]
    assert {"handler", "whisper"}.isdisjoint(names + packages)


@pytest.mark.parametrize("path", [path for path in sources() if path.name == "__init__.py"], ids=str)
def test_exported_names_exist_and_are_sorted(path: Path) -> None:
    name = ".".join(path.parent.relative_to(ROOT).parts)
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [each for each in exported if not hasattr(module, each)] == []
    assert len(exported) == len(set(exported))


@pytest.mark.parametrize("path", [*sources(), *sorted(HANDLER.glob("*.py"))], ids=lambda path: str(path.name))
def test_files_say_what_they_are_and_stay_short(path: Path) -> None:
    if "_pb2" in path.name:
        pytest.skip("generated")
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= 350
