"""Adaptive discriminator augmentation: both sides' pictures are changed at random, as often as overfitting asks for.

N pictures, R side in pixels. Source: Karras et al. 2020, arXiv:2006.06676, section 2 and appendix B. Theirs but:
pixel blitting, geometry and colour only; cubic interpolation at the pictures' own size instead of an orthogonal
wavelet at twice the size; no flip of luma, which faces never show.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# Appendix B, in the order used: sides for shifts, octaves for scales, [-1, 1] for brightness.
_SHIFT_MAX = 0.125
_SCALE_SD, _STRETCH_SD, _SHIFT_SD = 0.2, 0.2, 0.125
_BRIGHTNESS_SD, _CONTRAST_SD, _SATURATION_SD = 0.2, 0.5, 1.0


def augment(x_N3RR: Tensor, p: float) -> Tensor:
    """Each change happens to each picture with probability `p`; 0 gives the pictures themselves.

    Draws from torch's random state. Gives: float32, differentiable once (not twice) with respect to the pictures.
    """
    if p == 0:
        return x_N3RR
    x_N3RR = x_N3RR.float()
    n, side = len(x_N3RR), x_N3RR.shape[-1]
    grid = F.affine_grid(_geometry(n, side, p, x_N3RR.device)[:, :2], list(x_N3RR.shape), align_corners=False)
    # Whole pixels and quarter turns land on pixels, where cubic interpolation is exact: those stay sharp.
    moved = F.grid_sample(x_N3RR, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    colour_N34 = _colour(n, p, x_N3RR.device)
    recoloured = torch.einsum("nij,njhw->nihw", colour_N34[:, :, :3], moved)
    return recoloured + colour_N34[:, :, 3, None, None]


def next_probability(p: float, *, mean_sign: float, target: float, n_images: int, n_full: int) -> float:
    """One step of the controller: up while the discriminator is surer of its reals than `target` (section 3)."""
    return min(1.0, max(0.0, p + math.copysign(n_images / n_full, mean_sign - target)))


def _geometry(n: int, side: int, p: float, device: torch.device) -> Tensor:
    """(N, 3, 3), from places in the new picture to places in the old one, [-1, 1] across."""

    def rand() -> Tensor:
        return torch.rand(n, device=device)

    def gate(value_N: Tensor, neutral: float, chance: float = p) -> Tensor:
        return torch.where(rand() < chance, value_N, torch.full_like(value_N, neutral))

    def octaves(sd: float) -> Tensor:
        return torch.exp2(torch.randn(n, device=device) * sd)

    one, zero = torch.ones(n, device=device), torch.zeros(n, device=device)

    def affine(xx: Tensor, xy: Tensor, tx: Tensor, yx: Tensor, yy: Tensor, ty: Tensor) -> Tensor:
        return torch.stack([xx, xy, tx, yx, yy, ty, zero, zero, one], dim=1).reshape(-1, 3, 3)

    def turn(angle_N: Tensor) -> Tensor:
        c, s = angle_N.cos(), angle_N.sin()
        return affine(c, -s, zero, s, c, zero)

    matrix = affine(gate((rand() * 2).floor() * 2 - 1, 1.0), zero, zero, zero, one, zero)
    matrix = turn(gate((rand() * 4).floor() * (math.pi / 2), 0.0)) @ matrix
    whole_N2 = ((torch.rand(n, 2, device=device) * 2 - 1) * _SHIFT_MAX * side).round() * (2 / side)
    shifted = rand() < p
    matrix = affine(one, zero, whole_N2[:, 0] * shifted, zero, one, whole_N2[:, 1] * shifted) @ matrix
    scale = gate(octaves(_SCALE_SD), 1.0)
    matrix = affine(scale, zero, zero, zero, scale, zero) @ matrix
    chance = 1 - math.sqrt(1 - p)  # two turns around the stretch: p for either
    matrix = turn(gate((rand() * 2 - 1) * math.pi, 0.0, chance)) @ matrix
    stretch = gate(octaves(_STRETCH_SD), 1.0)
    matrix = affine(stretch, zero, zero, zero, 1 / stretch, zero) @ matrix
    matrix = turn(gate((rand() * 2 - 1) * math.pi, 0.0, chance)) @ matrix
    shift_N2 = torch.randn(n, 2, device=device) * _SHIFT_SD * 2
    shifted = rand() < p
    return affine(one, zero, shift_N2[:, 0] * shifted, zero, one, shift_N2[:, 1] * shifted) @ matrix


def _colour(n: int, p: float, device: torch.device) -> Tensor:
    """(N, 3, 4): a matrix on RGB and an offset."""

    def gate(value_N: Tensor, neutral: float) -> Tensor:
        return torch.where(torch.rand(n, device=device) < p, value_N, torch.full_like(value_N, neutral))

    brightness = gate(torch.randn(n, device=device) * _BRIGHTNESS_SD, 0.0)
    contrast = gate(torch.exp2(torch.randn(n, device=device) * _CONTRAST_SD), 1.0)
    hue = gate((torch.rand(n, device=device) * 2 - 1) * math.pi, 0.0)
    saturation = gate(torch.exp2(torch.randn(n, device=device) * _SATURATION_SD), 1.0)
    grey_33 = torch.full((3, 3), 1 / 3, device=device)  # onto the grey axis
    plane_33 = torch.eye(3, device=device) - grey_33
    cross_33 = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / math.sqrt(3)
    # Rodrigues' rotation about grey, its part across grey scaled: hue and saturation in one.
    turned = hue.cos()[:, None, None] * plane_33 + hue.sin()[:, None, None] * cross_33
    matrix_N33 = grey_33 + saturation[:, None, None] * turned
    # Brightness comes before contrast, and grey stays grey under the rest.
    offset_N3 = (brightness * contrast)[:, None].expand(n, 3)
    return torch.cat([matrix_N33 * contrast[:, None, None], offset_N3[:, :, None]], dim=2)
