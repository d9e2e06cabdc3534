"""Ours against the projectors that people use: quality, steadiness, evaluations of the generator, time. One process.

    OMP_NUM_THREADS=1 python -m benchmarks.inversion [methods] [scene] [known] [speed] [--frames 12]

methods: the same frames of two held-out puppet tracks, by R1 to R3 (reference_projectors.py) and by ours; an evaluation
is one picture made and its slope taken. Acceleration is that of the whitened latents (prior.py), in units per second
squared; flicker is mean |dG - dI| over mean |dI|; both without the first frame. scene: frames held out of the
optimisation, against R2 on those very frames. known: latents that exist, compared in style space, where 1 is as wrong
as the mean latent; pictures also through JPEG. speed: frames per second of a whole track at 128 and 256 px.
All together take about an hour on one core; most of it is R1 and R2.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.known_walks import pictures_of, through_jpeg, walks
from benchmarks.machine import describe_machine
from benchmarks.puppet_clips import crops_clip, frames_of, movie_clips
from benchmarks.reference_projectors import R1, R2, R3, Projector, project
from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import encoder_of
from operators.inversion.frame_loss import FrameLoss, Targets
from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_scene import InvertScene
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.latent_clip import clip_targets, latent_clip
from operators.inversion.prior import LatentPrior, latent_prior
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Generator
from operators.stylegan.style_space import StyleSpace
from schemas.clips import LatentClip, TrackClip, ratio_of_sums
from schemas.config import InversionSettings, LossSettings

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

    generator: Generator
    name: str
    loss: CountingLoss
    prior: LatentPrior

    def ours(self, method: str, **changes: object) -> Callable[[TrackClip], LatentClip]:
        """One of our methods with its defaults."""
        settings = InversionSettings.model_validate({"method": method, **changes})
        path = encoder_of(self.name, settings.encoder)
        encoder = None if path is None else load_encoder(path, self.generator)
        kind = {"naive": InvertNaive, "sequential": InvertSequential, "scene": InvertScene}[method]
        inverter = kind(self.generator, settings, loss=self.loss, prior=self.prior, encoder=encoder)
        return lambda clip: inverter([clip])[0]

    def projected(self, projector: Projector) -> Callable[[TrackClip], LatentClip]:
        """A reference, frame by frame."""

        def invert(clip: TrackClip) -> LatentClip:
            found = []
            for t in range(clip.track.n_frames):
                targets = clip_targets(clip, slice(t, t + 1), self.tools)
                found.append(project(self.generator, partial(self.loss, targets=targets), projector, seed=t))
            return latent_clip(clip, torch.cat(found), self.generator, loss=self.loss, prior=self.prior)

        return invert

    def losses(self, clip: TrackClip, found: LatentClip) -> NDArray[np.float64]:
        """(T,) of the stored latents: the perceptual loss that all of them minimised."""
        values = []
        for t in range(clip.track.n_frames):
            targets = clip_targets(clip, slice(t, t + 1), self.loss, "cpu")
            with torch.no_grad():
                values.append(
                    float(self.loss(self.generator.synthesis(torch.from_numpy(found.w_TLD[t : t + 1])), targets))
                )
        return np.array(values)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method over all clips."""

    name: str
    later_evaluations: float  # per frame after a track's first
    psnr: NDArray[np.float32]
    loss: NDArray[np.float64]
    flicker: float | None
    acceleration: float | None
    seconds: float
    later_seconds: float


