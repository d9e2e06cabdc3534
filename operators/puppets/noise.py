"""One fixed texture of soft noise for pores, brows and strands: a picture may not depend on anything unseen."""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]

_SIDE = 256


@cache
def _texture() -> Floats:
    white = np.random.default_rng(2211).standard_normal((_SIDE, _SIDE))
    soft = gaussian_filter(white, 1.0, mode="wrap")
    return np.asarray(soft / soft.std(), np.float32)


def noise_at(u: NDArray[Any], v: NDArray[Any]) -> Floats:
    """Standard normal noise, smooth over 1, repeating after 256. Takes two (P,) arrays."""
    n = u.size
    lines = -(-n // 1024)  # remap takes pictures up to 32767 wide
    places = [np.pad(np.mod(w, _SIDE).astype(np.float32), (0, lines * 1024 - n)).reshape(lines, 1024) for w in (u, v)]
    found: Floats = cv2.remap(_texture(), places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return found.reshape(-1)[:n]
