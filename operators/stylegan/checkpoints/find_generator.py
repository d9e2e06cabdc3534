"""Any file that a generator comes in -> its sizes and its tensors. Told by its content, not by its name; no torch."""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from operators.stylegan.checkpoints.found_generator import FoundGenerator
from operators.stylegan.checkpoints.nvidia import nvidia_generator
from operators.stylegan.checkpoints.rosinality import rosinality_generator
from operators.stylegan.checkpoints.safe_unpickler import RefusedName, read_pickle
from operators.stylegan.checkpoints.stored_array import Span, StoredArray, laid_out
from operators.stylegan.checkpoints.tensorflow import tensorflow_generator
from operators.stylegan.checkpoints.torch_zip import read_torch_zip
from schemas.errors import WrongUse
from schemas.generators import CURE, read_architecture

KIND = "latentreel's own .safetensors"
_ENDINGS = (".safetensors", ".pkl", ".pt", ".pth")
_STORED = {"F32": "<f4", "F16": "<f2"}  # half: as small files have it
_SAVE_ALONE = "torch.save({'g_ema': network.state_dict()}, FILE)"
# What a broken or made-up pickle ends in, once nothing in it can be called.
_BROKEN = (
    *(EOFError, pickle.UnpicklingError, zipfile.BadZipFile, struct.error, KeyError, IndexError, TypeError, ValueError),
    *(AttributeError, OverflowError, MemoryError, RecursionError),
)


def generator_path(name: str) -> str:
    """The file that a user's name of a generator means: shipped, of the registry (fetched at its first use), or a path.

    Raises: WrongUse as `weights_file`.
    """
    if Path(name).suffix and Path(name).is_file():
        return name
    # A machine that only trains, on files, has no library that reads the registry.
    from operators.models.model_file import weights_file  # noqa: PLC0415

    return weights_file(name, kind="generator")


def find_generator(path: str) -> FoundGenerator:
    """Takes: a file of ours, NVIDIA's pickle (PyTorch or TensorFlow), rosinality's .pt, an encoder's .pt.

    Raises: WrongUse: one line that says what the file is, and what to do.
    """
    if not Path(path).is_file():
        is_file = path.endswith(_ENDINGS) or Path(path).exists()
        raise WrongUse(f"generator {path}: no such {'file' if is_file else 'name'}; {CURE}")
    if path.endswith(".safetensors"):
        return _ours(path)
    content = read_checkpoint_file(path, what="generator")
    found = (
        nvidia_generator(path, content) or tensorflow_generator(path, content) or rosinality_generator(path, content)
    )
    if found is None:
        raise WrongUse(f"generator {path}: {described(content)}, and no StyleGAN2 generator; {CURE}")
    return found


def read_checkpoint_file(path: str, *, what: str, cure: str = CURE, save_alone: str = _SAVE_ALONE) -> Any:
    """The object in a pickle or in a file of torch's, as inert records; nothing is executed.

    Takes: `what`: what the user takes it for, for errors; `cure`, what to give instead; `save_alone`, how its weights
    are saved without its code.
    Raises: WrongUse for files of other kinds, damaged ones, and ones that ask for code.
    """
    with Path(path).open("rb") as file:
        head = file.read(64)
    try:
        if head.startswith(b"PK\x03\x04"):
            return read_torch_zip(Path(path))
        if head.startswith(b"\x80"):
            return read_pickle(Span(path=Path(path), offset=0, n_bytes=Path(path).stat().st_size))
    except RefusedName as err:
        raise WrongUse(
            f"{what} {path}: asks for {err.name} when it is opened, and nothing in a file is executed here; where its "
            f"code is at home, save its weights alone: {save_alone}"
        ) from err
    except _BROKEN as err:
        raise WrongUse(f"{what} {path}: not a whole checkpoint ({_said(err)}); copy it again") from err
    raise WrongUse(f"{what} {path}: {_kind_by_head(head)}, not a checkpoint; {cure}")


def _ours(path: str) -> FoundGenerator:
    architecture = read_architecture(path)  # compares the header with the file's length
    with Path(path).open("rb") as file:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(n_bytes))
    tensors: dict[str, StoredArray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _STORED:
            raise WrongUse(f"generator {path}: {name} is {entry['dtype']}, expected F32 or F16; write the file again")
        first, end = entry["data_offsets"]
        span = Span(path=Path(path), offset=8 + n_bytes + first, n_bytes=end - first)
        shape = tuple(entry["shape"])
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        tensors[name] = laid_out(span, np.dtype(_STORED[entry["dtype"]]), shape=shape, strides=strides, first=0)
    return FoundGenerator(kind=KIND, architecture=architecture, tensors=tensors)


def described(content: Any) -> str:
    """What a checkpoint is that is no generator."""
    if isinstance(content, dict):
        names = [str(name) for name in content]
        return f"a checkpoint of {len(names)} entries ({', '.join(names[:4])}{', …' if len(names) > 4 else ''})"
    return f"a pickle of a {type(content).__name__}"


def _kind_by_head(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "an empty file"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the server sent a message in place of the file"
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: the file itself was not fetched"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file"
    return "a file of an unknown kind"


def _said(err: BaseException) -> str:
    if isinstance(err, EOFError) or "exhausted" in str(err) or "truncated" in str(err):
        return "it ends too early"
    return " ".join(str(err).split())[:120] or type(err).__name__
