"""Who a face is: dlib's face recognition network in torch, so that likeness has a slope.

N faces, 128 numbers of an identity, 68 landmarks of 2 coordinates, R crop side and S = 150 chip side in pixels.
Network: King 2017, "High Quality Face Recognition with Deep Metric Learning" (the blog of dlib), after the ResNet-34 of
He et al. 2016, arXiv:1512.03385, with half the filters; two pictures of one person lie less than 0.6 apart.
Weights: the package face_recognition_models; nothing is downloaded.
"""

import math
from itertools import pairwise
from pathlib import Path

import dlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from operators.faces.dlib_network_file import DlibLayer, network_path, read_dlib_layers
from schemas.errors import WrongUse

CHIP_PX = 150
_PADDING = 0.25  # of the chip around the face: what the network was trained with
_MEANS = (122.782, 117.001, 104.298)  # of red, green, blue in [0, 255], from the file's input layer
_SUBPIXELS = 64  # dlib's points are whole numbers; in these steps they keep what the smoothing of landmarks has won

_Plan = tuple[str, tuple[int, ...], tuple[tuple[int, ...], ...]]  # kind, sizes and views of a layer
_RELU: _Plan = ("relu_", (), ())

# Width and whether the picture is halved, for each residual block of two convolutions; 29 convolutions with the first.
_BLOCKS = (
    *[(32, False)] * 3,
    (64, True),
    *[(64, False)] * 3,
    (128, True),
    *[(128, False)] * 2,
    (256, True),
    *[(256, False)] * 2,
    (256, True),
)


class DlibEmbedder(nn.Module):
    """Chips -> identities. Frozen, float32.

    Takes: (N, 3, 150, 150) RGB in [-1, 1], cut by `cut_chips`; `path`: None: the file of the installed package.
    Gives: (N, 128); their distance is the measure of likeness, and 0.6 is where another person begins.
    Raises: WrongUse when the file is absent or holds another network.
    Not promised: dlib's own bits; they differ by 1e-6 of numbers around 0.1.
    """

    mean_311: Tensor
    fc_IO: Tensor

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        path = path or network_path()
        layers = read_dlib_layers(path)
        _require_network(layers, path)
        convolutions = [_Convolution(layer, affine) for layer, affine in pairwise(layers) if layer.kind == "con_4"]
        self.first = convolutions[0]
        pairs = zip(convolutions[1::2], convolutions[2::2], strict=True)
        self.blocks = nn.ModuleList(nn.Sequential(one, nn.ReLU(), two) for one, two in pairs)
        self.register_buffer("fc_IO", torch.tensor(layers[-1].parameters).reshape(layers[-1].views[0][:2]))
        self.register_buffer("mean_311", torch.tensor(_MEANS)[:, None, None])
        self.eval()

    def forward(self, chips_N3SS: Tensor) -> Tensor:
        x = ((chips_N3SS + 1) * 127.5 - self.mean_311) / 256
        x = F.max_pool2d(F.relu(self.first(x)), 3, stride=2)
        for block, (_, halves) in zip(self.blocks, _BLOCKS, strict=True):
            x = F.relu(_padded_sum(block(x), F.avg_pool2d(x, 2) if halves else x))
        identities: Tensor = x.mean(dim=(2, 3)) @ self.fc_IO
        return identities


