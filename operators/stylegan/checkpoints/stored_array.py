"""An array that lies in a file and is read when it is wanted: shapes cost nothing, and memory holds one at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from schemas.errors import WrongUse


@dataclass(frozen=True, kw_only=True)
class Span:
    """A run of bytes of a file."""

    path: Path
    offset: int
    n_bytes: int

    def read(self) -> NDArray[np.uint8]:
        """Raises: WrongUse when the file has become shorter."""
        # Pages of its own, which go back to the system with the array: what is freed to the C library may stay with it,
        # and a generator of 130 MB then took 220.
        block = mmap(-1, max(1, self.n_bytes))
        with self.path.open("rb") as file:
            file.seek(self.offset)
            n_read = file.readinto(memoryview(block)[: self.n_bytes])
        if n_read != self.n_bytes:
            raise WrongUse(f"{self.path}: ends before its tensors do; copy it again")
        return np.frombuffer(block, np.uint8, self.n_bytes)


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """Its shape, and how to get its numbers: float32, or whole numbers as they are."""

    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    def then(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Self:
        """The array after `change`, whose shape is learnt from an array of zeros that takes no memory."""
        shape = change(np.broadcast_to(np.float32(0), self.shape)).shape
        return type(self)(shape=shape, read=lambda: change(self.read()))


def stored(values: NDArray[Any]) -> StoredArray:
    """An array that is in memory already."""
    return StoredArray(shape=values.shape, read=lambda: values)


def laid_out(
    content: Span | bytes,
    dtype: np.dtype[Any],
    *,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    first: int,
) -> StoredArray:
    """An array in a block of numbers. Takes: `strides` and `first` in numbers, not bytes, as tensors have them.

    Raises: ValueError when it would reach beyond the block.
    """
    n_bytes = len(content) if isinstance(content, bytes) else content.n_bytes
    n_values = n_bytes // dtype.itemsize
    if len(strides) != len(shape) or min((first, *shape, *strides)) < 0:
        raise ValueError(f"a tensor of shape {shape}, strides {strides}, from {first} on")
    last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= n_values:
        raise ValueError(f"a tensor that ends at number {last} of a block of {n_values}")

    def read() -> NDArray[Any]:
        block = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content.read()
        values = block[: n_values * dtype.itemsize].view(dtype)[first:]
        bytes_apart = tuple(step * dtype.itemsize for step in strides)
        array = np.lib.stride_tricks.as_strided(values, shape, bytes_apart, writeable=False)
        return array.astype(np.float32, copy=False) if dtype.kind == "f" else array

    return StoredArray(shape=shape, read=read)
