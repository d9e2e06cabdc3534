"""Invert a track along time: each frame starts from the latent of the frame before and pays for moving away from it.

B tracks, T frames, L style layers, D style width.
Source: the idea of a latent-distance loss, Reyes, "Linear Storytelling"; no code or number of it is public.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from operators.inversion.encoder import Encoder
from operators.inversion.first_start import FirstStart
from operators.inversion.fit_latents import fit_latents, from_a_neighbour
from operators.inversion.latent_clip import latent_clip, require_resolution, target_pictures
from operators.stylegan.generator import Generator
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings


class InvertSequential:
    """TrackClips -> LatentClips, all tracks in lock step: frame t of every track is one batch.

    Takes: crops at the generator's resolution. The generator is frozen and moved to `device`, and so is its encoder,
    which starts the first frame of each track.
    Gives: latents in the order of `clips`, with bits that depend on the clip alone: not on its company.
    Raises: ValueError when crops have another size; BadInput when a frame has no finite latent: then no clip of the
    call is returned, so give clips one by one where one bad clip must not cost the others.
    Not promised: equal bits for another number of `lanes`, or on another device.
    """

    def __init__(
        self,
        generator: Generator,
        settings: InversionSettings,
        *,
        encoder: Encoder | None = None,
        device: str = "cpu",
        lanes: int = 1,
    ) -> None:
        self.generator = generator.freeze().to(device)
        self.lanes = lanes  # rows of every batch, empty or not: 1 where clips come one by one
        self.device = device
        self.start = FirstStart(self.generator, settings, encoder=encoder)
        spread = self.start.spread
        self.next = from_a_neighbour(steps=settings.next_steps, learning_rate=settings.next_learning_rate * spread)
        self.pyramid_weight = settings.pyramid_weight
        self.distance_weight = settings.latent_weight / spread**2  # so that the price means the same in every generator

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]:
        require_resolution(clips, self.generator)
        order = sorted(range(len(clips)), key=lambda i: -clips[i].track.n_frames)  # who ends first stands last
        paths = self._paths([clips[i] for i in order])
        by_clip = dict(zip(order, paths, strict=True))
        return [latent_clip(clip, by_clip[i], self.generator) for i, clip in enumerate(clips)]

    def _paths(self, clips: list[TrackClip]) -> list[Tensor]:
        """(T, L, D) per clip; the clips are sorted, longest first."""
        lengths = [clip.track.n_frames for clip in clips]
        paths: list[list[Tensor]] = [[] for _ in clips]
        w_BLD = self.generator.mapping.w_avg.expand(0, self.generator.num_ws, -1)
        for t in range(max(lengths, default=0)):
            n_alive = sum(length > t for length in lengths)
            target = target_pictures(np.stack([clip.crops_TRRC[t] for clip in clips[:n_alive]]), self.device)
            w_BLD = fit_latents(
                self.generator,
                target,
                self.start(target) if t == 0 else w_BLD[:n_alive],
                self.start.descent if t == 0 else self.next,
                lanes=self.lanes,
                pyramid_weight=self.pyramid_weight,
                distance_weight=0.0 if t == 0 else self.distance_weight,
            )
            for path, w_LD in zip(paths, w_BLD, strict=False):
                path.append(w_LD)
        return [torch.stack(path) for path in paths]
