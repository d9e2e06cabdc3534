"""Invert all frames of a track together: the latent moves in straight lines between few knots.

K knots, T frames, P probed frames, L style layers, D style width.
Source: the idea of a scene whose latents lie on a line, Reyes, "Linear Storytelling"; no code or number of it is
public. How knots are placed, and everything else here, is ours.

1. The middle frame is inverted alone. A path of two knots, first and last frame, starts there.
2. The latents at the knots go downhill together, on frames drawn anew every few dozen evaluations.
3. Probes: some frames of each segment leave the path and go downhill alone, as far as they get in a few steps. Where
   they gain more than the budget, the segment gets a knot, at the frame where lines through the probes' own latents
   bend best, and 2 again. It stays if it pays, against a path without it that went on for as long.
4. Knots settle on what the probes now know, and those that are not missed are taken out again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.inversion.first_start import FirstStart
from operators.inversion.knots import (
    inner_products,
    pieces,
    settled,
    spread_frames,
    with_splits,
    without_the_least,
)
from operators.inversion.latent_clip import latent_clip, require_resolution
from operators.inversion.off_the_path import off_the_path
from operators.inversion.scene_descent import KnotPath, PathDescent
from operators.inversion.scene_path import ScenePath
from operators.inversion.tools import InversionTools
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings, SceneSettings

_UNSEEN = 0.5  # mean squared error of 0.7 grey levels, 51 dB: rounding to whole ones alone leaves 59


class InvertScene:
    """TrackClips -> LatentClips whose latents lie on a path of straight pieces, by time and not by frame number.

    With `scene.residual`, frames between the knots also leave it by a small step of their own.

    Takes: crops at the generator's resolution.
    Gives: bits of w that depend on the clip alone (its frames, times and key) and on the seed.
    Raises: ValueError when the crops have another size; BadInput when a frame has no finite latent.
    Not promised: a path that goes on over the seam of two parts of a long track: each part is a scene of its own, that
    begins with its warm-up frames. The latents jump at the seam by what two inversions of one picture differ.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, scene: SceneSettings) -> None:
        self.tools, self.scene = tools, scene
        self.start = FirstStart(tools, settings, lanes=1)

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]:
        require_resolution(clips, self.tools.generator)
        return [self._invert(clip) for clip in clips]

    def _invert(self, clip: TrackClip) -> LatentClip:
        path, pts_us = self.fit(clip), clip.track.pts_us
        w_TLD = torch.from_numpy(path.at(pts_us)).to(self.tools.device)
        knot_T = np.isin(pts_us, path.pts_us)
        if self.scene.residual:  # none at the knots: their rows are the path, for whoever samples it at other times
            off = np.flatnonzero(~knot_T)
            w_TLD[off] = off_the_path(
                self.tools,
                clip,
                off,
                w_TLD[off],
                weight=self.scene.residual_weight,
                evaluations=self.scene.residual_evaluations,
            )
        return latent_clip(clip, w_TLD, self.tools, knot_T=knot_T)

    def fit(self, clip: TrackClip) -> ScenePath:
        """The path alone. Takes, Gives, Raises: as the call, but latents that are not finite are given back."""
        search = _KnotSearch(self, clip)
        path = search.first_path()
        while True:
            probes, path = search.probe(path)
            more = search.with_knots_that_pay(probes, path)
            has_grown = len(more.knots) > len(path.knots)
            path = more
            if not has_grown:
                break
        path = search.settle(search.without_needless(path))
        path = search.descent.descend(path, self.scene.evaluations, plateau=self.scene.plateau, on_all=True)
        rounded: NDArray[np.float32] = path.w_KLD.half().float().cpu().numpy()
        return ScenePath(pts_us=clip.track.pts_us[path.knots], w_KLD=rounded)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Probes:
    """Frames that left the path, and how good they are there."""

    frames: NDArray[np.intp]  # (P,)
    w_PLD: Tensor
    error_P: NDArray[np.float64]  # mean squared error in grey levels
    gram_PP: NDArray[np.float64]


