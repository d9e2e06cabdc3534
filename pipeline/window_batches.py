"""Batches of windows on their way from a loader's worker to the process that trains.

torch's default writes a batch into fresh shared memory, page by page as it is touched; the kernel fills a file of its
own memory several times faster when it is written. Measured: benchmarks/dataset_windows.py prints both.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For `collate_fn` of a DataLoader: what torch's default gives, and `w` sooner."""
    if get_worker_info() is None:
        found: dict[str, Any] = default_collate(list(samples))
        return found
    others = default_collate([{name: value for name, value in sample.items() if name != "w"} for sample in samples])
    return {"w": _OnItsWay([sample["w"] for sample in samples]), **others}


@dataclass(frozen=True)
class _OnItsWay:
    """Tensors of one shape; unpickled, one tensor with an axis more in front."""

    parts: list[Tensor]

    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
        file = os.memfd_create("windows")
        try:
            for part in self.parts:
                content = part.contiguous().numpy().data.cast("B")
                while content:  # a write may be short
                    content = content[os.write(file, content) :]
            return _arrived, (DupFd(file), (len(self.parts), *self.parts[0].shape), self.parts[0].dtype)
        finally:
            os.close(file)  # what DupFd holds is a copy


def _arrived(file: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    descriptor = file.detach()
    try:
        memory = mmap.mmap(descriptor, 0)
    finally:
        os.close(descriptor)
    return torch.frombuffer(memory, dtype=dtype).view(shape)
