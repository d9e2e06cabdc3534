"""What a checkpoint's objects become when it is read: inert records. None of them does anything but hold what it got.

A pickle is a program whose instructions build objects and call what it names. Here every name that it may call stands
for one of these, and all other names are refused (safe_unpickler.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.stylegan.checkpoints.stored_array import Span, StoredArray, laid_out


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A block of numbers of one type, that tensors are cut from."""

    content: Span | bytes
    dtype: np.dtype[Any]


@dataclass(frozen=True, kw_only=True)
class StorageType:
    """The name of a type of numbers, as torch writes it."""

    dtype: np.dtype[Any]


@dataclass(kw_only=True)
class PersistentObject:
    """An object of NVIDIA's `torch_utils.persistence`: its class name and state. The source beside it is dropped."""

    class_name: str
    state: dict[str, Any]


class Items(dict[Any, Any]):
    """An ordered dictionary."""

    def __setstate__(self, state: Any) -> None:
        """Attributes beside the items, as torch's state_dict has them (versions of layers), are dropped."""


class Attributes(dict[str, Any]):
    """An object that is no more than its attributes: dnnlib's EasyDict, argparse's Namespace, a TensorFlow network."""

    def __setstate__(self, state: Any) -> None:
        """Called by the instruction that fills an object."""
        if not isinstance(state, dict):
            raise TypeError(f"attributes as a {type(state).__name__}")
        self.update(state)


class TensorFlowNetwork(Attributes):
    """dnnlib.tflib's Network: sizes, variables by name, and parts that are networks too."""


class NumpyArray:
    """What numpy's pickles fill in two steps."""

    array: StoredArray

    def __setstate__(self, state: Any) -> None:
        """Takes: numpy's (version, shape, dtype, is_fortran, content)."""
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, NumpyType) or not isinstance(content, bytes | Span):
            raise TypeError("an array that holds objects, not numbers")
        strides, step = [], 1
        for n in shape if is_fortran else shape[::-1]:
            strides.append(step)
            step *= n
        order = strides if is_fortran else strides[::-1]
        self.array = laid_out(content, dtype.dtype, shape=tuple(shape), strides=tuple(order), first=0)


class NumpyType:
    """A dtype in the making: numpy fills in the byte order afterwards."""

    def __init__(self, code: Any, *_: Any) -> None:
        dtype = np.dtype(str(code))
        if dtype.kind not in "fiub":
            raise TypeError(f"numbers of type {code}")
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        """Takes: numpy's tuple, whose second entry is the byte order."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def numpy_array(*_: Any) -> NumpyArray:
    """numpy's _reconstruct: an empty array, to be filled."""
    return NumpyArray()


def numpy_scalar(dtype: NumpyType, content: bytes) -> Any:
    """numpy's scalar."""
    return np.frombuffer(content, dtype.dtype)[0].item()


def new_object(record: type[Any], *_: Any) -> Any:
    """copyreg._reconstructor, which old protocols make objects with."""
    return record()


def latin_bytes(text: str, encoding: str) -> bytes:
    """_codecs.encode, which old protocols write bytes with."""
    if encoding != "latin1":
        raise TypeError(f"bytes written as {encoding}")
    return text.encode("latin1")


def nothing(*_: Any) -> None:
    """What says how an object is kept, not what it holds: devices, types, sizes of layers."""


def tensor(storage: Any, first: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> StoredArray:
    """torch._utils._rebuild_tensor_v2."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a storage")
    return laid_out(storage.content, storage.dtype, shape=tuple(shape), strides=tuple(strides), first=first)


def parameter(data: Any, *_: Any) -> Any:
    """torch._utils._rebuild_parameter."""
    return data


def persistent_object(meta: dict[str, Any]) -> PersistentObject:
    """_reconstruct_persistent_obj, which would execute meta["module_src"]: we do not read it."""
    state = meta["state"]
    if meta.get("type") != "class" or not isinstance(state, dict):
        raise TypeError("a persistent object that is no object of a class")
    return PersistentObject(class_name=str(meta["class_name"]), state=state)
