"""How far pictures are from the frames they should show: one number per picture, with all that is known of a frame
computed once.

N pictures, R side in pixels, 68 landmarks of 2 coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.faces.dlib_embedder import DlibEmbedder, chip_places, cut_chips
from operators.inversion.face_mask import face_mask
from operators.inversion.perceptual_weights import PYRAMID, perceptual_name
from operators.inversion.pyramid import band_errors, gradient_errors, pyramid_levels
from schemas.config import LossSettings

if TYPE_CHECKING:
    from operators.inversion.perceptual import Lpips

_CHIP_FROM_PX = 256  # a face's chip of 150 px covers 0.65 of an aligned crop: here it is cut at about its own size


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing tensors has no single answer
class Targets:
    """Frames to be matched. Every tensor has N rows; what no term asks for is empty or None."""

    picture_N3RR: Tensor
    pixel_weights: tuple[Tensor, ...] = ()  # (N, 1, side, side) at the size of each band, mean 1
    features: tuple[Tensor, ...] = ()  # (N, C, H, W) of each layer of LPIPS
    feature_weights: tuple[Tensor, ...] = ()  # (N, 1, H, W) for each layer, mean 1
    chip_place_N23: Tensor | None = None
    identity_N128: Tensor | None = None

    def __len__(self) -> int:
        return len(self.picture_N3RR)

    def rows(self, index_N: Tensor | slice) -> "Targets":
        """Some of the frames, or all in another order."""
        return Targets(
            picture_N3RR=self.picture_N3RR[index_N],
            pixel_weights=tuple(level[index_N] for level in self.pixel_weights),
            features=tuple(layer[index_N] for layer in self.features),
            feature_weights=tuple(layer[index_N] for layer in self.feature_weights),
            chip_place_N23=None if self.chip_place_N23 is None else self.chip_place_N23[index_N],
            identity_N128=None if self.identity_N128 is None else self.identity_N128[index_N],
        )

    @staticmethod
    def stack(parts: Sequence["Targets"]) -> "Targets":
        """The rows of all parts, one after the other."""
        stacked: dict[str, Any] = {}
        for field in fields(Targets):
            values = [getattr(part, field.name) for part in parts]
            if isinstance(values[0], tuple):
                stacked[field.name] = tuple(torch.cat(tensors) for tensors in zip(*values, strict=True))
            else:
                stacked[field.name] = None if values[0] is None else torch.cat(values)
        return Targets(**stacked)


class FrameLoss:
    """Pictures and their targets -> one loss per picture.

    Takes: `resolution` R, a power of two; `device` of the networks, where pictures and targets have to be.
    Gives: `name`, the perceptual term that was chosen: lpips-vgg, lpips-alex, lpips-squeeze, or pyramid, which needs no
    weights and is not LPIPS; `lpips`, the network itself, None with the pyramid.
    Raises: WrongUse when the weights of a term are absent or wrong.
    """

    def __init__(self, settings: LossSettings, *, resolution: int, device: str = "cpu") -> None:
        self.settings = settings
        self.resolution = resolution
        self.name = perceptual_name(settings.perceptual)
        self.lpips = None if self.name == PYRAMID else _lpips(self.name).to(device)
        self.embedder = DlibEmbedder().to(device) if settings.identity_weight > 0 else None

    @property
    def needs_landmarks(self) -> bool:
        """Whether targets are asked for landmarks."""
        return self.settings.outside_weight < 1 or self.embedder is not None

    @torch.no_grad()
    def targets(self, target_N3RR: Tensor, landmarks_N682: NDArray[np.float32] | None = None) -> Targets:
        """What the loss has to know of frames, once per frame.

        Takes: (N, 3, R, R) in [-1, 1]; landmarks in pixels of the crops (quad.into_crop), needed by the mask and by
        identity. Raises: ValueError when they are needed and missing.
        Not promised: little memory; with lpips-vgg a frame of 256 px or more takes 33 MB, so give a batch, not a film.
        """
        landmarks = self._needed(landmarks_N682, n=len(target_N3RR))
        features = () if self.lpips is None else self.lpips.features(target_N3RR)
        pixel_weights: tuple[Tensor, ...] = ()
        feature_weights: tuple[Tensor, ...] = ()
        place = identity = None
        if landmarks is not None and self.settings.outside_weight < 1:
            weight_N1RR = self._pixel_weight(landmarks).to(target_N3RR.device)
            pixel_weights = pyramid_levels(weight_N1RR)
            feature_weights = () if self.lpips is None else self.lpips.weights(weight_N1RR, features)
        if landmarks is not None and self.embedder is not None:
            place = chip_places(landmarks, crop_px=self.resolution).to(target_N3RR.device)
            identity = self._identity(target_N3RR, place)
        return Targets(
            picture_N3RR=target_N3RR,
            pixel_weights=pixel_weights,
            features=features,
            feature_weights=feature_weights,
            chip_place_N23=place,
            identity_N128=identity,
        )

    def __call__(self, x_N3RR: Tensor, targets: Targets) -> Tensor:
        """(N,), each from its own picture and target only; the sum over N is what to differentiate."""
        settings = self.settings
        difference_N3RR = x_N3RR - targets.picture_N3RR
        square_N3RR = difference_N3RR.square()
        if targets.pixel_weights:
            square_N3RR = square_N3RR * targets.pixel_weights[0]
        loss_N = settings.pixel_weight * square_N3RR.mean(dim=(1, 2, 3))
        if self.lpips is not None:
            distance_N = self.lpips(x_N3RR, targets.features, targets.feature_weights)
            loss_N = loss_N + settings.lpips_weight * distance_N
        elif settings.pyramid_weight > 0 or settings.gradient_weight > 0:
            levels = pyramid_levels(difference_N3RR)
            if settings.pyramid_weight > 0:
                for error_N in band_errors(levels, targets.pixel_weights):
                    loss_N = loss_N + settings.pyramid_weight * error_N
            if settings.gradient_weight > 0:
                for error_N in gradient_errors(levels, targets.pixel_weights):
                    loss_N = loss_N + settings.gradient_weight * error_N
        if targets.identity_N128 is not None and targets.chip_place_N23 is not None:
            away_N128 = self._identity(x_N3RR, targets.chip_place_N23) - targets.identity_N128
            # Squared distance: what the network was trained for, and unlike the distance itself it has a slope at 0.
            loss_N = loss_N + settings.identity_weight * away_N128.square().sum(dim=1)
        return loss_N

    def _needed(self, landmarks_N682: NDArray[np.float32] | None, *, n: int) -> NDArray[np.float32] | None:
        if self.settings.outside_weight == 1 and self.embedder is None:
            return None
        if landmarks_N682 is None or landmarks_N682.shape != (n, 68, 2):
            given = "none" if landmarks_N682 is None else landmarks_N682.shape
            raise ValueError(
                f"landmarks of targets: {given} given, expected ({n}, 68, 2) in pixels of the crops; give them, or set "
                "outside_weight to 1 and identity_weight to 0"
            )
        return landmarks_N682

    def _pixel_weight(self, landmarks_N682: NDArray[np.float32]) -> Tensor:
        """(N, 1, R, R) of mean 1 in each picture, so that a small face is not a small loss."""
        mask_NRR = np.stack([face_mask(points_682, self.resolution) for points_682 in landmarks_N682])
        outside = self.settings.outside_weight
        weight_N1RR = torch.from_numpy(outside + (1 - outside) * mask_NRR)[:, None]
        return weight_N1RR / weight_N1RR.mean(dim=(2, 3), keepdim=True)

    def _identity(self, x_N3RR: Tensor, place_N23: Tensor) -> Tensor:
        assert self.embedder is not None
        reduce = self.resolution // _CHIP_FROM_PX
        seen = F.avg_pool2d(x_N3RR, reduce) if reduce > 1 else x_N3RR
        identity_N128: Tensor = self.embedder(cut_chips(seen, place_N23))
        return identity_N128


def _lpips(name: str) -> "Lpips":
    from operators.inversion.perceptual import Lpips  # noqa: PLC0415  # brings torchvision and skimage: seconds

    return Lpips(name)