class _Convolution(nn.Module):
    """A convolution with the affine layer behind it folded in: half the passes over memory."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: DlibLayer, affine: DlibLayer) -> None:
        super().__init__()
        shape = layer.views[0]
        weight, bias = np.split(layer.parameters, [math.prod(shape)])
        scale, offset = np.split(affine.parameters, 2)
        self.register_buffer("weight", torch.tensor(weight.reshape(shape) * scale[:, None, None, None]))
        self.register_buffer("bias", torch.tensor(bias * scale + offset))
        self.stride, self.padding = layer.sizes[3], layer.sizes[5]

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


def chip_places(landmarks_N682: NDArray[np.float32], *, crop_px: int) -> Tensor:
    """Where dlib would cut its chips: (N, 2, 3) from the chip's [-1, 1] to the crop's, as `cut_chips` takes them.

    Takes: landmarks in pixels of the crop, iBUG order. The fit to dlib's mean face is dlib's own.
    """
    return torch.tensor(np.array([_chip_place(points_682, crop_px) for points_682 in landmarks_N682], np.float32))


def cut_chips(x_N3RR: Tensor, places_N23: Tensor) -> Tensor:
    """(N, 3, 150, 150), sampled bilinearly; differentiable in the pictures.

    Takes: pictures of at most about 300 px, since what is reduced here by more than two loses pixels. Beyond the
    picture its border is repeated.
    """
    # Outer edges lie on outer edges, whatever the sizes. dlib lays centres of pixels on centres, which is the same
    # where the chip is as large as its place in the picture.
    grid_NSS2 = F.affine_grid(places_N23, [len(x_N3RR), 3, CHIP_PX, CHIP_PX], align_corners=False)
    return F.grid_sample(x_N3RR, grid_NSS2, padding_mode="border", align_corners=False)


def _chip_place(points_682: NDArray[np.float32], crop_px: int) -> NDArray[np.float64]:
    points = [dlib.point(*(int(v) for v in point)) for point in np.rint(points_682 * _SUBPIXELS)]
    face = dlib.full_object_detection(dlib.rectangle(), points)
    details = dlib.get_face_chip_details(face, CHIP_PX, _PADDING)
    place, turn = details.rect, complex(math.cos(details.angle), math.sin(details.angle))
    centre = np.array([place.left() + place.right(), place.top() + place.bottom()]) / 2 / _SUBPIXELS
    right = turn * place.width() / _SUBPIXELS / crop_px  # half a chip, in units of half a crop
    down = 1j * right
    x, y = (2 * centre + 1) / crop_px - 1
    return np.array([[right.real, down.real, x], [right.imag, down.imag, y]])


def _padded_sum(a_NCHW: Tensor, b_NCHW: Tensor) -> Tensor:
    """The sum of two stacks of maps of which either may be the larger: what one lacks, right, below or behind, is 0."""
    sizes = [max(pair) for pair in zip(a_NCHW.shape[1:], b_NCHW.shape[1:], strict=True)]
    return _padded(a_NCHW, sizes) + _padded(b_NCHW, sizes)


def _padded(x_NCHW: Tensor, sizes: list[int]) -> Tensor:
    c, h, w = (size - have for size, have in zip(sizes, x_NCHW.shape[1:], strict=True))
    return F.pad(x_NCHW, (0, w, 0, h, 0, c)) if c or h or w else x_NCHW


def _require_network(layers: list[DlibLayer], path: Path) -> None:
    """Raises: WrongUse naming the first layer that is not as this network has it."""
    cure = "install face_recognition_models again"
    expected = _plan()
    if len(layers) != len(expected):
        raise WrongUse(f"{path}: {len(layers)} layers, expected {len(expected)}; {cure}")
    for i, (layer, wanted) in enumerate(zip(layers, expected, strict=True)):
        found = (layer.kind, layer.sizes, layer.views)
        if found != wanted or layer.parameters.size != sum(map(math.prod, layer.views)):
            raise WrongUse(
                f"{path}: layer {i} is {found} of {layer.parameters.size} numbers, expected {wanted}; {cure}"
            )
        if not np.isfinite(layer.parameters).all():
            raise WrongUse(f"{path}: layer {i} holds NaN or infinity; {cure}")


def _plan() -> list[_Plan]:
    """Every layer, from the input up."""
    plan = [*_convolution_plan(3, 32, side=7, stride=2), _RELU, ("max_pool_2", (3, 3, 2, 2, 0, 0), ())]
    before = 32
    for width, halves in _BLOCKS:
        plan += [*_convolution_plan(before, width, side=3, stride=2 if halves else 1), _RELU]
        plan += _convolution_plan(width, width, side=3, stride=1)
        plan += [("avg_pool_2", (2, 2, 2, 2, 0, 0), ())] if halves else []
        plan += [("add_prev_", (), ()), _RELU]
        before = width
    return [*plan, ("avg_pool_2", (0, 0, 1, 1, 0, 0), ()), ("fc_2", (128, 256, 1), ((256, 128, 1, 1), (0, 0, 0, 0)))]


def _convolution_plan(inputs: int, width: int, *, side: int, stride: int) -> list[_Plan]:
    padding = side // 2 if stride == 1 else 0
    per_filter = (1, width, 1, 1)
    return [
        ("con_4", (width, side, side, stride, stride, padding, padding), ((width, inputs, side, side), per_filter)),
        ("affine_", (0,), (per_filter, per_filter)),
    ]
