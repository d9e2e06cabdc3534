"""Faces with their expressions, to learn from: a packed .npz, or a folder of pictures.

N faces, S = 64 side in pixels, C channels (1 grey, 3 RGB).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from operators.emotion.face_square import SIZE_PX
from schemas.emotions import EMOTIONS, N_EMOTIONS
from schemas.errors import WrongUse

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledFaces:
    """Aligned faces, cut as they will be when the network is used."""

    faces_NSSC: NDArray[np.uint8]
    labels: NDArray[np.int64]  # (N,) EmoPy ids
    intensity: NDArray[np.float32]  # (N,) in (0, 1]; 1 where it is not known, and for neutral faces
    identity: NDArray[np.str_] | None = None  # (N,) who it is; None: not known

    def __post_init__(self) -> None:
        n, shape = len(self.labels), self.faces_NSSC.shape
        if shape not in {(n, SIZE_PX, SIZE_PX, 1), (n, SIZE_PX, SIZE_PX, 3)} or self.faces_NSSC.dtype != np.uint8:
            raise ValueError(
                f"faces are {self.faces_NSSC.dtype} {shape} for {n} labels; give uint8 (N, {SIZE_PX}, {SIZE_PX}), grey "
                f"or with 3 channels"
            )
        if len(self.intensity) != n or (self.identity is not None and len(self.identity) != n):
            raise ValueError(f"{n} labels, but another number of intensities or identities; give one for each face")
        if n == 0 or not 0 <= self.labels.min() <= self.labels.max() < N_EMOTIONS:
            raise ValueError(f"{n} labels; give at least one, each from 0 to {N_EMOTIONS - 1}")
        if not (np.isfinite(self.intensity) & (self.intensity >= 0) & (self.intensity <= 1)).all():
            raise ValueError("intensity must lie in [0, 1]")

    @property
    def channels(self) -> int:
        return int(self.faces_NSSC.shape[3])

    def digest(self) -> str:
        """16 hex digits that change when anything of it changes."""
        found = hashlib.sha256()
        for array in (self.faces_NSSC, self.labels, self.intensity, self.identity):
            if array is not None:
                found.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


def read_faces(path: str | Path) -> LabelledFaces:
    """Takes: an .npz with `images` (uint8, (N, 64, 64) or (N, 64, 64, 3)), `labels` (EmoPy ids), and, where known,
    `intensity` and `identity`; or a folder `anger/…`, `disgust/…`, …, in which pictures lie directly, or in one folder
    for each person. Pictures of a folder are made 64 px large and RGB.

    Raises: WrongUse naming the file at fault.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path)
        return _read_packed(path)
    except ValueError as err:
        raise WrongUse(f"faces {path}: {err}") from err


def _read_packed(path: Path) -> LabelledFaces:
    try:
        with np.load(path, allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
    except (OSError, BadZipFile, ValueError) as err:
        reason = " ".join(str(err).split())[:120]
        raise WrongUse(f"faces {path}: not a whole .npz of plain arrays ({reason}); pack it again") from err
    if missing := {"images", "labels"} - arrays.keys():
        raise WrongUse(f"faces {path}: holds no {' and no '.join(sorted(missing))}; pack images and labels")
    faces, labels = arrays["images"], arrays["labels"].astype(np.int64)
    return LabelledFaces(
        faces_NSSC=faces[..., None] if faces.ndim == 3 else faces,
        labels=labels,
        intensity=arrays["intensity"].astype(np.float32) if "intensity" in arrays else np.ones(len(labels), np.float32),
        identity=arrays["identity"].astype(np.str_) if "identity" in arrays else None,
    )


def _read_folder(path: Path) -> LabelledFaces:
    faces, labels, identity = [], [], []
    for label, name in enumerate(EMOTIONS):
        for file in sorted(f for f in (path / name).rglob("*") if f.suffix.lower() in _SUFFIXES):
            faces.append(_read_picture(file))
            labels.append(label)
            person = file.relative_to(path / name).parts[0]
            identity.append(person if person != file.name else "")
    if not faces:
        raise WrongUse(f"faces {path}: no picture in {', '.join(EMOTIONS)}; sort pictures into folders of these names")
    return LabelledFaces(
        faces_NSSC=np.stack(faces),
        labels=np.array(labels, np.int64),
        intensity=np.ones(len(labels), np.float32),
        identity=np.array(identity) if all(identity) else None,
    )


def _read_picture(file: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as picture:
            if picture.width != picture.height:
                raise WrongUse(f"face {file}: {picture.width}x{picture.height} px; give squares around the face")
            # Bilinear, as OnnxEmotion resizes what the network will see
            small = picture.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR)
    except (OSError, UnidentifiedImageError) as err:
        raise WrongUse(f"face {file}: not a whole picture ({err}); remove it or save it again") from err
    return np.asarray(small)
