"""Clips for the inversion tests: crops that a generator made itself, so that exact latents exist."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.stylegan.generator import Generator
from schemas.clips import FaceTrack, PartKey, TrackClip


def clip_of(crops_TRRC: NDArray[np.uint8], *, track_index: int = 0, first_frame: int = 0, warmup: int = 0) -> TrackClip:
    n = len(crops_TRRC)
    track = FaceTrack(
        key=PartKey(video_id="v", segment_index=0, shot_index=0, track_index=track_index, part_index=0),
        frame_index=np.arange(first_frame, first_frame + n, dtype=np.int32),
        pts_us=np.arange(n, dtype=np.int64) * 40_000,
        landmarks_T682=np.zeros((n, 68, 2), np.float32),
        quad_T42=np.zeros((n, 4, 2), np.float32),
        confidence=np.ones(n, np.float32),
        warmup_frames=warmup,
    )
    return TrackClip(track=track, crops_TRRC=crops_TRRC)


def known_path(generator: Generator, n_frames: int, *, seed: int, step: float = 0.02) -> Tensor:
    """A straight walk between two samples, (T, L, D): each frame `step` of the way further."""
    source = torch.Generator().manual_seed(seed)
    start, end = generator.mapping(torch.randn(2, generator.z_dim, generator=source))
    return torch.stack([torch.lerp(start, end, step * t) for t in range(n_frames)])


@torch.no_grad()
def crops_of(generator: Generator, w_TLD: Tensor) -> NDArray[np.uint8]:
    pictures = ((generator.synthesis(w_TLD).clamp(-1, 1) + 1) * 127.5).round().byte()
    crops: NDArray[np.uint8] = pictures.movedim(1, -1).contiguous().numpy()  # T C R R -> T R R C
    return crops


def jerk(w_TLD: NDArray[np.float32]) -> float:
    """Mean length of the second difference along time, per coordinate: 0 for a straight walk."""
    second = w_TLD[2:] - 2 * w_TLD[1:-1] + w_TLD[:-2]
    return float(np.sqrt(np.square(second).mean(axis=(1, 2))).mean())
