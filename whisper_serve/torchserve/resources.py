"""Where the files that are not Python modules lie: the handler's sources and TorchServe's configuration.

In a checkout they are folders beside the package; in a wheel they are inside it, under `_data`.
"""

from __future__ import annotations

from pathlib import Path

from whisper_serve.torchserve.errors import TorchServeError

PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (PACKAGE.parent, PACKAGE / "_data")


def resource(name: str) -> Path:
    """The path of a resource such as ``handler/model-config.yaml``.

    Raises TorchServeError when the installation lacks it.
    """
    for root in _ROOTS:
        path = root / name
        if path.exists():
            return path
    raise TorchServeError(f"This installation of whisper-serve lacks its file {name}: install it again.")
