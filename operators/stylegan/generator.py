"""StyleGAN2's generator in plain torch, 32 to 1024 pixels: mapping network, synthesis network, skip architecture.

N pictures, Z noise width, L style layers (num_ws), D style width (w_dim), C channels, H and W pixels, R resolution.
Source: Karras et al. 2020, arXiv:1912.04958, figure 7b (skip) and appendix B.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise, repeat
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.layers import Dense, NoiseMode, StyledConv, ToRGB
from operators.stylegan.resample import upsample_2x
from schemas.generators import num_ws

_MAPPING_LR_MUL = 0.01  # appendix B; part of the arithmetic, since stored weights are 100 times those used
_EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """All sizes of a generator: what a file's header says, and no more."""

    resolution: int
    channels: tuple[int, ...]  # of the features at 4, 8, ..., resolution pixels
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    label_dim: int = 0  # classes of a conditional generator; 0: it knows none
    # Outputs of layers are held within it: so NVIDIA trains since 2020, for 16-bit features, and draws in 32 bits too.
    clamp: float | None = None

    @property
    def num_ws(self) -> int:
        return num_ws(self.resolution)

    def header(self) -> dict[str, Any]:
        """By name; of the sizes that came later only what is no default: equal weights stay equal files and hashes."""
        later = {"label_dim": 0, "clamp": None}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}


