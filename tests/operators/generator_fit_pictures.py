"""Pictures to train on in tests, and some that end their process. Few imports: child processes wait for them."""

import os
import signal

import numpy as np

from operators.stylegan.training.packed_images import PackedImages
from operators.stylegan.training.settings import FitPace

PACE = FitPace(log_steps=1, picture_steps=10_000, distance_images=16, checkpoint_s=0)  # 0: after every step


def discs(n=60, *, with_latents=True):
    """Discs whose colour, ground and size are their latents, in units of their own."""
    source = np.random.default_rng(0)
    latents = source.uniform(size=(n, 5)).astype(np.float32)
    y, x = np.mgrid[0:32, 0:32] / 31 - 0.5
    inside = np.hypot(y, x)[None] < 0.15 + 0.3 * latents[:, 0, None, None]
    ink, ground = np.repeat(latents[:, 1:3], 2, axis=1)[:, :3], np.repeat(latents[:, 3:], 2, axis=1)[:, :3]
    pictures = np.where(inside[..., None], ink[:, None, None], ground[:, None, None])
    latents[:, 0] = 1000 * latents[:, 0] + 5
    return PackedImages(
        what="discs",
        pictures_NRRC=(pictures * 255).astype(np.uint8),
        latents_NZ=latents if with_latents else None,
    )


class DiesAtStep(PackedImages):
    """Pictures that end the process when they are asked for in that step."""

    signal_number = signal.SIGKILL
    at = 13
    asked = 0

    def batch(self, index_N, device):
        type(self).asked += 1
        if self.asked == self.at:
            os.kill(os.getpid(), self.signal_number)
        return super().batch(index_N, device)
