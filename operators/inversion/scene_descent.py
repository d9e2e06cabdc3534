"""The latents at a path's knots go downhill together, on frames of one clip; and frames of it leave the path alone.

K knots, N frames of one batch, L style layers, D style width, R side in pixels.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.inversion.frame_loss import Targets
from operators.inversion.knots import fitted_knots, hat_weights
from operators.inversion.latent_clip import clip_targets, target_pictures
from operators.inversion.lbfgs import Lbfgs
from operators.inversion.off_the_path import off_the_path
from operators.inversion.tools import InversionTools
from operators.stylegan.w_statistics import w_statistics
from schemas.clips import TrackClip

_FRAMES_PER_PASS = 8  # fixed: bits must not follow how much memory a worker has
_FIRST_MOVE = 0.05  # of the path, in spreads per coordinate, before L-BFGS has learnt anything
_HELD_OUT_EVERY, _HOLD_OUT_FROM = 3, 8  # frames
_GREY_LEVELS = 255.0 / 2  # per unit of the generator's pictures, which span [-1, 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class KnotPath:
    """A path on its way."""

    knots: list[int]  # (K,) frame numbers of the clip, rising, its first and last among them
    w_KLD: Tensor


class PathDescent:
    """One clip and its generator.

    Takes: `frames_per_segment` drawn at a time, and for how many evaluations of the path.
    Gives: bits that depend on the clip, the seed, and the order of the calls of `descend`.
    """

    def __init__(
        self,
        tools: InversionTools,
        clip: TrackClip,
        *,
        frames_per_segment: int,
        evaluations_per_draw: int,
    ) -> None:
        self.tools, self.clip = tools, clip
        self.pts_us, self.n_frames = clip.track.pts_us, clip.track.n_frames
        self.frames_per_segment, self.evaluations_per_draw = frames_per_segment, evaluations_per_draw
        self.spread = w_statistics(tools.generator).spread
        # Frames that only the last descent may look at: knots are judged by them, since a knot always helps the frames
        # that it was fitted to. Too few frames to hold any back: knots are judged by all.
        inner = np.arange(_HELD_OUT_EVERY - 1, self.n_frames - 1, _HELD_OUT_EVERY)
        self.held_out: NDArray[np.intp] = inner if self.n_frames >= _HOLD_OUT_FROM else inner[:0]
        # By the key, not by a count of calls: a clip draws the same frames whoever inverts it, and when.
        name = f"{tools.seed} {clip.track.key.video_id} {clip.track.key}"
        self.chance = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))

    def targets(self, frames: NDArray[np.intp]) -> Targets:
        return clip_targets(self.clip, frames, self.tools)

    def latents(self, path: KnotPath, frames: NDArray[np.intp]) -> Tensor:
        """(N, L, D) of the path at these frames."""
        return torch.einsum("nk,kld->nld", self._hats(frames, path.knots), path.w_KLD)

    def path_errors(self, path: KnotPath, frames: NDArray[np.intp]) -> NDArray[np.float64]:
        """(N,), as `errors`."""
        return self.errors(self.latents(path, frames), frames)

    def errors(self, w_NLD: Tensor, frames: NDArray[np.intp]) -> NDArray[np.float64]:
        """(N,) mean squared error of these latents' pictures, in grey levels."""
        found = []
        for first in range(0, len(frames), _FRAMES_PER_PASS):
            here = slice(first, first + _FRAMES_PER_PASS)
            with torch.no_grad():
                x = self.tools.generator.synthesis(w_NLD[here]).clamp(-1, 1)
            found.append(
                ((x - target_pictures(self.clip.crops_TRRC[frames[here]], self.tools.device)) * _GREY_LEVELS)
                .square()
                .mean(dim=(1, 2, 3))
            )
        errors: NDArray[np.float64] = torch.cat(found).double().cpu().numpy()
        return errors

    def alone(self, frames: NDArray[np.intp], path: KnotPath, evaluations: int) -> Tensor:
        """(N, L, D): each of the frames leaves the path and goes on by itself.

        By L-BFGS, whose moves are as long as slopes say. Those of Adam are as long where nothing is to be gained; after
        three times the evaluations their noise put one corner of two a frame off, and these put none.
        """
        start_NLD = self.latents(path, frames)
        return off_the_path(self.tools, self.clip, frames, start_NLD, weight=0.0, evaluations=evaluations)

    def near(self, points_NLD: Tensor, frames: NDArray[np.intp], path: KnotPath, knots: list[int]) -> KnotPath:
        """The path with these knots that comes nearest to the points; near a knot where none stands, `path`."""
        same = KnotPath(knots=knots, w_KLD=self.latents(path, np.asarray(knots)))
        offsets = points_NLD - self.latents(same, frames)
        moved = fitted_knots(offsets.flatten(1).cpu().numpy(), self.pts_us[frames], self.pts_us[knots])
        return KnotPath(knots=knots, w_KLD=same.w_KLD + torch.from_numpy(moved).to(same.w_KLD).view_as(same.w_KLD))

    def descend(self, path: KnotPath, evaluations: int, *, plateau: float, on_all: bool = False) -> KnotPath:
        """All knots together, by L-BFGS (Liu and Nocedal 1989, doi:10.1007/BF01589116).

        Takes: `evaluations` at most; `plateau`: it is over when a draw has taken less than this share off the error.

        Frames are a fixed few while L-BFGS learns their curvature, and others afterwards: single steps on fresh
        frames, as Adam takes them, need about twice as many pictures for the same PSNR on all frames.
        """
        knots, shape = path.knots, path.w_KLD.shape
        drawn = self._drawn(knots, on_all)
        rows = Lbfgs(
            lambda x_1K: self._evaluate(x_1K.reshape(shape), drawn),
            path.w_KLD.reshape(1, -1),
            first_move=_FIRST_MOVE * self.spread,
        )
        this = torch.ones(1, dtype=torch.bool, device=self.tools.device)
        looked_at = self.judged()
        error = np.inf
        for step in range(evaluations):
            if step and step % self.evaluations_per_draw == 0:
                here = KnotPath(knots=knots, w_KLD=rows.x_BK.reshape(shape))
                last, error = error, self.path_errors(here, looked_at).mean()
                if error > (1 - plateau) * last:
                    break
                drawn = self._drawn(knots, on_all)
                rows.restart(this, rows.x_BK)
            rows.step()
        return KnotPath(knots=knots, w_KLD=rows.x_BK.reshape(shape))

    def judged(self) -> NDArray[np.intp]:
        """The frames by which paths are compared."""
        return self.held_out if len(self.held_out) else np.arange(self.n_frames)

    def draw(self, knots: list[int], *, on_all: bool) -> NDArray[np.intp]:
        """Frames by chance, one from each equal stretch of the clip, and always the knots: ends that nobody looks at
        are extrapolated, and were 5 dB worse than the rest.
        """
        frames = np.arange(self.n_frames)
        if not on_all:
            frames = np.setdiff1d(frames, self.held_out)
        n = self.frames_per_segment * max(1, len(knots) - 1)
        if n < len(frames):
            frames = frames[((np.arange(n) + self.chance.random(n)) * len(frames) / n).astype(np.intp)]
        return np.union1d(frames, np.asarray(knots, dtype=np.intp))

    def _hats(self, frames: NDArray[np.intp], knots: list[int]) -> Tensor:
        weights_NK = hat_weights(self.pts_us[frames], self.pts_us[knots])
        return torch.from_numpy(weights_NK).float().to(self.tools.device)

    def _drawn(self, knots: list[int], on_all: bool) -> list[tuple[Tensor, Targets]]:
        """Frames pass by pass, so that memory does not grow with their number: how much of each knot, and the goal."""
        frames = self.draw(knots, on_all=on_all)
        batches = [frames[i : i + _FRAMES_PER_PASS] for i in range(0, len(frames), _FRAMES_PER_PASS)]
        return [(self._hats(batch, knots), self.targets(batch)) for batch in batches]

    def _evaluate(self, w_KLD: Tensor, drawn: list[tuple[Tensor, Targets]]) -> tuple[Tensor, Tensor]:
        """One row for L-BFGS: the sum over the frames, and its slopes at the knots."""
        value, slope_KLD = w_KLD.new_zeros(()), torch.zeros_like(w_KLD)
        for hats_NK, targets in drawn:
            loss_N, slope_NLD = self.tools.evaluate(torch.einsum("nk,kld->nld", hats_NK, w_KLD), targets)
            slope_KLD += torch.einsum("nk,nld->kld", hats_NK, slope_NLD)
            value += loss_N.sum()
        return value.reshape(1), slope_KLD.reshape(1, -1)
