"""Training pictures as one file of uint8, mapped into memory: read and checked once, then picked at random.

N pictures, R side in pixels, C = 3 (RGB), Z noise width.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.stylegan.training.image_sources import ImageSource, check_sides
from schemas.errors import BadInput

_HEADER_BYTES = 128  # of an .npy file with this shape, whatever N: numpy keeps room for N to grow
_DIGEST_PICTURES = 64  # looked at to tell two sets apart: all of 5 GB would take a minute at every start


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedImages:
    """All pictures of a run, and their z where they have them."""

    what: str
    pictures_NRRC: NDArray[np.uint8]
    latents_NZ: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.pictures_NRRC)

    @property
    def resolution(self) -> int:
        return int(self.pictures_NRRC.shape[1])

    def batch(self, index_N: NDArray[np.int64], device: torch.device) -> Tensor:
        """(N, 3, R, R) in [-1, 1]."""
        x_NRRC = torch.from_numpy(self.pictures_NRRC[index_N])  # uint8 until on the device: a quarter of the copy
        return x_NRRC.to(device).movedim(-1, 1).contiguous().float() / 127.5 - 1  # N R R C -> N C R R

    def digest(self) -> str:
        """Of the shape, the latents and some of the pictures, wherever the file lies."""
        state = hashlib.sha256(repr(self.pictures_NRRC.shape).encode())
        for i in np.linspace(0, len(self) - 1, _DIGEST_PICTURES).astype(int):
            state.update(self.pictures_NRRC[i].tobytes())
        if self.latents_NZ is not None:
            state.update(self.latents_NZ.tobytes())
        return state.hexdigest()[:16]


def pack(source: ImageSource, folder: Path) -> PackedImages:
    """Reads the source into `folder`, or takes what an earlier call left there.

    Raises: BadInput for a picture that is damaged or of another size. A kill leaves at worst a `.partial`.
    """
    path = source.packed
    if path is None:
        path = folder / f"pictures-{source.listing}.npy"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _write(source.pictures(), path)
    pictures_NRRC = np.load(path, mmap_mode="r", allow_pickle=False)
    if source.latents_NZ is not None and len(source.latents_NZ) != len(pictures_NRRC):
        raise BadInput(f"{source.what}: {len(source.latents_NZ)} latents; give one row per picture")
    return PackedImages(what=source.what, pictures_NRRC=pictures_NRRC, latents_NZ=source.latents_NZ)


def _write(pictures: Iterable[tuple[str, NDArray[np.uint8]]], path: Path) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    n, first_name, shape = 0, "", (0, 0, 3)
    try:
        with partial.open("wb") as file:
            file.seek(_HEADER_BYTES)
            for name, picture_RRC in pictures:
                if n == 0:
                    check_sides(name, picture_RRC.shape)
                    first_name, shape = name, picture_RRC.shape
                if picture_RRC.shape != shape:
                    raise BadInput(
                        f"{name}: {picture_RRC.shape[0]} px, but {first_name} has {shape[0]}; resize all to one size"
                    )
                file.write(picture_RRC.tobytes())
                n += 1
            if n == 0:
                raise BadInput(f"{path.parent}: the source gave no picture; give one that has faces")
            file.seek(0)
            header = {"descr": "|u1", "fortran_order": False, "shape": (n, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            assert file.tell() == _HEADER_BYTES
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class Shuffled:
    """Which pictures a step takes: every epoch once, in a new order, each process its own share.

    A function of the step alone, so that a resumed run needs no memory of where it was.
    """

    def __init__(self, n: int, *, seed: int) -> None:
        self.n, self.seed = n, seed
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def __call__(self, step: int, *, batch: int, rank: int, ranks: int) -> NDArray[np.int64]:
        """Of all `batch` pictures of the step, the share of one process."""
        places = step * batch + np.arange(rank * batch // ranks, (rank + 1) * batch // ranks)
        return np.array([self._at(int(place)) for place in places], np.int64)

    def _at(self, place: int) -> int:
        epoch, offset = divmod(place, self.n)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.n)
        return int(self._order[offset])
