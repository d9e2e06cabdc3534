"""Latents that exist, for recovery to be measured against: walks between samples of a generator, and their pictures.

T frames, L style layers, D style width, R side in pixels.
"""

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from operators.inversion.knots import hat_weights
from operators.stylegan.generator import Generator
from schemas.clips import LatentClip

_SHARE = 0.4  # of the way to another sample, per piece: about what a head does in half a second


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Latents and where they bend."""

    w_TLD: Tensor
    corners: list[int]  # frames between which the latents are straight, ends included
    cut: int | None = None  # first frame of the second shot
    through_jpeg: bool = False


def walks(generator: Generator, n: int, *, seed: int) -> dict[str, Walk]:
    """Straight, bent, with a cut, curved (a quadratic Bezier curve), and through JPEG."""
    source = torch.Generator().manual_seed(seed)
    goals = generator.mapping(torch.randn(4, generator.z_dim, generator=source), truncation_psi=0.7)
    a, b, c, d = goals
    towards_b, towards_c = torch.lerp(a, b, _SHARE), torch.lerp(torch.lerp(a, b, _SHARE), c, _SHARE)
    middle, third = n // 2, n // 3
    t = torch.linspace(0, 1, n)[:, None, None]
    straight = torch.lerp(a, towards_b, t)
    bent_once, bent_twice = [0, middle, n - 1], [0, third, 2 * third, n - 1]
    two_shots = torch.cat((straight[:middle], torch.lerp(c, torch.lerp(c, d, _SHARE), t)[:-middle]))
    return {
        "straight": Walk(w_TLD=straight, corners=[0, n - 1]),
        "bent once": Walk(w_TLD=_through([a, towards_b, towards_c], bent_once), corners=bent_once),
        "bent twice": Walk(
            w_TLD=_through([a, towards_b, towards_c, torch.lerp(towards_c, d, _SHARE)], bent_twice), corners=bent_twice
        ),
        "with a cut": Walk(w_TLD=two_shots, corners=[0, middle - 1, middle, n - 1], cut=middle),
        "curved": Walk(w_TLD=(1 - t) ** 2 * a + 2 * t * (1 - t) * towards_b + t**2 * towards_c, corners=[0, n - 1]),
        "straight, JPEG": Walk(w_TLD=straight, corners=[0, n - 1], through_jpeg=True),
    }


def _through(points: list[Tensor], at: list[int]) -> Tensor:
    """(T, L, D) from point to point, each reached at its frame."""
    weights_TK = hat_weights(np.arange(at[-1] + 1), np.asarray(at))
    return torch.einsum("tk,kld->tld", torch.from_numpy(weights_TK).float(), torch.stack(points))


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


def knots_against(walk: Walk, parts: list[LatentClip]) -> str:
    """How many there are; how many corners have one within a frame (recall), how many stand at a corner (precision)."""
    if any(part.knot_T is None for part in parts):
        return "every frame | | "
    at = np.flatnonzero(np.concatenate([part.knot_T for part in parts if part.knot_T is not None]))
    near_TK = np.abs(at[:, None] - np.asarray(walk.corners)) <= 1
    found, right = near_TK.any(axis=0), near_TK.any(axis=1)
    return f"{len(at)} | {found.sum()} of {len(found)} | {right.sum()} of {len(right)}"
