"""Invert every frame alone, from the mean latent or an encoder's guess.

The baseline that `sequential` has to beat in time and flicker.

T frames, L style layers, D style width.
Source: W+ by gradient descent, Abdal et al. 2019, arXiv:1904.03189.
"""

from collections.abc import Sequence

import torch

from operators.inversion.encoder import Encoder
from operators.inversion.first_start import FirstStart
from operators.inversion.fit_latents import fit_latents
from operators.inversion.latent_clip import latent_clip, require_resolution, target_pictures
from operators.stylegan.generator import Generator
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings


class InvertNaive:
    """TrackClips -> LatentClips: each frame by itself, in frame order.

    Takes: crops at the generator's resolution. The generator is frozen and moved to `device`, and so is its encoder.
    Gives: bits of w that depend on the frame alone, not on its neighbours or its place in the clip.
    Raises: ValueError when the crops have another size; BadInput when a frame has no finite latent.
    Not promised: smoothness from frame to frame; equal bits for another `frames_per_pass` or another device.
    """

    def __init__(
        self,
        generator: Generator,
        settings: InversionSettings,
        *,
        encoder: Encoder | None = None,
        device: str = "cpu",
        frames_per_pass: int = 8,
    ) -> None:
        self.generator = generator.freeze().to(device)
        self.settings = settings
        self.device = device
        self.frames_per_pass = frames_per_pass  # so that memory follows this number, not the clip's length
        self.start = FirstStart(self.generator, settings, encoder=encoder)

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]:
        require_resolution(clips, self.generator)
        return [self._invert(clip) for clip in clips]

    def _invert(self, clip: TrackClip) -> LatentClip:
        parts = []
        for first in range(0, clip.track.n_frames, self.frames_per_pass):
            target = target_pictures(clip.crops_TRRC[first : first + self.frames_per_pass], self.device)
            w_TLD = fit_latents(
                self.generator,
                target,
                self.start(target),
                self.start.descent,
                lanes=self.frames_per_pass,
                pyramid_weight=self.settings.pyramid_weight,
            )
            parts.append(w_TLD)
        return latent_clip(clip, torch.cat(parts), self.generator)
