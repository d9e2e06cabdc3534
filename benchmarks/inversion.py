"""Ours against the projectors that people use: quality, steadiness, evaluations of the generator, time. One process.

    OMP_NUM_THREADS=1 python -m benchmarks.inversion [methods] [scene] [cut] [known] [speed] [--first 20] [--frames 16]

methods: the same frames of two held-out puppet tracks, by R1 to R3 (reference_projectors.py) and by ours; an evaluation
is one picture made and its slope taken. Acceleration is that of the whitened latents (prior.py), in units per second
squared; flicker is mean |dG - dI| over mean |dI|; both without the first frame. The first frames of a shot hardly move,
so that rounding to 8 bits is most of dI: frames from the middle are taken, where heads turn and mouths open.
scene: frames held out of the optimisation, against R2 on those very frames. cut: two shots one after the other. known:
latents that exist, compared in style space, where 1 is as wrong as the mean latent; pictures also through JPEG.
speed: frames per second of a track at 128 and 256 px.
All together take about an hour on one core; most of it is R1 and R2.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.known_walks import knots_against, pictures_of, through_jpeg, walks
from benchmarks.machine import describe_machine
from benchmarks.puppet_clips import crops_clip, frames_of, movie_clips
from benchmarks.reference_projectors import R1, R2, R3, Projector, project
from operators.inversion.encoder_header import encoder_of
from operators.inversion.frame_loss import FrameLoss, Targets
from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_scene import InvertScene
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.inverter import Inverter
from operators.inversion.latent_clip import clip_targets, latent_clip
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.style_space import StyleSpace
from schemas.clips import LatentClip, TrackClip, ratio_of_sums
from schemas.config import InversionSettings, LossSettings, SceneSettings

SEED = 990_010  # of puppets that nothing was trained or tuned on
METHODS = ("naive", "sequential", "scene")


class CountingLoss(FrameLoss):
    """Counts the pictures it is shown: each was made by one evaluation of the generator."""

    evaluations = 0

    def __call__(self, x_N3RR: Tensor, targets: Targets) -> Tensor:
        self.evaluations += len(x_N3RR)
        return super().__call__(x_N3RR, targets)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every part works with."""

    name: str
    first: int
    n_frames: int

    @cached_property
    def settings(self) -> InversionSettings:
        return InversionSettings(encoder=encoder_of(self.name, None))

    @cached_property
    def tools(self) -> InversionTools:
        plain = inversion_tools(load_generator(self.name), self.settings)
        return replace(plain, loss=CountingLoss(LossSettings(), resolution=plain.generator.resolution))

    @property
    def loss(self) -> CountingLoss:
        assert isinstance(self.tools.loss, CountingLoss)
        return self.tools.loss

    @cached_property
    def clips(self) -> list[TrackClip]:
        """The same frames of two tracks of puppets."""
        last = self.first + self.n_frames
        clips, _ = movie_clips(SEED, seconds=8.0, px=self.tools.generator.resolution)
        return [frames_of(clip, slice(self.first, last)) for clip in clips if clip.track.n_frames >= last][:2]

    def ours(self, method: str) -> Inverter:
        """One of our methods with its defaults."""
        if method == "scene":
            return InvertScene(self.tools, self.settings, SceneSettings())
        return (
            InvertNaive(self.tools, self.settings) if method == "naive" else InvertSequential(self.tools, self.settings)
        )

    def projected(self, projector: Projector, clip: TrackClip) -> LatentClip:
        """A reference, frame by frame."""
        found = []
        for t in range(clip.track.n_frames):
            targets = clip_targets(clip, slice(t, t + 1), self.tools)
            found.append(project(self.tools.generator, partial(self.loss, targets=targets), projector, seed=t))
        return latent_clip(clip, torch.cat(found), self.tools)

    def losses(self, clip: TrackClip, found: LatentClip) -> NDArray[np.float64]:
        """(T,) of the stored latents: the perceptual loss that all of them minimised."""
        values = []
        for t in range(clip.track.n_frames):
            targets = clip_targets(clip, slice(t, t + 1), self.tools)
            with torch.no_grad():
                x_13RR = self.tools.generator.synthesis(torch.from_numpy(found.w_TLD[t : t + 1]))
                values.append(float(self.loss(x_13RR, targets)))
        return np.array(values)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method over all clips."""

    name: str
    evaluations: float  # a frame
    seconds: float  # of one core, a frame
    psnr: NDArray[np.float32]
    loss: NDArray[np.float64]
    flicker: float
    acceleration: float
    mahalanobis: float


def methods(bench: Bench) -> None:
    """The table of the issue: references, then ours."""
    rows = []
    for projector in (R1, R2, R3):
        runs = [_timed(bench, partial(bench.projected, projector), clip) for clip in bench.clips]
        rows.append(_row(bench, projector.name, runs))
    for method in METHODS:
        invert = _one(bench.ours(method))
        runs = [_timed(bench, invert, clip) for clip in bench.clips]
        # Every frame costs alike, but for the sequential method: there the first one's cost is measured alone.
        heads = [frames_of(clip, slice(0, 1)) for clip in bench.clips] if method == "sequential" else []
        rows.append(_row(bench, f"ours, {method}", runs, heads=[_timed(bench, invert, head) for head in heads]))
    reference = rows[1]
    moved = np.concatenate(
        [np.abs(np.diff(clip.crops_TRRC / 1.0, axis=0)).mean(axis=(1, 2, 3)) for clip in bench.clips]
    )
    print(
        f"{len(bench.clips)} tracks, frames {bench.first} to {bench.first + bench.n_frames - 1}, "
        f"{bench.clips[0].crop_px} px, {bench.loss.name} loss; neighbours differ by {moved.mean():.1f} grey levels "
        f"({moved.min():.1f} to {moved.max():.1f})"
    )
    print(
        "| method | evaluations a frame | PSNR mean | PSNR worst | loss mean | loss worst | flicker | acceleration "
        "| Mahalanobis | s a frame | evaluations of R2 | time of R2 | acceleration of R2 |"
    )
    print(f"|{' --- |' * 13}")
    for row in rows:
        print(
            f"| {row.name} | {row.evaluations:.1f} | {row.psnr.mean():.2f} | {row.psnr.min():.2f} "
            f"| {row.loss.mean():.5f} | {row.loss.max():.5f} | {row.flicker:.2f} | {row.acceleration:.1f} "
            f"| {row.mahalanobis:.0f} | {row.seconds:.2f} | 1/{reference.evaluations / row.evaluations:.1f} "
            f"| 1/{reference.seconds / row.seconds:.1f} | 1/{reference.acceleration / row.acceleration:.1f} |",
            flush=True,
        )


def _row(
    bench: Bench,
    name: str,
    runs: list[tuple[LatentClip, float, int]],
    *,
    heads: Sequence[tuple[LatentClip, float, int]] = (),
) -> Row:
    """Takes: `heads`, the first frames alone, whose cost is then left out."""
    found = [latents for latents, _, _ in runs]
    n_frames = sum(latents.track.n_frames for latents in found) - len(heads)
    return Row(
        name=name,
        evaluations=(sum(n for _, _, n in runs) - sum(n for _, _, n in heads)) / n_frames,
        seconds=(sum(s for _, s, _ in runs) - sum(s for _, s, _ in heads)) / n_frames,
        psnr=np.concatenate([x.psnr for x in found]),
        loss=np.concatenate([bench.losses(clip, x) for clip, x in zip(bench.clips, found, strict=True)]),
        flicker=_over([x.change_error for x in found], [x.change for x in found]),
        acceleration=_over([x.motion.turn for x in found], [x.motion.turn_s for x in found]),
        mahalanobis=float(np.mean([bench.tools.prior.mahalanobis(torch.from_numpy(x.w_TLD)).mean() for x in found])),
    )


def _one(invert: Inverter) -> Callable[[TrackClip], LatentClip]:
    return lambda clip: invert([clip])[0]


def _over(above: list[NDArray[np.float32]], below: list[NDArray[np.float32]]) -> float:
    return ratio_of_sums(np.concatenate(above), np.concatenate(below)) or float("nan")


def _timed(bench: Bench, invert: Callable[[TrackClip], LatentClip], clip: TrackClip) -> tuple[LatentClip, float, int]:
    bench.loss.evaluations, start = 0, time.process_time()
    found = invert(clip)
    return found, time.process_time() - start, bench.loss.evaluations


def scene(bench: Bench) -> None:
    """Every third frame is held out; the path is sampled at its time."""
    fit = InvertScene(bench.tools, bench.settings, SceneSettings())
    print(
        "| track | latents | frames | evaluations a frame | PSNR of unseen frames | R2 on those frames | difference |"
    )
    print(f"|{' --- |' * 7}")
    for i, clip in enumerate(bench.clips):
        unseen = np.arange(1, bench.n_frames - 1, 3)
        seen = np.setdiff1d(np.arange(bench.n_frames), unseen)
        bench.loss.evaluations = 0
        path = fit.fit(frames_of(clip, seen))
        evaluations = bench.loss.evaluations / len(seen)
        held = frames_of(clip, unseen)
        ours = latent_clip(held, torch.from_numpy(path.at(held.track.pts_us)), bench.tools).psnr.mean()
        theirs = bench.projected(R2, held).psnr.mean()
        print(
            f"| {i} | {len(path.pts_us)} | {len(seen)} | {evaluations:.0f} | {ours:.2f} | {theirs:.2f} "
            f"| {ours - theirs:+.2f} |",
            flush=True,
        )


def cut(bench: Bench) -> None:
    """Two shots, one after the other: smoothing over the cut would show in the latents and in the pictures."""
    half = bench.n_frames // 2
    before, after = (frames_of(clip, slice(i * half, (i + 1) * half)) for i, clip in enumerate(bench.clips))
    invert = bench.ours("sequential")
    pair, (alone,) = invert([before, after]), invert([after])
    p_TLD = bench.tools.prior.whiten(torch.from_numpy(np.concatenate([found.w_TLD for found in pair])))
    steps = p_TLD.diff(dim=0).square().mean(dim=(1, 2)).sqrt().numpy()
    psnr = np.concatenate([found.psnr for found in pair])
    over, inside = float(steps[half - 1]), float(np.delete(steps, half - 1).max())
    apart = np.abs(pair[1].w_TLD - alone.w_TLD).max()
    print(
        f"two shots of {half} frames: latents move {over:.2f} over the cut, at most {inside:.2f} inside a shot; PSNR "
        f"before it {psnr[half - 1]:.2f}, after it {psnr[half]:.2f}, of all frames {psnr.mean():.2f}; latents after it "
        f"differ by {apart:g} from those of the shot alone"
    )


def known(bench: Bench) -> None:
    """Latents that exist."""
    generator, n_frames = bench.tools.generator, bench.n_frames
    space = StyleSpace(generator)
    print(
        "| latents | method | evaluations a frame | PSNR mean | worst | style error | knots | corners found | right |"
    )
    print(f"|{' --- |' * 9}")
    for name, walk in walks(generator, n_frames, seed=SEED).items():
        crops = pictures_of(generator, walk.w_TLD)
        if walk.through_jpeg:
            crops = np.stack([through_jpeg(crop) for crop in crops])
        ends = [0, n_frames] if walk.cut is None else [0, walk.cut, n_frames]
        shots = [frames_of(crops_clip(crops), slice(first, last)) for first, last in pairwise(ends)]
        for method in ("sequential", "scene"):
            bench.loss.evaluations = 0
            parts = bench.ours(method)(shots)
            evaluations = bench.loss.evaluations / n_frames
            psnr = np.concatenate([part.psnr for part in parts])
            error = float(
                space.error(torch.from_numpy(np.concatenate([part.w_TLD for part in parts])), walk.w_TLD).mean()
            )
            print(
                f"| {name} | {method} | {evaluations:.0f} | {psnr.mean():.1f} | {psnr.min():.1f} | {error:.2f} "
                f"| {knots_against(walk, parts)} |",
                flush=True,
            )


def speed(bench: Bench) -> None:
    """Frames per second of one core, first frame included; random weights at 256 px, as long as none are trained."""
    print("| generator | method | frames a second |")
    print("| --- | --- | --- |")
    for name in (bench.name, "random-256"):
        sized = replace(bench, name=name)
        for method in METHODS:
            invert = _one(sized.ours(method))
            _, spent_s, _ = _timed(sized, invert, sized.clips[0])
            print(f"| {name} | {method} | {bench.n_frames / spent_s:.2f} |", flush=True)


def main() -> None:
    """Print the tables that were asked for."""
    parts = {"methods": methods, "scene": scene, "cut": cut, "known": known, "speed": speed}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="All when none is named.")
    parser.add_argument("--generator", default="puppet-128")
    parser.add_argument("--first", type=int, default=20, help="Of the frames of each track.")
    parser.add_argument("--frames", type=int, default=16, help="Of each track.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(name=args.generator, first=args.first, n_frames=args.frames)
    print(describe_machine())
    for name in args.parts or parts:
        print()
        parts[name](bench)


if __name__ == "__main__":
    main()
