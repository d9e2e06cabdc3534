"""Latents that exist, for recovery to be measured against: walks between samples of a generator, and their pictures.

T frames, L style layers, D style width, R side in pixels.
"""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from operators.stylegan.generator import Generator


def walks(generator: Generator, n: int, *, seed: int) -> dict[str, tuple[Tensor, int | None, list[int]]]:
    """Latents (T, L, D), a cut, and the frames where straight pieces end."""
    source = torch.Generator().manual_seed(seed)
    a, b, c, d = generator.mapping(torch.randn(4, generator.z_dim, generator=source), truncation_psi=0.7)
    t = torch.linspace(0, 1, n)[:, None, None]
    middle = n // 2
    rest = n - middle
    bend = torch.cat((_line(a, b, middle + 1)[:-1], _line(b, c, rest)))
    cut = torch.cat((_line(a, b, middle), _line(c, d, rest)))
    curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    ends = [0, n - 1]
    return {
        "straight": (_line(a, b, n), None, ends),
        "bent once": (bend, None, [0, middle, n - 1]),
        "with a cut": (cut, middle, [0, middle - 1, middle, n - 1]),
        "curved": (curve, None, ends),
        "straight, JPEG": (_line(a, b, n), None, ends),
    }


def _line(a: Tensor, b: Tensor, n: int) -> Tensor:
    return torch.lerp(a, b, 0.4 * torch.linspace(0, 1, n)[:, None, None])


@torch.no_grad()
def pictures_of(generator: Generator, w_TLD: Tensor) -> NDArray[np.uint8]:
    """(T, R, R, 3) of latents."""
    x_T3RR = torch.cat([generator.synthesis(w) for w in torch.split(w_TLD, 8)])
    crops: NDArray[np.uint8] = ((x_T3RR.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1).numpy()
    return crops


def through_jpeg(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Quality 75, as a film's own blocks and rings."""
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))