class _KnotSearch:
    """Where one clip's path bends."""

    def __init__(self, method: InvertScene, clip: TrackClip) -> None:
        self.settings, self.start = method.scene, method.start
        self.pts_us, self.frames_min = clip.track.pts_us, method.scene.frames_min
        self.descent = PathDescent(
            method.tools,
            clip,
            frames_per_segment=method.scene.frames_per_segment,
            evaluations_per_draw=method.scene.evaluations_per_draw,
        )

    def first_path(self) -> KnotPath:
        """Everywhere the middle frame, found alone, moved by what an encoder sees move, if there is one; then downhill.

        From one latent, not one per knot: descents that begin apart end in unlike latents of like pictures, and what
        lies on the line between them is no such picture.
        """
        n = self.descent.n_frames
        knots = [0, n - 1] if n > 1 else [0]
        middle = self.descent.targets(np.array([n // 2]))
        seen_KLD = self.start.guess(self.descent.targets(np.array(knots)))
        w_KLD = self.start(middle) + seen_KLD - self.start.guess(middle)
        return self.on(KnotPath(knots=knots, w_KLD=w_KLD))

    def on(self, path: KnotPath) -> KnotPath:
        """Downhill until little more is gained: before, a knot seems to pay because any freedom hastens the descent."""
        settings = self.settings
        return self.descent.descend(path, settings.round_evaluations, plateau=settings.round_plateau)

    def probe(self, path: KnotPath) -> tuple[_Probes, KnotPath]:
        """Frames that go on alone from the path; and the path through where they got, if that one is better.

        Steps off the path also go along it. Without the second path, what all frames gained together would count
        against the straight pieces, and a path that is merely unfinished would be tried with knots.
        """
        ends = zip(path.knots, [*path.knots[1:], path.knots[-1]], strict=True)
        frames = np.unique(np.concatenate([spread_frames(a, b, self.settings.probes_per_segment) for a, b in ends]))
        w_PLD = self.descent.alone(frames, path, self.settings.probe_evaluations)
        probes = _Probes(
            frames=frames,
            w_PLD=w_PLD,
            error_P=self.descent.errors(w_PLD, frames),
            gram_PP=inner_products(w_PLD.flatten(1).cpu().numpy()),
        )
        through = self.descent.near(w_PLD, frames, path, path.knots)
        return probes, self._better(through, path, frames)

    def with_knots_that_pay(self, probes: _Probes, path: KnotPath) -> KnotPath:
        """More knots where segments are over budget and knots pay; no more, where there are none.

        A frame alone fits noise as well, which no knots can. So a knot stays only if it takes more than the budget off
        the error of a path that has to hold for many frames. Where no segment gains from one, three are tried: a
        blink begins, peaks and ends, and a single bend gains nothing there.
        """
        here = pieces(probes.frames, path.knots)
        excess = _excess(
            self.descent.path_errors(path, probes.frames), probes.error_P, here, allowed_db=self.settings.budget_db
        )
        over = _worst_apart(excess)
        if not over:
            return path
        same = self.on(path)
        for n_new in (1, 3):
            knots = with_splits(
                probes.gram_PP,
                probes.frames,
                self.pts_us,
                path.knots,
                over,
                n_new=n_new,
                frames_min=self.frames_min,
            )
            if knots == path.knots:
                break
            more = self.on(self.descent.near(probes.w_PLD, probes.frames, path, knots))
            gain = self._cost_of(same, more, path.knots)
            vain = [(path.knots[i], path.knots[i + 1]) for i in over if not gain[i] > 0]
            if len(vain) == len(over):
                continue
            paying = [knot for knot in knots if not any(first < knot < last for first, last in vain)]
            return more if paying == knots else self.on(self._moved(more, paying, probes.frames))
        return same

    def settle(self, path: KnotPath) -> KnotPath:
        """Knots move to where the probes of the grown path bend: the first probes came from a path far off."""
        if len(path.knots) <= 2:
            return path
        probes, path = self.probe(path)
        knots = settled(probes.gram_PP, probes.frames, self.pts_us, path.knots, frames_min=self.frames_min)
        if knots == path.knots:
            return path
        moved = self.descent.near(probes.w_PLD, probes.frames, path, knots)
        return self._better(self.on(moved), self.on(path), probes.frames)

    def without_needless(self, path: KnotPath) -> KnotPath:
        """Knots go, the least missed first, until one is missed: early ones may be in vain once later ones stand.

        Against the path with all of them, lest many small losses add up.
        """
        if len(path.knots) <= 2:
            return path
        frames = np.arange(self.descent.n_frames)
        best = standard = self.on(path)
        while len(best.knots) > 2:
            gram = inner_products(self.descent.latents(best, frames).flatten(1).cpu().numpy())
            knots = without_the_least(gram, frames, self.pts_us, best.knots)
            fewer = self.on(self._moved(path, knots, frames))
            if max(self._cost_of(fewer, standard, knots)) > 0:
                break
            best = path = fewer
        return best

    def _moved(self, path: KnotPath, knots: list[int], frames: NDArray[np.intp]) -> KnotPath:
        return self.descent.near(self.descent.latents(path, frames), frames, path, knots)

    def _better(self, a: KnotPath, b: KnotPath, frames: NDArray[np.intp]) -> KnotPath:
        error_a, error_b = (float(self.descent.path_errors(path, frames).mean()) for path in (a, b))
        return a if error_a < error_b else b

    def _cost_of(self, path: KnotPath, other: KnotPath, knots: list[int]) -> list[float]:
        """Between each two of the knots, by how much the path is worse than the other; above 0: a knot is worth it.

        Judged by frames that neither has seen, for a knot helps those that it was fitted to even where all is noise.
        """
        frames = self.descent.judged()
        error_P, standard_P = (self.descent.path_errors(each, frames) for each in (path, other))
        return _excess(error_P, standard_P, pieces(frames, knots), allowed_db=self.settings.knot_db)


def _excess(
    error_P: NDArray[np.float64],
    standard_P: NDArray[np.float64],
    segments: list[NDArray[np.intp]],
    *,
    allowed_db: float,
) -> list[float]:
    """Per segment, by how much its worst three neighbours together are worse than the standard allows.

    Three: a single frame may be blurred or covered, and the mean over all would hide a blink.
    """
    excess_P = error_P - standard_P * 10 ** (allowed_db / 10) - _UNSEEN
    return [
        float(np.convolve(excess_P[here], np.full(min(3, len(here)), 1 / 3), mode="valid").max()) if len(here) else 0.0
        for here in segments
    ]


def _worst_apart(excess: list[float]) -> list[int]:
    """Segments over budget of which no two are neighbours, the worst first: a corner strains both its neighbours."""
    chosen: list[int] = []
    for i in sorted(range(len(excess)), key=lambda i: -excess[i]):
        if excess[i] > 0 and not {i - 1, i + 1} & set(chosen):
            chosen.append(i)
    return sorted(chosen)