def methods(bench: Bench, n_frames: int) -> None:
    """The table of the issue: references, then ours."""
    clips = [frames_of(clip, slice(0, n_frames)) for clip in _tracks(n_frames)]
    ways = {projector.name: bench.projected(projector) for projector in (R1, R2, R3)}
    ways |= {f"ours, {method}": bench.ours(method) for method in METHODS}
    rows = [_row(bench, name, invert, clips) for name, invert in ways.items()]
    reference = next(row for row in rows if row.name == R2.name)
    print(f"{len(clips)} tracks of {n_frames} frames, {clips[0].crop_px} px, {bench.loss.name} loss")
    print(
        "| method | evaluations a frame | PSNR mean | PSNR worst | loss mean | loss worst | flicker | acceleration | s "
        "a frame | evaluations of R2 | time of R2 | acceleration of R2 |"
    )
    print(f"|{' --- |' * 12}")
    for row in rows:
        flicker = float("nan") if row.flicker is None else row.flicker
        acceleration = row.acceleration or float("nan")
        print(
            f"| {row.name} | {row.later_evaluations:.1f} | {row.psnr.mean():.2f} | {row.psnr.min():.2f} "
            f"| {row.loss.mean():.5f} | {row.loss.max():.5f} | {flicker:.2f} | {acceleration:.1f} "
            f"| {row.later_seconds:.2f} | 1/{reference.later_evaluations / row.later_evaluations:.1f} "
            f"| 1/{reference.later_seconds / row.later_seconds:.1f} "
            f"| 1/{(reference.acceleration or 0) / acceleration:.1f} |",
            flush=True,
        )


def _row(bench: Bench, name: str, invert: Callable[[TrackClip], LatentClip], clips: list[TrackClip]) -> Row:
    """Frames after the first cost what the track costs less what its first frame costs alone."""
    found, later_evaluations, later_s, n_later, total_s = [], 0, 0.0, 0, 0.0
    for clip in clips:
        whole, whole_s, whole_evaluations = _timed(bench, invert, clip)
        n = clip.track.n_frames
        if "sequential" in name:
            _, first_s, first_evaluations = _timed(bench, invert, frames_of(clip, slice(0, 1)))
            later_s += whole_s - first_s
            later_evaluations += whole_evaluations - first_evaluations
            n_later += n - 1
        else:  # every frame costs alike
            later_s += whole_s
            later_evaluations += whole_evaluations
            n_later += n
        total_s += whole_s
        found.append(whole)

    motions = [x.motion for x in found]
    return Row(
        name=name,
        later_evaluations=later_evaluations / n_later,
        psnr=np.concatenate([x.psnr for x in found]),
        loss=np.concatenate([bench.losses(clip, x) for clip, x in zip(clips, found, strict=True)]),
        flicker=_over([x.change_error for x in found], [x.change for x in found]),
        acceleration=_over([x.turn for x in motions], [x.turn_s for x in motions]),
        seconds=total_s,
        later_seconds=later_s / n_later,
    )


def _over(above: list[NDArray[np.float32]], below: list[NDArray[np.float32]]) -> float | None:
    return ratio_of_sums(np.concatenate(above), np.concatenate(below))


def _timed(bench: Bench, invert: Callable[[TrackClip], LatentClip], clip: TrackClip) -> tuple[LatentClip, float, int]:
    bench.loss.evaluations, start = 0, time.process_time()
    found = invert(clip)
    return found, time.process_time() - start, bench.loss.evaluations


