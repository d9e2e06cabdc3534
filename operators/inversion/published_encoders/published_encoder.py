"""An encoder of pSp, e4e or ReStyle as a start of inversions.

N pictures, R side in pixels, L style layers, D style width.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.inversion.published_encoders.checkpoint import PublishedFile, read_published, require_fit
from operators.inversion.published_encoders.networks import PublishedNetwork
from operators.inversion.published_encoders.sizes import PublishedSizes
from operators.stylegan.generator import Generator
from schemas.errors import WrongUse

INPUT_PX = 256  # what all of them were trained at
RESTYLE_LOOKS = 5  # n_iters_per_batch of ReStyle's training and tests


class PublishedEncoder(nn.Module):
    """Pictures of any size, RGB in [-1, 1] -> latents in W+; a PictureEncoder.

    Larger pictures are averaged down to 256 px, and smaller ones enlarged: the published code resizes whatever it is
    given to 256, and a generator of less than 256 px has no published encoder, so that only own ones meet it.
    """

    mean_LD: Tensor

    def __init__(self, sizes: PublishedSizes) -> None:
        super().__init__()
        self.network = PublishedNetwork(sizes)
        self.refinements = RESTYLE_LOOKS if sizes.sees_reconstruction else 0
        self.register_buffer("mean_LD", torch.zeros(sizes.num_ws, sizes.w_dim))

    def first(self, target_N3RR: Tensor) -> Tensor:
        """ReStyle has seen nothing yet: the mean latent, whose picture is what its first look is beside."""
        if self.network.sizes.sees_reconstruction:
            return self.mean_LD.expand(len(target_N3RR), -1, -1)
        return self._encoded(target_N3RR)

    def again(self, target_N3RR: Tensor, shown_N3RR: Tensor, w_NLD: Tensor) -> Tensor:
        """ReStyle's step. The others were not made for it: what they see of both is compared."""
        if self.network.sizes.sees_reconstruction:
            both_N6SS = torch.cat((_at_input_size(target_N3RR), _at_input_size(shown_N3RR)), dim=1)
            moved_NLD: Tensor = w_NLD + self.network(both_N6SS)
            return moved_NLD
        return w_NLD + self._encoded(target_N3RR) - self._encoded(shown_N3RR.clamp(-1, 1))

    def _encoded(self, x_N3RR: Tensor) -> Tensor:
        w_NLD: Tensor = self.mean_LD + self.network(_at_input_size(x_N3RR))
        return w_NLD


def _at_input_size(x_N3RR: Tensor) -> Tensor:
    side = x_N3RR.shape[-1]
    if side > INPUT_PX:
        return F.avg_pool2d(x_N3RR, side // INPUT_PX)
    return x_N3RR if side == INPUT_PX else F.interpolate(x_N3RR, size=(INPUT_PX, INPUT_PX), mode="bilinear")


def load_published_encoder(path: str, generator: Generator) -> PublishedEncoder:
    """The encoder in a checkpoint, frozen, on the CPU.

    Raises: WrongUse when the file is no whole encoder, or makes other latents than the generator takes.
    Not promised: that it was trained for this generator; `is_of_another` tells where the file does.
    """
    file = read_published(path)
    require_fit(path, file.sizes, num_ws=generator.num_ws, w_dim=generator.w_dim)
    with torch.device("meta"):  # a start from random weights would take longer than reading the file
        encoder = PublishedEncoder(file.sizes)
    encoder.to_empty(device="cpu").eval().requires_grad_(False)
    _fill(path, file, encoder.network)
    encoder.mean_LD.zero_()
    if file.mean is not None:
        encoder.mean_LD.copy_(_checked(path, "latent_avg", file.mean.read()))
    return encoder


def _fill(path: str, file: PublishedFile, network: PublishedNetwork) -> None:
    """One tensor at a time, copied: memory then holds no second encoder."""
    expected = {k: tensor for k, tensor in network.state_dict().items() if not k.endswith(".num_batches_tracked")}
    says = f"encoder {path}: says that it is a {file.kind}, and"
    if missing := expected.keys() - file.tensors.keys():
        raise WrongUse(f"{says} {len(missing)} of its tensors are missing, first {min(missing)}; take a whole file")
    if foreign := file.tensors.keys() - expected.keys():
        raise WrongUse(f"{says} {len(foreign)} tensors are none of its, first {min(foreign)}; take a file as published")
    for name, stored in file.tensors.items():
        if stored.shape != tuple(expected[name].shape):
            raise WrongUse(f"{says} its {name} is {stored.shape}, not {tuple(expected[name].shape)}; take a whole file")
        expected[name].copy_(_checked(path, name, stored.read()))


def _checked(path: str, name: str, values: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(np.require(values, np.float32, ("C", "W")))
    if not torch.isfinite(tensor).all():
        raise WrongUse(f"encoder {path}: {name} holds NaN or infinity; take an earlier checkpoint")
    return tensor
