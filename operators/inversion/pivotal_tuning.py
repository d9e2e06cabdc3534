"""Pivotal tuning: a generator is changed until it draws one clip's frames from the latents that they have.

Latents near the mean can be edited and do not show the face exactly; here they stay where they are, the pivots, and the
weights of the synthesis network give way instead.
Sources: Roich et al. 2021, arXiv:2106.05744 (PTI); for all frames of a clip at once Tzaban et al. 2022,
arXiv:2201.08361 (STIT).

N pictures of a batch, T frames of the clip, L style layers, D style width, R side in pixels, P noise pixels.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.inversion.encoder_file import weights_hash
from operators.inversion.frame_loss import FrameLoss
from operators.inversion.noise_maps import unpack_noise_maps
from operators.inversion.perceptual_weights import PYRAMID
from operators.stylegan.checkpoint import save_generator
from operators.stylegan.generator import Generator
from operators.stylegan.layers import NoiseMode
from operators.stylegan.training.packed_images import PackedImages, Shuffled
from operators.stylegan.training.pictures import write_grid
from operators.stylegan.training.reconstruction import psnr
from operators.training.run_folder import Checkpoint, Described, RunFolder, require_finite
from operators.training.settings import require_within
from operators.training.step_source import step_source
from schemas.config import LossSettings
from schemas.errors import WrongUse

GENERATOR_FILE, STRIP_FILE = "generator.safetensors", "strip.png"
_LOOKED_AT = 32  # frames, evenly over the clip, by which a run is judged: their mean PSNR is then known to 0.2 dB
_SHOWN = 8  # in the strip
_AT_ONCE = 4
_WARM_SHARE = 0.15  # of the steps in which the rate rises
_ELSEWHERE = 16  # random latents, at which the tuned generator should draw what it drew


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """All that changes the weights that come out, but for the clip and its generator."""

    # Published for a video: 350 steps of 4 frames at 3e-4 (Alaluf et al. 2022, arXiv:2201.13433), as PTI takes for one
    # picture, and 80 or more passes over the clip at 3e-5 (STIT), of networks twenty times as large. On 78 frames of
    # 128 px, 30.3 dB before: 350 steps at 2e-3 end at 31.1, 1000 at 1e-3 at 31.6 and at 2e-3 at 31.9.
    steps: int = 1000
    batch: int = 4
    learning_rate: float = 2e-3  # of Adam; it rises for the first steps, and falls to 0 to the last
    seed: int = 0
    perceptual: str = "auto"  # as inversion.loss.perceptual; PTI and STIT: lpips-alex
    pixel_weight: float = 1.0  # of the mean square, as PTI
    lpips_weight: float = 1.0  # where there is one, as PTI
    pyramid_weight: float = 0.05  # where there is none, as inversion.loss.pyramid_weight
    # PTI's locality regularisation: away from the pivots the generator is held to what it drew. Published with 0.1
    # against 1, and as off for one picture. Here it is on: a tuned clip is there to be edited, and where an edit leads
    # is away from the pivots. It costs half the time again.
    locality_weight: float = 0.1
    # How far away, as a share of the way to a random latent. PTI goes 30, and FFHQ's W+ codes are 51 apart in the mean.
    locality_reach: float = 0.6
    every: int = 25  # steps between checkpoints: what a kill costs

    def __post_init__(self) -> None:
        require_within(self, 1, 10**6, "steps", "batch", "every")
        require_within(self, 0, math.inf, "learning_rate", "seed", "pixel_weight", "lpips_weight", "pyramid_weight")
        require_within(self, 0, math.inf, "locality_weight")
        require_within(self, 0, 1, "locality_reach")
        self.loss()

    def loss(self) -> LossSettings:
        """Raises: WrongUse for a perceptual loss that there is not."""
        try:
            return LossSettings.model_validate(
                {
                    "perceptual": self.perceptual,
                    "pixel_weight": self.pixel_weight,
                    "lpips_weight": self.lpips_weight,
                    "pyramid_weight": self.pyramid_weight,
                }
            )
        except ValueError as err:
            raise WrongUse(
                f"setting perceptual = {self.perceptual}: there is no such loss; give auto, lpips-alex or pyramid"
            ) from err


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningRun:
    """One run: which generator is tuned on which frames, and where its files go."""

    generator: Generator
    frames: PackedImages  # the T crops, in the order of the pivots
    w_TLD: NDArray[np.float32]
    noise_TP: NDArray[np.float32] | None  # the frames' own noise maps, where the inversion made some
    settings: TuningSettings
    folder: Path
    what: Described  # dataset, track, ...: what else may not change between a kill and the resume
    device: str = "cpu"


def tune_generator(
    run: TuningRun, *, report: Callable[[dict[str, float]], None] = lambda row: None
) -> dict[str, object]:
    """Tunes to the last step and writes generator.safetensors and strip.png; goes on from the folder's checkpoint.

    A kill costs the steps since the last checkpoint; what the resumed run writes has the bits that the undisturbed one
    would have written. The mapping network, w_avg, and the noise with its strengths stay as they are.
    Gives: figures for the card, before and after, by name.
    Raises: WrongUse when the folder holds another run, for frames of another size than the generator's, and when the
    loss leaves the numbers.
    Not promised: equal bits on another device, with another number of threads, or on any GPU.
    """
    settings, device = run.settings, torch.device(run.device)
    _check(run)
    loss = FrameLoss(settings.loss(), resolution=run.generator.resolution, device=run.device)
    files = RunFolder(run.folder, _described(run, loss.name))
    done = files.load()
    original = run.generator.freeze().to(device)
    tuned = copy.deepcopy(original).unfreeze()
    learns = _learning(tuned)
    adam = torch.optim.Adam(learns, lr=settings.learning_rate)
    if done.step:
        tuned.synthesis.load_state_dict(done.state["synthesis"])
        adam.load_state_dict(done.state["adam"])
    clip, order = _Clip(run, device), Shuffled(len(run.frames), seed=settings.seed)
    curve, sums = list(done.curve), dict.fromkeys(("loss", "locality", "psnr"), torch.zeros((), device=device))
    for step in range(done.step, settings.steps):
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings.steps)
        losses = _losses(clip, order(step, batch=settings.batch, rank=0, ranks=1), original, tuned, loss, step)
        adam.zero_grad()
        (losses["loss"] + losses["locality"]).backward()  # type: ignore[no-untyped-call]
        adam.step()
        sums = {name: total + losses[name].detach() for name, total in sums.items()}
        if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
            row = {name: float(total) / (step % settings.every + 1) for name, total in sums.items()}
            sums = {name: torch.zeros_like(total) for name, total in sums.items()}
            require_finite(row, run.folder)
            curve.append({"step": step + 1.0} | row)
            state = {"synthesis": tuned.synthesis.state_dict(), "adam": adam.state_dict()}
            files.save(Checkpoint(step=step + 1, state=state, curve=curve))
            report(curve[-1])
    tuned = tuned.freeze()
    _draw_strip(clip, original, tuned, run.folder / STRIP_FILE)
    figures: dict[str, object] = {"perceptual loss": _in_words(loss.name), **_judged(clip, original, tuned, loss)}
    save_generator(tuned.cpu(), str(run.folder / GENERATOR_FILE))
    return figures


class _Clip:
    """Frames, their latents and their noise, by index; crops stay on the disk."""

    def __init__(self, run: TuningRun, device: torch.device) -> None:
        self.run, self.device = run, device

    def __len__(self) -> int:
        return len(self.run.frames)

    def pictures(self, index_N: NDArray[np.int64]) -> Tensor:
        """(N, 3, R, R) in [-1, 1]."""
        return self.run.frames.batch(index_N, self.device)

    def drawn(self, generator: Generator, index_N: NDArray[np.int64]) -> Tensor:
        """(N, 3, R, R): what a generator makes of their latents."""
        noise: NoiseMode | list[Tensor] = "const"
        if self.run.noise_TP is not None:
            noise = unpack_noise_maps(generator, torch.from_numpy(self.run.noise_TP[index_N]).to(self.device))
        pictures: Tensor = generator.synthesis(self.pivots(index_N), noise=noise)
        return pictures

    def pivots(self, index_N: NDArray[np.int64]) -> Tensor:
        """(N, L, D)."""
        return torch.from_numpy(self.run.w_TLD[index_N]).to(self.device)

    def evenly(self, n: int) -> NDArray[np.int64]:
        """n of all frames, or all where there are fewer, first and last among them."""
        return np.unique(np.linspace(0, len(self) - 1, n).round().astype(np.int64))


def _check(run: TuningRun) -> None:
    sizes = (len(run.w_TLD), *run.w_TLD.shape[1:])
    if sizes != (len(run.frames), run.generator.num_ws, run.generator.w_dim):
        raise WrongUse(
            f"{run.frames.what}: latents of shape {run.w_TLD.shape} for {len(run.frames)} frames and a generator of "
            f"{run.generator.num_ws} styles of {run.generator.w_dim}; give the generator that they were made with"
        )
    if run.frames.resolution != run.generator.resolution:
        raise WrongUse(
            f"{run.frames.what}: {run.frames.resolution} px, the generator draws {run.generator.resolution} px; give "
            "crops of that size"
        )


def _described(run: TuningRun, perceptual: str) -> Described:
    return {
        **asdict(run.settings),
        **run.what,
        "perceptual": perceptual,
        "generator": weights_hash(run.generator),
        "frames": run.frames.digest(),
    }


def _learning(tuned: Generator) -> list[Tensor]:
    """The synthesis network's weights. Noise keeps its strength: else it would learn to be the clip's grain."""
    tuned.mapping.requires_grad_(False)
    for conv in tuned.synthesis.convs:
        conv.noise_strength.requires_grad_(False)
    return [parameter for parameter in tuned.synthesis.parameters() if parameter.requires_grad]


def _losses(
    clip: _Clip, index_N: NDArray[np.int64], original: Generator, tuned: Generator, loss: FrameLoss, step: int
) -> dict[str, Tensor]:
    settings = clip.run.settings
    wanted = clip.pictures(index_N)
    drawn = clip.drawn(tuned, index_N)
    found = {"loss": loss(drawn, loss.targets(wanted)).mean(), "psnr": psnr(drawn.detach(), wanted)}
    found["locality"] = torch.zeros((), device=clip.device)
    if settings.locality_weight > 0:
        source = step_source("locality", settings.seed, step)
        z_NZ = torch.randn(1, original.z_dim, generator=source).to(clip.device)  # one a step, as PTI
        with torch.no_grad():
            pivot = clip.pivots(index_N[:1])
            near = pivot.lerp(original.mapping(z_NZ), settings.locality_reach)
            before = original.synthesis(near)
        after = tuned.synthesis(near)
        found["locality"] = settings.locality_weight * loss(after, loss.targets(before)).mean()
    return found


def _rate(step: int, steps: int) -> float:
    """Of the learning rate. Adam's first steps are as large for every weight as its rate, whatever the slopes: at full
    rate they take a generator that is nearly right from 30 to 25 dB.
    """
    return min(1.0, (step + 1) / max(1, _WARM_SHARE * steps)) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


@torch.no_grad()
def _judged(clip: _Clip, original: Generator, tuned: Generator, loss: FrameLoss) -> dict[str, object]:
    """On frames evenly over the clip, and at random latents, where nothing should have changed."""
    sums: dict[str, list[float]] = {}
    for index_N in _parts(clip.evenly(_LOOKED_AT)):
        wanted = clip.pictures(index_N)
        targets = loss.targets(wanted)
        for name, generator in (("before", original), ("after", tuned)):
            drawn = clip.drawn(generator, index_N)
            sums.setdefault(f"PSNR {name}, dB", []).extend([float(psnr(drawn, wanted))] * len(index_N))
            sums.setdefault(f"loss {name}", []).extend(loss(drawn, targets).tolist())
    z_NZ = torch.randn(_ELSEWHERE, original.z_dim, generator=step_source("elsewhere", 0, 0)).to(clip.device)
    w_NLD = original.mapping(z_NZ, truncation_psi=0.7)
    for w in torch.split(w_NLD, _AT_ONCE):
        same = psnr(tuned.synthesis(w), original.synthesis(w).clamp(-1, 1))
        sums.setdefault("pictures elsewhere, against those before, dB", []).append(float(same))
    return {name: f"{np.mean(values):.4g}" for name, values in sums.items()}


@torch.no_grad()
def _draw_strip(clip: _Clip, original: Generator, tuned: Generator, path: Path) -> None:
    """Three rows: the frames, what the generator drew, what it draws now."""
    index_N = clip.evenly(_SHOWN)
    rows = [
        torch.cat([clip.pictures(part) for part in _parts(index_N)]),
        *(torch.cat([clip.drawn(g, part) for part in _parts(index_N)]) for g in (original, tuned)),
    ]
    write_grid(torch.cat(rows), path, columns=len(index_N))


def _parts(index_N: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for at in range(0, len(index_N), _AT_ONCE):
        yield index_N[at : at + _AT_ONCE]


def _in_words(name: str) -> str:
    return f"{name}, which is not LPIPS" if name == PYRAMID else name
