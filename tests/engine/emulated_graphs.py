"""CUDA graphs without a GPU: what a capture records and refuses, and what a replay does, on the CPU.

As on a GPU, a capture has no effect on memory, and a replay does the recorded operations on the same memory with the
numbers of the host as they were then. Memory of others is known by its address alone; a graph that outlives it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from whisper_serve.engine.graphs import Graph

WAITING: Final = {
    torch.Tensor.cpu,
    torch.Tensor.item,
    torch.Tensor.numpy,
    torch.Tensor.tolist,
    torch.Tensor.pin_memory,
    torch.tensor,
}
"""What waits for a GPU, or gives it memory of the host to read."""
WAITING_OPERATORS: Final = {
    "aten::_local_scalar_dense",
    "aten::_unique2",
    "aten::equal",
    "aten::is_nonzero",
    "aten::lift_fresh",
    "aten::masked_select",
    "aten::nonzero",
}


class CaptureError(RuntimeError):
    """A GPU would refuse to capture this."""


@dataclass(frozen=True, slots=True)
class Address:
    """A tensor in memory that belongs to others."""

    storage: StorageWeakRef
    like: Tensor
    """Without memory: shape and strides."""
    offset: int

    @classmethod
    def of(cls, tensor: Tensor) -> Address:
        like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        storage = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        return cls(storage, like, int(tensor.storage_offset()))

    def tensor(self) -> Tensor:
        assert not self.storage.expired(), "a graph uses memory that is gone"  # type: ignore[no-untyped-call]
        storage = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        return torch.empty(0, dtype=self.like.dtype).set_(storage, self.offset, self.like.shape, self.like.stride())


@dataclass(frozen=True, slots=True)
class Operation:
    operator: Callable[..., Any]
    arguments: tuple[Sequence[Any], Mapping[str, Any]]
    results: list[Tensor]
    """New tensors, to which each replay writes."""

    def run(self) -> None:
        positional, named = tree_map(lambda one: one.tensor() if isinstance(one, Address) else one, self.arguments)
        results = [one for one in tree_flatten(self.operator(*positional, **named))[0] if isinstance(one, Tensor)]
        for kept, result in zip(self.results, results, strict=False):
            kept.copy_(result)


@dataclass(slots=True)
class EmulatedGraph:
    operations: list[Operation] = field(default_factory=list)
    replays: int = 0

    def replay(self) -> None:
        self.replays += 1
        for operation in self.operations:
            operation.run()


class _Refusal(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function in WAITING:
            raise CaptureError(f"a capture refuses {function.__name__}")
        return function(*args, **(kwargs or {}))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations, and takes back at the end what they did to the memory of others."""

    def __init__(self, graph: EmulatedGraph) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations = graph.operations
        self._own: set[int] = set()
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if operator._schema.name in WAITING_OPERATORS or _has_mask(operator, args):
            raise CaptureError(f"a capture refuses {operator._schema.name}")
        given = {id_of(one) for one in tree_flatten((args, named))[0] if isinstance(one, Tensor)}
        self._save(operator, args, named)
        result = operator(*args, **named)
        results = [one for one in tree_flatten(result)[0] if isinstance(one, Tensor)]
        new = [one for one in results if id_of(one) not in given]
        assert len(new) in (0, len(results))
        self._own.update(map(id_of, new))
        arguments = tree_map(self._by_address, (tuple(args), dict(named)))
        self._operations.append(Operation(operator, arguments, new))
        return result

    def take_back(self) -> None:
        for memory, content in self._before.values():
            memory.copy_(content)

    def _by_address(self, argument: Any) -> Any:
        foreign = isinstance(argument, Tensor) and id_of(argument) not in self._own
        return Address.of(argument) if foreign else argument

    def _save(self, operator: Any, args: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Remember what memory of others holds that the operator is about to write to."""
        for number, declared in enumerate(operator._schema.arguments):
            value = args[number] if number < len(args) else named.get(declared.name)
            written = declared.alias_info is not None and declared.alias_info.is_write
            if written and isinstance(value, Tensor) and id_of(value) not in self._own | self._before.keys():
                whole = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
                self._before[id_of(value)] = whole, whole.clone()


def id_of(tensor: Tensor) -> int:
    """The same for all tensors in the same memory."""
    return int(tensor.untyped_storage()._cdata)


def _has_mask(operator: Any, args: Sequence[Any]) -> bool:
    """Whether an operator selects by a mask, which it has to count first."""
    if operator._schema.name not in ("aten::index", "aten::index_put_", "aten::index_put"):
        return False
    return any(isinstance(one, Tensor) and one.dtype == torch.bool for one in args[1])


class EmulatedGraphs:
    """A `GraphBackend`."""

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cpu"
        self.graphs: list[EmulatedGraph] = []

    def capture(self, function: Callable[[], None]) -> Graph:
        graph = EmulatedGraph()
        recorder = _Recorder(graph)
        try:
            with recorder, _Refusal():
                function()
        finally:
            recorder.take_back()
        self.graphs.append(graph)
        return graph
