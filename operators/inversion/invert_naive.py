"""Invert every frame alone, from the mean latent or an encoder's guess.

The baseline that `sequential` has to beat in time and flicker.

T frames, L style layers, D style width, P pixels of all noise maps of a frame.
Source: W+ by gradient descent, Abdal et al. 2019, arXiv:1904.03189; in W, and with the schedule of the preset
`projector`: Karras et al. 2020, arXiv:1912.04958, appendix D.
"""

from collections.abc import Sequence

import torch

from operators.inversion.first_start import FirstStart
from operators.inversion.latent_clip import clip_targets, latent_clip, require_resolution
from operators.inversion.noise_maps import pack_noise_maps, start_noise_maps
from operators.inversion.tools import InversionTools
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings
from schemas.errors import WrongUse


class InvertNaive:
    """TrackClips -> LatentClips: each frame by itself, in frame order.

    Takes: crops at the generator's resolution.
    Gives: bits of w that depend on the frame alone, not on its neighbours or its place in the clip; with
    `settings.noise` the noise maps that belong to each latent.
    Raises: WrongUse when noise is asked of a generator that has none; ValueError when the crops have another size;
    BadInput when a frame has no finite latent.
    Not promised: smoothness from frame to frame; equal bits for another `frames_per_pass` or another device.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, *, frames_per_pass: int = 8) -> None:
        if settings.noise and all(conv.is_silent for conv in tools.generator.synthesis.convs):
            raise WrongUse("inversion.noise: this generator adds no noise, so maps would change nothing; leave it off")
        self.tools, self.settings = tools, settings
        self.frames_per_pass = frames_per_pass  # so that memory follows this number, not the clip's length
        self.start = FirstStart(tools, settings, lanes=frames_per_pass)

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]:
        require_resolution(clips, self.tools.generator)
        return [self._invert(clip) for clip in clips]

    def _invert(self, clip: TrackClip) -> LatentClip:
        parts, noise = [], []
        for first in range(0, clip.track.n_frames, self.frames_per_pass):
            here = slice(first, first + self.frames_per_pass)
            targets = clip_targets(clip, here, self.tools)
            maps = start_noise_maps(self.tools.generator, len(targets)) if self.settings.noise else None
            parts.append(self.start(targets, noise=maps))
            noise += [] if maps is None else [pack_noise_maps(maps)]
        noise_TP = torch.cat(noise) if noise else None
        return latent_clip(clip, torch.cat(parts), self.tools, noise_TP=noise_TP)
