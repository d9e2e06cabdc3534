"""Latents as the synthesis network reads them: the style of every layer, as far as a picture can tell it.

N pictures, L style layers, D style width, K layers that take a style, C channels of one of them.
Two latents with the same picture may differ as much as two strangers: a layer's affine map from D to C < D numbers
has a null space, and demodulation (Karras et al. 2020, arXiv:1912.04958, equation 3) cancels a style's length. Styles
A_l w_l + b_l, brought to one length where the layer demodulates, have neither freedom.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.stylegan.generator import Generator
from operators.stylegan.layers import Dense
from operators.stylegan.w_statistics import style_samples

_SAMPLES = 2048  # the scale of a layer is then known to 2 %


@dataclass(frozen=True, kw_only=True)
class _Layer:
    affine: Dense
    w_index: int  # the row of w that it takes
    demodulates: bool


class StyleSpace:
    """A generator's styles, and the distance between latents in them.

    Takes: a generator; it is read where it is, and neither frozen nor moved.
    """

    def __init__(self, generator: Generator) -> None:
        self._layers = _layers(generator)
        w_ND = torch.cat(list(style_samples(generator.mapping, n=_SAMPLES, seed=0)))
        w_NLD = w_ND[:, None].expand(-1, generator.num_ws, -1)
        with torch.no_grad():
            self._scales = [(s_NC - s_NC.mean(dim=0)).square().mean().sqrt() for s_NC in self.styles(w_NLD)]

    def styles(self, w_NLD: Tensor) -> list[Tensor]:
        """(N, L, D) -> (N, C) for each of the K layers in the order of the network: convolution, colours, ...

        Gives: root mean square 1 over C where the layer demodulates (up to its epsilon, that changes no picture), and
        the style as it is in the colour layers, which do not. Gradients to w.
        """
        found = []
        for layer in self._layers:
            style_NC = layer.affine(w_NLD[:, layer.w_index])
            if layer.demodulates:
                style_NC = style_NC * torch.rsqrt(style_NC.square().mean(dim=1, keepdim=True))
            found.append(style_NC)
        return found

    def layer_errors(self, w_NLD: Tensor, true_NLD: Tensor) -> Tensor:
        """(N, K): RMS difference of two latents' styles, over that between a sample's style and the mean style."""
        pairs = zip(self.styles(w_NLD), self.styles(true_NLD), self._scales, strict=True)
        return torch.stack([(a - b).square().mean(dim=1).sqrt() / scale for a, b, scale in pairs], dim=1)

    def error(self, w_NLD: Tensor, true_NLD: Tensor) -> Tensor:
        """(N,): root mean square of `layer_errors` over the layers, each of them counting alike.

        0: the same picture; 1: as wrong as the mean latent is for a sample; 1.4: two samples without relation.
        Not promised: that equal errors are seen alike. With a latent per layer there is still room for many styles with
        nearly one picture: inversion of random-32 reached 44 dB with an error of 2.5 in w, 42 dB with 1.2 with a prior.
        """
        return self.layer_errors(w_NLD, true_NLD).square().mean(dim=1).sqrt()


def _layers(generator: Generator) -> list[_Layer]:
    """As Synthesis.forward hands out the rows of w: a block's colours share theirs with the next convolution."""
    network = generator.synthesis
    found = [
        _Layer(affine=network.b4.conv1.affine, w_index=0, demodulates=True),
        _Layer(affine=network.b4.torgb.affine, w_index=1, demodulates=False),
    ]
    for i, block in enumerate(network.later):
        found += [
            _Layer(affine=block.conv0.affine, w_index=2 * i + 1, demodulates=True),
            _Layer(affine=block.conv1.affine, w_index=2 * i + 2, demodulates=True),
            _Layer(affine=block.torgb.affine, w_index=2 * i + 3, demodulates=False),
        ]
    return found
