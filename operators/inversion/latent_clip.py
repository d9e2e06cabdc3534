"""Latents of a clip, measured against its crops as they will be stored.

T frames, R crop side in pixels, L style layers, D style width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.faces.quad import into_crop
from operators.inversion.frame_loss import Targets
from operators.inversion.noise_maps import unpack_noise_maps
from operators.inversion.tools import InversionTools
from operators.latents.motion import motion
from operators.stylegan.generator import Generator
from operators.stylegan.layers import NoiseMode
from schemas.clips import LatentClip, TrackClip
from schemas.errors import BadInput

_FRAMES_PER_PASS = 8  # fixed: the bits of a number must not follow how much memory a worker has
_PSNR_MAX = 100.0  # dB; an all-black crop is matched exactly, and infinity has no mean


def target_pictures(crops_TRRC: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Crops as the generator would make them: (T, 3, R, R) in [-1, 1]."""
    # A copy, because rows come read-only from the engine; uint8 until on the device, because that is a quarter to move.
    crops = torch.tensor(crops_TRRC, device=device)
    return crops.movedim(-1, 1).float() / 127.5 - 1  # T R R C -> T C R R


def require_resolution(clips: Sequence[TrackClip], generator: Generator) -> None:
    """Raises: ValueError naming the first track whose crops the generator does not make."""
    for clip in clips:
        if clip.crop_px != generator.resolution:
            raise ValueError(
                f"track {clip.track.key}: crops are {clip.crop_px} px, this generator makes {generator.resolution} px; "
                f"align with crop_px {generator.resolution}, or name a generator of {clip.crop_px} px"
            )


def clip_targets(clip: TrackClip, frames: slice | NDArray[np.intp], tools: InversionTools) -> Targets:
    """Frames of a clip as the loss wants them."""
    landmarks_N682 = None
    if tools.loss.needs_landmarks:
        track = clip.track
        landmarks_N682 = into_crop(track.face_points[frames], track.quad_T42[frames], clip.crop_px)
    return tools.loss.targets(target_pictures(clip.crops_TRRC[frames], tools.device), landmarks_N682)


@torch.no_grad()
def latent_clip(
    clip: TrackClip,
    w_TLD: Tensor,
    tools: InversionTools,
    *,
    noise_TP: Tensor | None = None,
    knot_T: NDArray[np.bool_] | None = None,
) -> LatentClip:
    """The row of an inverted clip: latents rounded as they are stored, quality measured after the rounding.

    PSNR and changes compare pictures clamped to [0, 255], as they are shown, without rounding to whole grey levels.

    Takes: `noise_TP`, packed maps that belong to the latents; None: the generator's own.
    Raises: BadInput naming the first frame whose latent or picture is not finite.
    """
    generator, loss, device = tools.generator, tools.loss, tools.device
    rounded_TLD = w_TLD.half().float().to(device)
    psnr, lpips, change_error, change, finite = [], [], [], [], []
    noise_TP = None if noise_TP is None else noise_TP.half().float().to(device)
    last_x, last_y = None, None
    for first in range(0, len(rounded_TLD), _FRAMES_PER_PASS):
        here = slice(first, first + _FRAMES_PER_PASS)
        maps: NoiseMode | list[Tensor] = "const" if noise_TP is None else unpack_noise_maps(generator, noise_TP[here])
        raw, wanted = (
            generator.synthesis(rounded_TLD[here], noise=maps),
            target_pictures(clip.crops_TRRC[here], device),
        )
        if loss.lpips is not None:
            lpips.append(loss.lpips(raw.clamp(-1, 1), loss.lpips.features(wanted), ()))
        x, y = (raw.clamp(-1, 1) + 1) * 127.5, (wanted + 1) * 127.5
        finite.append(raw.isfinite().flatten(1).all(dim=1) & rounded_TLD[here].isfinite().flatten(1).all(dim=1))
        error_T = (x - y).square().mean(dim=(1, 2, 3)).clamp_min(255**2 / 10 ** (_PSNR_MAX / 10))
        psnr.append(10 * torch.log10(255**2 / error_T))
        # The frame before the first is itself, so that its change is 0.
        before_x = torch.cat((x[:1] if last_x is None else last_x, x[:-1]))
        before_y = torch.cat((y[:1] if last_y is None else last_y, y[:-1]))
        change_error.append(((x - before_x) - (y - before_y)).abs().mean(dim=(1, 2, 3)))
        change.append((y - before_y).abs().mean(dim=(1, 2, 3)))
        last_x, last_y = x[-1:], y[-1:]
    _require_finite(clip, _numpy(finite))
    return LatentClip(
        track=clip.track,
        w_TLD=rounded_TLD.cpu().numpy(),
        psnr=_numpy(psnr),
        lpips=_numpy(lpips) if lpips else None,
        change_error=_numpy(change_error),
        change=_numpy(change),
        motion=motion(tools.prior.whiten(rounded_TLD), clip.track.pts_us),
        noise_TP=None if noise_TP is None else noise_TP.cpu().numpy(),
        knot_T=knot_T,
    )


def _numpy(parts: list[Tensor]) -> NDArray[np.float32]:
    array: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return array


def _require_finite(clip: TrackClip, finite_T: NDArray[np.generic]) -> None:
    if not finite_T.all():
        frame = int(clip.track.frame_index[int(np.argmin(finite_T))])
        raise BadInput(
            f"track {clip.track.key}: frame {frame} has no finite latent and picture; check the generator's weights "
            "(`latentreel generator info`), or lower inversion.learning_rate where inversion.noise is on"
        )
