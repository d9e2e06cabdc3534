"""Invert a track along time: each frame starts from the latent of the frame before and pays for moving away from it.

B lanes, L style layers, D style width, R crop side in pixels.
Source: the idea of a latent-distance loss, Reyes, "Linear Storytelling"; no code or number of it is public.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.inversion.first_start import FirstStart
from operators.inversion.follow_frames import FollowFrames
from operators.inversion.frame_loss import Targets
from operators.inversion.latent_clip import clip_targets, latent_clip, require_resolution, target_pictures
from operators.inversion.tools import InversionTools
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings


@dataclass(kw_only=True, eq=False)
class _Track:
    """One clip on its way."""

    path: list[Tensor]  # (L, D) of the frames that are done
    frames: Iterator[Targets]  # those that are still to come
    n_frames: int


class SequentialInverter:
    """Faces as they come: one frame of each of B tracks in, their latents out. What a live camera needs.

    Takes: the number of tracks, which is fixed.
    Gives: for each call at most `next_steps` evaluations of the generator, and `first_steps` more where a track begins:
    that bounds the time of a frame. Bits of a track that do not depend on the other tracks.
    Not promised: finite latents for pictures that give none: they stay where they were, and the value says infinity.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, *, tracks: int = 1) -> None:
        self.tools, self.tracks = tools, tracks
        self.start = FirstStart(tools, settings, lanes=tracks)
        self.follow = FollowFrames(tools, settings, lanes=tracks)
        self._begun = [False] * tracks

    def step(
        self,
        crops_BRRC: NDArray[np.uint8],
        *,
        landmarks_B682: NDArray[np.float32] | None = None,
        begins_B: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """The next frame of every track, (B, R, R, 3) uint8 RGB -> (B, L, D).

        Takes: `landmarks_B682` in crop pixels, where the loss asks for them; `begins_B`: tracks whose row another face
        has taken since the last call, as after a cut. Every track begins at the first call.
        Raises: ValueError for crops of another number or size.
        """
        resolution = self.tools.generator.resolution
        expected = (self.tracks, resolution, resolution, 3)
        if crops_BRRC.shape != expected:
            raise ValueError(f"crops {crops_BRRC.shape}; give {expected}: one frame of each track, as the generator's")
        targets = self.tools.loss.targets(target_pictures(crops_BRRC, self.tools.device), landmarks_B682)
        begins = [not begun for begun in self._begun]
        if begins_B is not None:
            begins = [a or bool(b) for a, b in zip(begins, begins_B, strict=True)]
        if any(begins):
            w_BLD = self.start(targets)  # of all rows: a batch of another size would have other bits
        for lane, is_first in enumerate(begins):
            if is_first:
                self.follow.begin(lane, w_BLD[lane])
            else:
                self.follow.load(lane, targets, row=lane)
        self._begun = [True] * self.tracks
        while any(self.follow.busy):
            self.follow.advance()
        found: NDArray[np.float32] = self.follow.w_BLD.cpu().numpy().copy()
        return found


class InvertSequential:
    """TrackClips -> LatentClips, each lane at its own pace: a track whose frame is done goes on to its next one.

    Takes: crops at the generator's resolution; the number of `lanes`, rows of every batch, empty or not.
    Gives: latents in the order of `clips`, with bits that depend on the clip alone: not on its company.
    Raises: ValueError when crops have another size; BadInput when a frame has no finite latent: then no clip of the
    call is returned, so give clips one by one where one bad clip must not cost the others.
    Not promised: equal bits for another number of `lanes`, or on another device.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, *, lanes: int = 1) -> None:
        self.tools, self.lanes = tools, lanes
        self.start = FirstStart(tools, settings, lanes=lanes)
        self.follow = FollowFrames(tools, settings, lanes=lanes)

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]:
        require_resolution(clips, self.tools.generator)
        tracks = self._begun(clips)
        waiting = sorted(tracks, key=lambda track: -track.n_frames)  # the longest must not begin last
        lanes: list[_Track | None] = [None] * self.lanes
        while True:
            for lane, track in enumerate(lanes):
                if not self.follow.busy[lane]:
                    lanes[lane] = self._go_on(lane, track, waiting)
            if not any(self.follow.busy):
                break
            self.follow.advance()
        paths = [torch.stack(track.path) for track in tracks]
        return [latent_clip(clip, w_TLD, self.tools) for clip, w_TLD in zip(clips, paths, strict=True)]

    def _begun(self, clips: Sequence[TrackClip]) -> list[_Track]:
        """First frames have no frame before, so all of them can be found together."""
        if not clips:
            return []
        firsts = [next(self._targets(clip, first=0)) for clip in clips]
        w_NLD = self.start(Targets.stack(firsts))
        return [
            _Track(path=[w_LD], frames=self._targets(clip, first=1), n_frames=clip.track.n_frames)
            for clip, w_LD in zip(clips, w_NLD, strict=True)
        ]

    def _go_on(self, lane: int, track: _Track | None, waiting: list[_Track]) -> _Track | None:
        """Keeps the frame that is done; then the track's next frame, or the next track's second one."""
        if track is not None:
            track.path.append(self.follow.w_BLD[lane].clone())
        while True:
            targets = None if track is None else next(track.frames, None)
            if targets is not None:
                self.follow.load(lane, targets)
                return track
            if not waiting:
                return None
            track = waiting.pop(0)
            self.follow.begin(lane, track.path[0])

    def _targets(self, clip: TrackClip, *, first: int) -> Iterator[Targets]:
        """Frame by frame, so that memory does not follow the clip's length."""
        for t in range(first, clip.track.n_frames):
            yield clip_targets(clip, slice(t, t + 1), self.tools)