def scene(bench: Bench, n_frames: int) -> None:
    """Every third frame is held out; the path is sampled at its time."""
    fit = InvertScene(bench.generator, InversionSettings(method="scene"), loss=bench.loss, prior=bench.prior)
    print("| track | latents | frames | PSNR of unseen frames | R2 on those frames | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for i, track in enumerate(_tracks(n_frames)):
        clip = frames_of(track, slice(0, n_frames))
        unseen = np.arange(1, n_frames - 1, 3)
        seen = np.setdiff1d(np.arange(n_frames), unseen)
        path = fit.fit(frames_of(clip, seen))
        held = frames_of(clip, unseen)
        w_TLD = torch.from_numpy(path.at(held.track.pts_us))
        ours = latent_clip(held, w_TLD, bench.generator, loss=bench.loss, prior=bench.prior).psnr.mean()
        theirs = bench.projected(R2)(held).psnr.mean()
        print(
            f"| {i} | {len(path.pts_us)} | {len(seen)} | {ours:.2f} | {theirs:.2f} | {ours - theirs:+.2f} |", flush=True
        )


def known(bench: Bench, n_frames: int) -> None:
    """Latents that exist: straight, bent, with a cut, curved, and the straight one through JPEG."""
    space = StyleSpace(bench.generator)
    w_TLD = walks(bench.generator, n_frames, seed=SEED)
    print("| latents | method | PSNR mean | PSNR worst | style error | knots | true knots | found | right |")
    print(f"|{' --- |' * 9}")
    for name, (true_TLD, cut, bends) in w_TLD.items():
        crops = pictures_of(bench.generator, true_TLD)
        if name.endswith("JPEG"):
            crops = np.stack([through_jpeg(crop) for crop in crops])
        pieces = [slice(0, n_frames)] if cut is None else [slice(0, cut), slice(cut, n_frames)]
        clip = crops_clip(crops)
        for method in ("sequential", "scene"):
            parts = [bench.ours(method)(frames_of(clip, piece)) for piece in pieces]
            found_TLD = torch.from_numpy(np.concatenate([part.w_TLD for part in parts]))
            psnr = np.concatenate([part.psnr for part in parts])
            error = float(space.error(found_TLD, true_TLD).mean())
            knots = ""
            if method == "scene":
                at = [piece.start + k for piece, part in zip(pieces, parts, strict=True) for k in _knots(part)]
                hit = sum(min((abs(k - b) for k in at), default=99) <= 1 for b in bends)
                right = sum(min(abs(k - b) for b in bends) <= 1 for k in at)
                knots = f"{len(at)} | {len(bends)} | {hit / len(bends):.0%} | {right / len(at):.0%}"
            else:
                knots = " | | | "
            print(f"| {name} | {method} | {psnr.mean():.1f} | {psnr.min():.1f} | {error:.2f} | {knots} |", flush=True)


def _knots(part: LatentClip) -> list[int]:
    return [] if part.knot_T is None else np.flatnonzero(part.knot_T).tolist()


def speed(n_frames: int) -> None:
    """Frames per second of one core, first frame included; random weights at 256 px, as long as none are trained."""
    print("| generator | method | frames a second |")
    print("| --- | --- | --- |")
    (clip, *_) = _tracks(n_frames)
    for name in ("puppet-128", "random-256"):
        bench = _bench(name)
        px = bench.generator.resolution
        crops = np.stack([np.asarray(Image.fromarray(c).resize((px, px))) for c in clip.crops_TRRC[:n_frames]])
        for method in METHODS:
            _, spent_s, _ = _timed(bench, bench.ours(method), crops_clip(crops))
            print(f"| {name} | {method} | {n_frames / spent_s:.2f} |", flush=True)


def _tracks(n_frames: int) -> list[TrackClip]:
    """Two tracks of at least so many frames, of different shots."""
    clips, _ = movie_clips(SEED, seconds=8.0, px=128)
    return [clip for clip in clips if clip.track.n_frames >= n_frames][:2]


def _bench(name: str) -> Bench:
    generator = load_generator(name)
    loss = CountingLoss(LossSettings(), resolution=generator.resolution)
    return Bench(generator=generator, name=name, loss=loss, prior=latent_prior(generator))


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="methods, scene, known, speed; all when none is named")
    parser.add_argument("--generator", default="puppet-128")
    parser.add_argument("--frames", type=int, default=12, help="Of each track.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = _bench(args.generator)
    parts: dict[str, Callable[[], None]] = {
        "methods": lambda: methods(bench, args.frames),
        "scene": lambda: scene(bench, args.frames),
        "known": lambda: known(bench, args.frames),
        "speed": lambda: speed(args.frames),
    }
    print(describe_machine())
    for name in args.parts or parts:
        print()
        parts[name]()


if __name__ == "__main__":
    main()
