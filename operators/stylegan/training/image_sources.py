"""Where training pictures come from: a folder, a zip in NVIDIA's dataset format, a packed .npy file.

R side of the pictures in pixels.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadInput, WrongUse
from schemas.generators import RESOLUTIONS

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LATENTS = "latents.npy"  # the pictures' own z, (N, z_dim), in the order of the pictures' sorted names
_MEMBER_BYTES_MAX = 64 * 2**20  # of one file in a zip, unpacked: ten times a noisy PNG of 1024 px
_MODES = ("RGB", "RGBA", "L", "P")  # 8 bits a channel; transparency is dropped
_SIDES = ", ".join(map(str, RESOLUTIONS))


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSource:
    """Pictures to be read once, in order."""

    what: str  # for people: `folder crops, 2000 pictures`
    listing: str  # changes when the pictures do, as told by names, sizes and times
    pictures: Callable[[], Iterator[tuple[str, NDArray[np.uint8]]]]  # name and (R, R, 3); raises BadInput
    latents_NZ: NDArray[np.float32] | None = None
    packed: Path | None = None  # the file that already holds them as (N, R, R, 3)


def open_source(path: str) -> ImageSource:
    """Takes: a folder (searched with its subfolders), a .zip, or a .npy of uint8 (N, R, R, 3).

    Raises: WrongUse where there is no picture, BadInput where a file is damaged.
    """
    place = Path(path)
    if place.is_dir():
        return _folder(place)
    if not place.is_file():
        raise WrongUse(f"{path}: no such file or folder; give a folder of pictures, a .zip or a .npy of uint8 pictures")
    if place.suffix == ".npy":
        return _packed(place)
    if zipfile.is_zipfile(place):
        return _zip(place)
    raise WrongUse(f"{path}: neither a folder, a whole .zip nor a .npy file; give one of those")


def check_sides(name: str, shape: tuple[int, ...]) -> None:
    """Raises: BadInput unless (R, R, ...) with R the size of a generator."""
    if shape[0] != shape[1] or shape[0] not in RESOLUTIONS:
        raise BadInput(
            f"{name}: {shape[1]}x{shape[0]} px; pictures are square with {_SIDES} px: resize them or take it out"
        )


def _folder(place: Path) -> ImageSource:
    files = sorted((f for f in place.rglob("*") if f.suffix.lower() in SUFFIXES), key=lambda f: f.relative_to(place))
    if not files:
        raise WrongUse(f"{place}: no picture in it ({' '.join(SUFFIXES)}); give the folder that holds them")

    def pictures() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for file in files:
            yield str(file), _decode(str(file), file.read_bytes())

    stats = [(str(f.relative_to(place)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    latents = place / LATENTS
    return ImageSource(
        what=f"folder {place.name}, {len(files)} pictures",
        listing=_digest(stats),
        pictures=pictures,
        latents_NZ=_latents(str(latents), latents.read_bytes(), len(files)) if latents.is_file() else None,
    )


def _zip(place: Path) -> ImageSource:
    with zipfile.ZipFile(place) as archive:
        members = {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
        for name, size in members.items():
            _check_member(place, name)
            if size > _MEMBER_BYTES_MAX:
                raise BadInput(f"{place}: {name} unpacks to {size} bytes, at most {_MEMBER_BYTES_MAX}; take it out")
        names = sorted(name for name in members if name.lower().endswith(SUFFIXES))
        if not names:
            raise WrongUse(f"{place}: no picture in it ({' '.join(SUFFIXES)}); zip the pictures, not a folder of zips")
        _check_labels(place, archive, members)
        latents_NZ = None
        if LATENTS in members:
            latents_NZ = _latents(f"{place}: {LATENTS}", _member(place, archive, LATENTS), len(names))

    def pictures() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        with zipfile.ZipFile(place) as archive:
            for name in names:
                yield f"{place}: {name}", _decode(f"{place}: {name}", _member(place, archive, name))

    return ImageSource(
        what=f"zip {place.name}, {len(names)} pictures",
        listing=_digest([place.name, place.stat().st_size, place.stat().st_mtime_ns]),
        pictures=pictures,
        latents_NZ=latents_NZ,
    )


def _check_member(place: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
        raise BadInput(f"{place}: {name!r} leads out of the archive; zip the pictures again with plain names")


def _check_labels(place: Path, archive: zipfile.ZipFile, members: dict[str, int]) -> None:
    """NVIDIA's dataset.json: {"labels": [[name, label], ...] or null}. Labels are not used, wrong names are told."""
    if "dataset.json" not in members:
        return
    cure = 'it must be {"labels": [["name.png", label], ...]} or {"labels": null}: write it again or leave it out'
    try:
        labels = json.loads(_member(place, archive, "dataset.json"))["labels"] or []
        named = [name for name, _ in labels]
    except (ValueError, KeyError, TypeError) as err:
        raise BadInput(f"{place}: dataset.json is not readable ({type(err).__name__}); {cure}") from err
    for name in named:
        _check_member(place, str(name) or ".")
        if name not in members:
            raise BadInput(f"{place}: dataset.json names {name}, which is not in the archive; zip them together")


def _member(place: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, RuntimeError, EOFError, NotImplementedError) as err:  # CRC, password, end, method
        raise BadInput(f"{place}: {name} cannot be unpacked ({err}); zip it again") from err


def _packed(place: Path) -> ImageSource:
    try:
        pictures_NRRC = np.load(place, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as err:
        raise BadInput(f"{place}: not a whole .npy file ({err}); write it again") from err
    shape = pictures_NRRC.shape
    if pictures_NRRC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise BadInput(f"{place}: {pictures_NRRC.dtype} {shape}; give uint8 (N, R, R, 3)")
    if not len(pictures_NRRC):
        raise WrongUse(f"{place}: no picture in it; write at least one")
    check_sides(str(place), shape[1:])
    latents = place.parent / LATENTS

    def pictures() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        yield from ((f"{place}: picture {i}", picture) for i, picture in enumerate(pictures_NRRC))

    return ImageSource(
        what=f"packed {place.name}, {len(pictures_NRRC)} pictures",
        listing=_digest([place.name, *shape]),
        pictures=pictures,
        latents_NZ=_latents(str(latents), latents.read_bytes(), shape[0]) if latents.is_file() else None,
        packed=place,
    )


def _latents(name: str, content: bytes, n: int) -> NDArray[np.float32]:
    try:
        latents_NZ = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as err:
        raise BadInput(f"{name}: not a whole .npy file ({err}); write it again") from err
    if latents_NZ.dtype != np.float32 or latents_NZ.ndim != 2 or len(latents_NZ) != n:
        raise BadInput(f"{name}: {latents_NZ.dtype} {latents_NZ.shape}; give float32 ({n}, z_dim), one row per picture")
    if not np.isfinite(latents_NZ).all():
        raise BadInput(f"{name}: holds NaN or infinity; write finite numbers")
    return np.asarray(latents_NZ)


def _decode(name: str, content: bytes) -> NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415  a machine that trains on packed pictures needs no PIL

    try:
        with Image.open(io.BytesIO(content)) as image:
            check_sides(name, image.size[::-1])  # by the header, before anything is unpacked
            if image.mode not in _MODES:
                raise BadInput(f"{name}: mode {image.mode}; give 8 bits a channel, {', '.join(_MODES)}")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError) as err:  # what PIL raises for damaged files
        raise BadInput(f"{name}: not a readable picture ({type(err).__name__}); replace it or take it out") from err


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