class Mapping(nn.Module):
    """Noise to style: a normalised z through dense layers, then pulled towards the mean style.

    A conditional one has its label's embedding, normalised too, beside z (Karras et al. 2020, arXiv:2006.06676).
    """

    w_avg: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.num_ws = architecture.num_ws
        self.z_dim, self.label_dim = architecture.z_dim, architecture.label_dim
        widths = [architecture.z_dim] + [architecture.w_dim] * architecture.mapping_layers
        if self.label_dim:
            self.embed = Dense(self.label_dim, architecture.w_dim)
            widths[0] += architecture.w_dim
        self.layers = [Dense(a, b, lr_mul=_MAPPING_LR_MUL) for a, b in pairwise(widths)]
        for i, layer in enumerate(self.layers):
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(architecture.w_dim))

    def forward(
        self,
        z_NZ: Tensor,
        label_NK: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_layers: int | None = None,
    ) -> Tensor:
        """(N, Z) -> (N, L, D). `truncation_psi` 1: none; 0: the mean; `truncation_layers`: the first few only.

        Takes: `label_NK`, one-hot, of a conditional generator with K labels.
        Raises: ValueError where a label is missing, or is none of this generator's.
        """
        if (0 if label_NK is None else label_NK.shape[1]) != self.label_dim:
            found = "no label" if label_NK is None else f"a label of {label_NK.shape[1]}"
            raise ValueError(f"{found} for a generator of {self.label_dim} labels; give (N, {self.label_dim}) one-hot")
        x = _of_length_1(z_NZ)
        if label_NK is not None:
            x = torch.cat((x, self.embedded(label_NK)), dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * 2**0.5
        w_NLD = x[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            n = self.num_ws if truncation_layers is None else truncation_layers
            w_NLD[:, :n] = self.w_avg.lerp(w_NLD[:, :n], truncation_psi)
        return w_NLD

    def embedded(self, label_NK: Tensor) -> Tensor:
        """(N, K) -> (N, D): what stands beside z of a conditional generator."""
        return _of_length_1(self.embed(label_NK))


def _of_length_1(x_NI: Tensor) -> Tensor:
    """Root mean square 1."""
    return x_NI * torch.rsqrt(x_NI.square().mean(dim=1, keepdim=True) + _EPSILON)


class FirstBlock(nn.Module):
    """4 pixels: a learnt constant, convolved, and its share of the colours."""

    def __init__(self, n_out: int, *, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.zeros(n_out, 4, 4))
        self.conv1 = StyledConv(n_out, n_out, w_dim=w_dim, resolution=4, clamp=clamp)
        self.torgb = ToRGB(n_out, w_dim=w_dim, clamp=clamp)


class Block(nn.Module):
    """One later resolution: features made twice the size, convolved, and their share of the colours."""

    def __init__(self, n_in: int, n_out: int, *, w_dim: int, resolution: int, clamp: float | None) -> None:
        super().__init__()
        self.conv0 = StyledConv(n_in, n_out, w_dim=w_dim, resolution=resolution, up=True, clamp=clamp)
        self.conv1 = StyledConv(n_out, n_out, w_dim=w_dim, resolution=resolution, clamp=clamp)
        self.torgb = ToRGB(n_out, w_dim=w_dim, clamp=clamp)


class Synthesis(nn.Module):
    """Styles to picture."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.num_ws = architecture.num_ws
        w_dim, clamp = architecture.w_dim, architecture.clamp
        self.b4 = FirstBlock(architecture.channels[0], w_dim=w_dim, clamp=clamp)
        self.later: list[Block] = []
        for level, (n_in, n_out) in enumerate(pairwise(architecture.channels), start=1):
            side = 4 * 2**level
            self.later.append(Block(n_in, n_out, w_dim=w_dim, resolution=side, clamp=clamp))
            self.add_module(f"b{side}", self.later[-1])

    @property
    def convs(self) -> list[StyledConv]:
        """In the order of the styles: the i-th convolution takes w[:, i]."""
        return [self.b4.conv1, *(conv for block in self.later for conv in (block.conv0, block.conv1))]

    def forward(self, w_NLD: Tensor, *, noise: NoiseMode | list[Tensor] = "const") -> Tensor:
        """(N, L, D) -> (N, 3, R, R), RGB, about [-1, 1], not clamped.

        Takes: `noise`: the generator's own maps, none, fresh ones, or one map per convolution, (H, W) or (N, 1, H, W).
        Gives: gradients to w, to given noise, and to the weights unless the generator is frozen.
        Not promised: gradients of gradients of a frozen generator (`unfreeze` it); the same bits for a picture in a
        batch as for the same picture alone.
        """
        noises: Iterator[NoiseMode | Tensor] = iter(noise) if isinstance(noise, list) else repeat(noise)
        x = self.b4.conv1(self.b4.const.expand(len(w_NLD), -1, -1, -1), w_NLD[:, 0], next(noises))
        rgb: Tensor = self.b4.torgb(x, w_NLD[:, 1])
        for i, block in enumerate(self.later):
            x = block.conv0(x, w_NLD[:, 2 * i + 1], next(noises))
            x = block.conv1(x, w_NLD[:, 2 * i + 2], next(noises))
            # Colours take the style that the next convolution will have, as published: num_ws is convolutions + 1.
            rgb = upsample_2x(rgb) + block.torgb(x, w_NLD[:, 2 * i + 3])
        return rgb


class Generator(nn.Module):
    """Mapping and synthesis.

    `mapping(z)` gives w, `synthesis(w)` gives pictures; calling the generator does both.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = Mapping(architecture)
        self.synthesis = Synthesis(architecture)

    @property
    def resolution(self) -> int:
        return self.architecture.resolution

    @property
    def num_ws(self) -> int:
        return self.architecture.num_ws

    @property
    def w_dim(self) -> int:
        return self.architecture.w_dim

    @property
    def z_dim(self) -> int:
        return self.architecture.z_dim

    def forward(
        self,
        z_NZ: Tensor,
        label_NK: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        noise: NoiseMode = "const",
    ) -> Tensor:
        """(N, Z), and one-hot labels of a conditional generator -> (N, 3, R, R)."""
        rgb: Tensor = self.synthesis(self.mapping(z_NZ, label_NK, truncation_psi=truncation_psi), noise=noise)
        return rgb

    def freeze(self) -> Self:
        """Stop gradients to the weights and compute once what follows from them alone. Gives itself.

        Not promised: that weights changed afterwards are seen; call `unfreeze` first.
        """
        self.eval().requires_grad_(False)
        for conv in self.synthesis.convs:
            conv.freeze()
        return self

    def unfreeze(self) -> Self:
        """Undo `freeze`, for training. Gives itself."""
        for conv in self.synthesis.convs:
            conv.unfreeze()
        return self.train().requires_grad_(True)
