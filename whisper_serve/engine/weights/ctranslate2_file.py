"""The binary container of CTranslate2 (model.bin, version 6), read without the library.

Little-endian, as `ModelSpec._serialize` of CTranslate2's specs/model_spec.py writes it:

    uint32 version · string spec name · uint32 spec revision
    uint32 n · n × (string name · uint8 rank · rank × uint32 size · uint8 type · uint32 bytes · data)
    uint32 n · n × (string alias · string name)

A string is a uint16 length, the text and a zero byte, which the length counts.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import UnknownLayout

_VERSION = 6
# The order of CTranslate2's enum DataType (include/ctranslate2/types.h).
_TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Container:
    """Content of a model.bin: its variables, each also under its aliases."""

    spec: str
    variables: Mapping[str, torch.Tensor]


def read_container(path: Path) -> Container:
    """Reads the file through a memory map; only variables at odd addresses are copied.

    Raises UnknownLayout when the file is damaged, cut short or of another version.
    """
    with path.open("rb") as file:
        try:
            # A private, writable map, as PyTorch warns about read-only ones. The file itself never changes.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError as error:
            raise UnknownLayout(f"{path}: expected a CTranslate2 model, found an empty file") from error
    try:
        return _Reader(data).container()
    except (ValueError, struct.error) as error:
        raise UnknownLayout(f"{path}: expected a CTranslate2 model of version {_VERSION}: {error}") from error


class _Reader:
    """A position in the bytes of a container. Its methods raise ValueError or struct.error."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._offset = 0

    def container(self) -> Container:
        if (version := self._number("I")) != _VERSION:
            raise ValueError(f"found version {version}")
        spec = self._string()
        self._number("I")  # the spec's revision: what it changes shows in the variables' names
        variables = dict(self._variable() for _ in range(self._number("I")))
        for _ in range(self._number("I")):
            alias, name = self._string(), self._string()
            if name not in variables:
                raise ValueError(f"{alias} stands for {name}, which is missing")
            variables[alias] = variables[name]
        if rest := len(self._data) - self._offset:
            raise ValueError(f"found {rest} bytes after the end")
        return Container(spec, variables)

    def _number(self, kind: str) -> int:
        (value,) = struct.unpack_from("<" + kind, self._data, self._offset)
        self._offset += struct.calcsize("<" + kind)
        return int(value)

    def _string(self) -> str:
        length = self._number("H")
        raw = self._data[self._offset : self._offset + length]
        self._offset += length
        if len(raw) != length or not raw.endswith(b"\0"):
            raise ValueError(f"found no text at byte {self._offset - length}")
        return raw[:-1].decode("utf-8")

    def _variable(self) -> tuple[str, torch.Tensor]:
        name = self._string()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind = self._number("B")
        if kind >= len(_TYPES):
            raise ValueError(f"{name} has the unknown type {kind}")
        return name, self._tensor(name, shape, _TYPES[kind], self._number("I"))

    def _tensor(self, name: str, shape: list[int], dtype: torch.dtype, n_bytes: int) -> torch.Tensor:
        start, count = self._offset, torch.Size(shape).numel()
        self._offset += n_bytes
        if n_bytes != count * dtype.itemsize:
            raise ValueError(f"{name} of shape {shape} and type {dtype} has {n_bytes} bytes")
        if self._offset > len(self._data):
            raise ValueError(f"the file ends at byte {len(self._data)}, inside {name}, which ends at {self._offset}")
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        raw = torch.frombuffer(self._data, dtype=torch.uint8, count=n_bytes, offset=start)
        aligned = raw.clone() if start % dtype.itemsize else raw
        return aligned.view(dtype).view(shape)
