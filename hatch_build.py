"""Generates the gRPC stubs: as hatchling's build hook whenever the project is built or installed, and as a program."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = {
    "proto/whisper/v1": "whisper_serve/speech_v1",
    "whisper_serve/torchserve": "whisper_serve/torchserve",
}
"""Folders of .proto files, each with the package that gets their stubs, whose name Python imports them by."""


class Stubs(BuildHookInterface):  # type: ignore[type-arg]
    """Generates them before the files of a wheel or of an editable installation are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; stubs are ignored by git, so they are named here."""
        generate(Path(self.root))
        build_data["artifacts"] += [f"/{package}/*_pb2{ending}" for package in PACKAGES.values() for ending in ENDINGS]


ENDINGS = (".py", ".pyi", "_grpc.py")


def generate(root: Path) -> None:
    """Write the stubs of all .proto files below `root`; those that are there and the same are left as they are.

    Raises:
        RuntimeError: protoc found a mistake, which it has printed.
    """
    with tempfile.TemporaryDirectory() as made:
        for folder, package in PACKAGES.items():
            paths = [f"-I{package}={root / folder}", f"-I{files('grpc_tools') / '_proto'}"]
            outputs = [f"--{kind}_out={made}" for kind in ("python", "pyi", "grpc_python")]
            names = [f"{package}/{path.name}" for path in sorted((root / folder).glob("*.proto"))]
            if protoc.main(["protoc", *paths, *outputs, *names]):
                raise RuntimeError(f"the .proto files in {folder} cannot be compiled")
        for path in Path(made).rglob("*_pb2*"):
            target = root / path.relative_to(made)
            if not target.exists() or target.read_bytes() != path.read_bytes():
                # At once and whole: others may be importing it.
                partial = target.with_name(f".{target.name}.new")
                partial.write_bytes(path.read_bytes())
                partial.replace(target)


if __name__ == "__main__":
    generate(Path(__file__).parent)
