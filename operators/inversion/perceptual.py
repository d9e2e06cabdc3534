"""LPIPS, with the features of a target computed once: how far two pictures are apart to a network's eye.

N pictures, R side in pixels, C channels of H x W features.
Source: Zhang et al. 2018, arXiv:1801.03924, version 0.1 of the package `lpips`, whose slices, scaling and linear heads
are used; the backbone's weights are a file that the user puts on the machine (perceptual_weights.py).
"""

import pickle
import warnings
from pathlib import Path

import lpips
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.inversion.perceptual_weights import backbone_path, checked_hash
from schemas.errors import WrongUse

_SEES_PX = 256  # larger pictures are averaged down: what the projectors of Karras et al. 2020 measure at
_BACKBONES = {
    "lpips-vgg": ("vgg", lpips.pn.vgg16),
    "lpips-alex": ("alex", lpips.pn.alexnet),
    "lpips-squeeze": ("squeeze", lpips.pn.squeezenet),
}
_NOTHING = 1e-10  # added to the length of a feature, as the package does


class Lpips(nn.Module):
    """Pictures and the features of their targets -> distances. Frozen, float32.

    Takes: `name`: lpips-vgg, lpips-alex or lpips-squeeze; pictures in [-1, 1] of at least 32 px, whose side above 256
    is a multiple of 256.
    Raises: WrongUse when the backbone's file is absent, or is not that backbone.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        path = backbone_path(name)
        checked_hash(path)
        short, slices = _BACKBONES[name]
        self.scaling = lpips.ScalingLayer()
        self.backbone = _backbone(slices, path)
        for i, head_1C11 in enumerate(_heads(short)):
            self.register_buffer(f"head{i}_1C11", head_1C11)
        self.eval().requires_grad_(False)

    def features(self, x_N3RR: Tensor) -> tuple[Tensor, ...]:
        """One (N, C, H, W) per layer, of length 1 at each place; 32 MB a picture at 256 px with vgg."""
        reduce = x_N3RR.shape[-1] // _SEES_PX
        seen = F.avg_pool2d(x_N3RR, reduce) if reduce > 1 else x_N3RR
        return tuple(_of_length_1(layer) for layer in self.backbone(self.scaling(seen)))

    def weights(self, weight_N1RR: Tensor, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Weights of pixels, of mean 1, at the size of each layer, of mean 1 again: what `forward` takes."""
        reduced = (F.interpolate(weight_N1RR, size=layer.shape[2:], mode="area") for layer in features)
        return tuple(layer / layer.mean(dim=(2, 3), keepdim=True) for layer in reduced)

    def forward(self, x_N3RR: Tensor, features: tuple[Tensor, ...], weights: tuple[Tensor, ...] = ()) -> Tensor:
        """(N,) distances of pictures to the targets whose features are given. A match has distance and slope 0."""
        distance_N = x_N3RR.new_zeros(len(x_N3RR))
        for i, (found, wanted) in enumerate(zip(self.features(x_N3RR), features, strict=True)):
            distance_N1HW = F.conv2d((found - wanted).square(), self.get_buffer(f"head{i}_1C11"))
            if weights:
                distance_N1HW = distance_N1HW * weights[i]
            distance_N = distance_N + distance_N1HW.mean(dim=(1, 2, 3))
        return distance_N


def _of_length_1(feature_NCHW: Tensor) -> Tensor:
    # vector_norm has slope 0 at a feature of zeros, as black pictures have them; the package's root has none: NaN
    length_N1HW: Tensor = torch.linalg.vector_norm(feature_NCHW, dim=1, keepdim=True)
    return feature_NCHW / (length_N1HW + _NOTHING)


def _backbone(slices: type[nn.Module], path: Path) -> nn.Module:
    """The package's slices of a torchvision network, filled from its published file; the classifier is left out."""
    with warnings.catch_warnings(), torch.device("meta"):  # meta: no random start of 138 million numbers
        warnings.simplefilter("ignore", UserWarning)  # the package says `pretrained`, torchvision wants `weights`
        backbone = slices(pretrained=False, requires_grad=False)
    tensors = _read(path)
    wanted = backbone.state_dict()
    chosen: dict[str, Tensor] = {}
    for name, empty in wanted.items():
        key = f"features.{name.partition('.')[2]}"  # slice2.5.weight is features.5.weight
        found = tensors.get(key)
        if found is None or found.shape != empty.shape or found.dtype != empty.dtype or not found.isfinite().all():
            is_ = "absent" if found is None else f"{found.dtype} {tuple(found.shape)}"
            raise WrongUse(
                f"{path}: {key} is {is_}, expected finite {empty.dtype} {tuple(empty.shape)}; fetch torchvision's file"
            )
        chosen[name] = found.clone(memory_format=torch.contiguous_format)
    backbone.load_state_dict(chosen, assign=True)
    return backbone


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)  # numbers only; no code is executed
    except (RuntimeError, pickle.UnpicklingError, EOFError) as err:
        reason = " ".join(str(err).split())[:200]
        raise WrongUse(f"{path}: not a file of weights ({reason}); fetch torchvision's file") from err
    tensors = content if isinstance(content, dict) else {}
    return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}


def _heads(short: str) -> list[Tensor]:
    """The package's linear heads, (1, C, 1, 1) each, in the order of the layers."""
    path = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{short}.pth"
    tensors = _read(path)
    return [tensors[f"lin{i}.model.1.weight"] for i in range(len(tensors))]
