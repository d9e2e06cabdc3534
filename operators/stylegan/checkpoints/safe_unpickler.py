"""Reads pickles and torch's older files without executing anything of theirs; tensors stay on the disk.

A pickle may call what it names. Only the names below are known here, and each stands for an inert record (inert.py):
the source code inside NVIDIA's files, and whatever else a file asks to be run, is never touched.
Based on the interpreter in Python's own pickle module (`pickle._Unpickler`), because that in C copies every tensor.
"""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np

from operators.stylegan.checkpoints import inert
from operators.stylegan.checkpoints.stored_array import Span

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first object in torch.save's files before its version 1.6
_LEFT_ON_DISK = 4096  # bytes; a shorter run costs less to read than to remember

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_RECORDS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): inert.latin_bytes,
    ("argparse", "Namespace"): inert.Attributes,
    ("builtins", "object"): object,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): inert.Items,
    ("copyreg", "_reconstructor"): inert.new_object,
    ("dnnlib", "EasyDict"): inert.Attributes,
    ("dnnlib.tflib.network", "Network"): inert.TensorFlowNetwork,
    ("dnnlib.util", "EasyDict"): inert.Attributes,
    ("numpy", "dtype"): inert.NumpyType,
    ("numpy", "ndarray"): inert.nothing,
    ("numpy._core.multiarray", "_reconstruct"): inert.numpy_array,
    ("numpy._core.multiarray", "scalar"): inert.numpy_scalar,
    ("numpy.core.multiarray", "_reconstruct"): inert.numpy_array,
    ("numpy.core.multiarray", "scalar"): inert.numpy_scalar,
    ("torch", "Size"): inert.nothing,
    ("torch", "device"): inert.nothing,
    ("torch._utils", "_rebuild_parameter"): inert.parameter,
    ("torch._utils", "_rebuild_tensor_v2"): inert.tensor,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): inert.persistent_object,
    **{("torch", name): inert.nothing for name in ("float16", "float32", "float64", "int64", "uint8", "bool")},
    **{("torch", name): inert.StorageType(dtype=np.dtype(code)) for name, code in _STORAGES.items()},
}


class RefusedName(pickle.UnpicklingError):
    """The file asks for something that is not known here. `name` is what, as module.name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for {name}")
        self.name = name


class SafeUnpickler(pickle._Unpickler):
    """One pickle of a file -> inert records.

    Takes: `block`: the file's bytes, or where they lie; `storage`: from what a file names a tensor's block by.
    Raises: RefusedName; pickle.UnpicklingError, EOFError and others where the content is no whole pickle.
    """

    # Python's table of instructions, with three of ours.
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    # Of the interpreter; `_unframer.current_frame` is None where bytes lie in the file itself, not in a frame of it.
    _unframer: Any
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    stack: list[Any]

    def __init__(
        self, file: IO[bytes], block: bytes | Span, *, storage: Callable[[Any], inert.Storage] | None = None
    ) -> None:
        super().__init__(file)
        self._file, self._block, self._storage = file, block, storage

    def find_class(self, module: str, name: str) -> Any:
        """The record that stands for a name."""
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _storage_of_bytes
        if (module, name) not in _RECORDS:
            raise RefusedName(f"{module}.{name}")
        return _RECORDS[module, name]

    def persistent_load(self, pid: Any) -> inert.Storage:
        """A tensor's block, which lies outside the pickle."""
        if self._storage is None:
            raise pickle.UnpicklingError("it names a block outside itself")
        return self._storage(pid)

    def get_extension(self, code: int) -> NoReturn:
        """Names by number, from a table of the program that wrote them."""
        raise RefusedName(f"extension {code}")

    def _bytes(self, n: int) -> None:
        if n < _LEFT_ON_DISK or isinstance(self._block, bytes) or self._unframer.current_frame is not None:
            self.append(self.read(n))
            return
        at = self._file.tell()
        if self._file.seek(0, io.SEEK_END) < at + n:
            raise EOFError
        self._file.seek(at + n)
        self.append(Span(path=self._block.path, offset=at, n_bytes=n))

    def _bytes_4(self) -> None:
        self._bytes(*struct.unpack("<I", self.read(4)))

    def _bytes_8(self) -> None:
        self._bytes(*struct.unpack("<Q", self.read(8)))

    def _build(self) -> None:
        """Only records are filled: Python's own instruction would set attributes of functions and classes too."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], inert.Items | inert.Attributes | inert.NumpyArray | inert.NumpyType):
            raise pickle.UnpicklingError(f"it fills a {type(self.stack[-1]).__name__}")
        self.stack[-1].__setstate__(state)

    dispatch[pickle.BINBYTES[0]] = _bytes_4
    dispatch[pickle.BINBYTES8[0]] = _bytes_8
    dispatch[pickle.BUILD[0]] = _build


def read_pickle(block: bytes | Span) -> Any:
    """The object of a plain pickle, or of a file of torch before 1.6, which begins as one.

    Raises: as SafeUnpickler.
    """
    with _opened(block) as file:
        first = SafeUnpickler(file, block).load()
        return _read_legacy(file, block) if first == _LEGACY_MAGIC else first


def _read_legacy(file: IO[bytes], block: bytes | Span) -> Any:
    """Behind the magic number: two pickles about the writer, the object, the keys of its blocks, the blocks."""
    for _ in range(2):
        SafeUnpickler(file, block).load()
    start, sizes = file.tell(), {}

    def sized(pid: Any) -> inert.Storage:
        kind, key, n_bytes = storage_parts(pid)
        sizes[key] = n_bytes
        return inert.Storage(content=Span(path=Path(), offset=0, n_bytes=n_bytes), dtype=kind.dtype)

    SafeUnpickler(file, block, storage=sized).load()  # where blocks lie is known behind it, so it is read twice
    keys = SafeUnpickler(file, block).load()
    contents: dict[str, bytes | Span] = {}
    for key in keys:
        file.seek(8, io.SEEK_CUR)  # how many numbers there are, which we know
        at = file.tell()
        contents[key] = _part(block, at, sizes[key])
        file.seek(at + sizes[key])
    file.seek(start)

    def placed(pid: Any) -> inert.Storage:
        kind, key, _ = storage_parts(pid)
        return inert.Storage(content=contents[key], dtype=kind.dtype)

    return SafeUnpickler(file, block, storage=placed).load()


def storage_parts(pid: Any) -> tuple[inert.StorageType, str, int]:
    """What torch names a block by: ("storage", type, key, device, number of values[, view])."""
    what, kind, key, _, n_values, *view = pid
    if what != "storage" or not isinstance(kind, inert.StorageType) or any(part is not None for part in view):
        raise pickle.UnpicklingError("it names a block in an unknown way")
    return kind, str(key), int(n_values) * kind.dtype.itemsize


def _storage_of_bytes(block: bytes | Span) -> Any:
    """torch.storage._load_from_bytes: a storage as a whole file of torch's."""
    return read_pickle(block)


def _opened(block: bytes | Span) -> IO[bytes]:
    if isinstance(block, bytes):
        return io.BytesIO(block)
    file = block.path.open("rb")
    file.seek(block.offset)
    return file


def _part(block: bytes | Span, at: int, n_bytes: int) -> bytes | Span:
    """Takes: `at` as the opened block tells it: from the start of the file."""
    end = len(block) if isinstance(block, bytes) else block.offset + block.n_bytes
    if at + n_bytes > end:
        raise EOFError
    return block[at : at + n_bytes] if isinstance(block, bytes) else Span(path=block.path, offset=at, n_bytes=n_bytes)
