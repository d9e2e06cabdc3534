"""Train an encoder on a generator's own samples, of which there is no end, and on pictures where there are some.

N pictures of a batch, R side in pixels, L style layers, D style width, Z noise width.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.inversion.encoder import Encoder, new_encoder
from operators.inversion.encoder_file import encoder_bytes, weights_hash
from operators.inversion.reconstruction_loss import reconstruction_loss
from operators.stylegan.generator import Generator
from operators.stylegan.training.objective import mixed
from operators.stylegan.training.packed_images import PackedImages
from operators.stylegan.training.pictures import write_grid
from operators.stylegan.training.reconstruction import standardised
from operators.stylegan.training.settings import Precision
from operators.stylegan.w_statistics import w_statistics
from operators.training.degrade import degrade, recolour
from operators.training.run_folder import Checkpoint, Described, RunFolder, require_finite
from operators.training.settings import require_within
from operators.training.step_source import step_source
from operators.training.write_file import write_file
from schemas.errors import WrongUse

ENCODER_FILE, GRID_FILE = "encoder.safetensors", "reconstructions.png"
_HELD_OUT = 64  # faces never trained on; their mean PSNR is then known to 0.3 dB
_SHOWN = 8
_LOOK = 16  # held-out faces at a time; a divisor of them
_WARM_SHARE = 0.02  # of the steps in which the rate rises: Adam's first steps are as large however small the slope
_BETAS = (0.9, 0.99)  # Adam. Short memory of squares: losses fall tenfold in the first hundred steps


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """All that changes the weights that come out, but for the generator and the pictures."""

    steps: int = 4000  # 64,000 pictures: an hour at 128 px on one busy core, which does 18 a second
    batch: int = 16  # 32 in half the steps end 2 dB lower; a GPU has room for more
    learning_rate: float = 1e-3  # of Adam, falling to 0; after 400 steps 5e-4 is 0.8 dB behind, and 2e-3 1.4 dB
    seed: int = 0
    width: int = 32  # channels at half the picture's side; with `hidden`, 3.6 MB on disk for 128 px and a w_dim of 256
    hidden: int = 192  # of each of the three heads
    truncation_min: float = 0.5  # samples keep 0.5 to 1 of their way from the mean: most faces of films are plain
    mixing: float = 0.5  # share of samples with a second style: faces of films lie in W+, not in W
    pictures_share: float = 0.5  # of a batch, where pictures are given: what will be inverted is no sample
    moved_share: float = 0.25  # shifted and recoloured pictures, whose latent nobody knows: alignment and light err
    shift_max: float = 0.04  # of the side: smoothed landmarks are off by no more
    colour: float = 0.15  # gains from 0.85 to 1.15
    degrade: float = 1.0  # blur to 1.5 px, compression, grain of 10 grey levels; see degrade.py
    pyramid_weight: float = 0.05  # as InversionSettings: guess and descent want the same picture
    latent_weight: float = 0.1  # 0 to 0.1 are alike on samples of random weights, 0.5 costs 0.3 dB
    distance_weight: float = 0.005  # pSp's w-norm: styles that no picture shows stay near the mean; costs under 0.2 dB
    precision: Precision = "auto"  # bf16 where the processor has it, as in `generator fit`
    every: int = 200  # steps between checkpoints: what a kill costs, some seconds

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise WrongUse(f"setting precision is {self.precision}; give {' or '.join(get_args(Precision))}")
        require_within(self, 1, 10**7, "steps", "batch", "every")
        require_within(self, 8, 1024, "width", "hidden")
        require_within(self, 0, 1, "truncation_min", "mixing", "pictures_share", "moved_share", "shift_max", "colour")
        require_within(self, 0, math.inf, "learning_rate", "seed", "degrade")
        require_within(self, 0, math.inf, "pyramid_weight", "latent_weight", "distance_weight")


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderRun:
    """One training run: what is trained, on what, and where its files go."""

    generator: Generator
    generator_id: str  # as describe_generator tells it
    settings: EncoderSettings
    folder: Path
    pictures: PackedImages | None = None  # with their z, samples are drawn from those, else from a normal distribution
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    seen_N3RR: Tensor  # what the encoder is shown
    wanted_N3RR: Tensor  # what its latent should show
    w_NLD: Tensor
    known_N: Tensor  # 1 where w is the latent of what is wanted, 0 where nobody knows it


def train_encoder(run: EncoderRun, *, report: Callable[[dict[str, float]], None] = lambda row: None) -> Encoder:
    """Train to the last step and write `encoder.safetensors`; goes on from the folder's checkpoint where there is one.

    A kill at any moment costs the steps since the last checkpoint; what the resumed run writes then has the bits that
    the undisturbed one would have written.
    Raises: WrongUse when the folder holds a run with other settings, another generator or other pictures, or when the
    pictures are of another size than the generator's.
    Not promised: equal bits on another device, with another number of threads, or on any GPU.
    """
    settings, generator = run.settings, run.generator.freeze().to(run.device)
    files = RunFolder(run.folder, _described(run))
    faces = _Faces(run)
    encoder = new_encoder(
        generator,
        spread=w_statistics(generator).spread,
        width=settings.width,
        hidden=settings.hidden,
        seed=settings.seed,
    ).to(run.device)
    adam = torch.optim.Adam(encoder.parameters(), lr=settings.learning_rate, betas=_BETAS)
    done = files.load()
    if done.step:
        encoder.load_state_dict(done.state["encoder"])
        adam.load_state_dict(done.state["adam"])
    curve, sums = list(done.curve), dict.fromkeys(("loss", "image", "latent", "distance"), torch.zeros(()))
    for step in range(done.step, settings.steps):
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings.steps)
        losses = _losses(encoder, generator, faces.draw(step), settings)
        adam.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        adam.step()
        sums = {name: total + losses[name].detach() for name, total in sums.items()}
        if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
            row = {name: float(total) / (step % settings.every + 1) for name, total in sums.items()}
            sums = dict.fromkeys(sums, torch.zeros(()))
            require_finite(row, run.folder)
            curve.append({"step": step + 1.0} | row | _look(encoder, generator, faces, run.folder))
            state = {"encoder": encoder.state_dict(), "adam": adam.state_dict()}
            files.save(Checkpoint(step=step + 1, state=state, curve=curve))
            report(curve[-1])
    write_file(run.folder / ENCODER_FILE, encoder_bytes(encoder, generator, generator_id=run.generator_id))
    return encoder.eval().requires_grad_(False)


def _described(run: EncoderRun) -> Described:
    pictures = run.pictures
    if pictures is not None and pictures.resolution != run.generator.resolution:
        raise WrongUse(
            f"{pictures.what}: {pictures.resolution} px, the generator makes {run.generator.resolution} px; "
            "give pictures of that size"
        )
    if pictures is not None and len(pictures) < 2 * _HELD_OUT:
        raise WrongUse(f"{pictures.what}: {len(pictures)} are too few; give {2 * _HELD_OUT}, or none")
    return {
        **asdict(run.settings),
        "generator": weights_hash(run.generator),
        "pictures": None if pictures is None else pictures.digest(),
    }


class _Faces:
    """Where the batches come from. The last pictures and their z are held out, and with none, z of another seed."""

    def __init__(self, run: EncoderRun) -> None:
        self.settings, self.generator, self.device = run.settings, run.generator, run.device
        self.pictures, self.z_NZ = run.pictures, None
        if run.pictures is not None and run.pictures.latents_NZ is not None:
            self.z_NZ = torch.from_numpy(standardised(run.pictures.latents_NZ)).to(run.device)

    def held_out(self) -> dict[str, Iterator[Tensor]]:
        """Pictures in [-1, 1] by their kind, a few at a time: all of them at 1024 px are 0.8 GB."""
        last = np.arange(-_HELD_OUT, 0)
        if self.z_NZ is None:
            source = step_source("encoder held out", 0, 0)
            z_NZ = torch.randn(_HELD_OUT, self.generator.z_dim, generator=source).to(self.device)
        else:
            z_NZ = self.z_NZ[last]
        kinds: dict[str, Iterator[Tensor]] = {}
        kinds["samples"] = (self.generator(z).clamp(-1, 1) for z in torch.split(z_NZ, _LOOK))
        if (pictures := self.pictures) is not None:
            parts = np.split(last + len(pictures), _HELD_OUT // _LOOK)
            kinds["pictures"] = (pictures.batch(part, torch.device(self.device)).contiguous() for part in parts)
        return kinds

    @torch.no_grad()
    def draw(self, step: int) -> _Batch:
        """Samples, then pictures; some moved and recoloured, all degraded for the encoder's eyes."""
        settings, generator, device = self.settings, self.generator, self.device
        source = step_source("encoder", settings.seed, step, device)
        most = settings.batch - 1  # one sample at least: the latent loss needs it
        n_pictures = 0 if self.pictures is None else min(most, round(settings.batch * settings.pictures_share))
        n_samples = settings.batch - n_pictures
        w_NLD = self._styles(n_samples, source)
        with mixed(settings.precision, torch.device(device)):
            wanted = generator.synthesis(w_NLD)
        wanted = wanted.float().clamp(-1, 1)
        if self.pictures is not None:
            n_train = len(self.pictures) - _HELD_OUT
            index = torch.randint(n_train, (n_pictures,), generator=source, device=device).cpu().numpy()
            wanted = torch.cat((wanted, self.pictures.batch(index, torch.device(device))))
            w_NLD = torch.cat((w_NLD, generator.mapping.w_avg.expand(n_pictures, generator.num_ws, -1)))
        moved_N = torch.rand(len(wanted), generator=source, device=device) < settings.moved_share
        other = recolour(_shift(wanted, source, settings.shift_max), source, strength=settings.colour)
        wanted = torch.where(moved_N[:, None, None, None], other, wanted)
        is_sample_N = torch.arange(len(wanted), device=device) < n_samples
        seen = degrade(wanted, source, strength=settings.degrade)
        return _Batch(seen_N3RR=seen, wanted_N3RR=wanted, w_NLD=w_NLD, known_N=(is_sample_N & ~moved_N).float())

    def _styles(self, n: int, source: torch.Generator) -> Tensor:
        """Truncated by a share drawn per sample, and mixed: from some layer on, a second style (Karras et al. 2019)."""
        settings, mapping, device = self.settings, self.generator.mapping, self.device
        if self.z_NZ is None:
            z_NZ = torch.randn(2 * n, self.generator.z_dim, generator=source, device=device)
        else:
            n_train = len(self.z_NZ) - _HELD_OUT
            z_NZ = self.z_NZ[torch.randint(n_train, (2 * n,), generator=source, device=device)]
        w_NLD, other_NLD = mapping(z_NZ).chunk(2)
        cut_N = torch.randint(1, mapping.num_ws, (n,), generator=source, device=device)
        mixes_N = torch.rand(n, generator=source, device=device) < settings.mixing
        takes_other = mixes_N[:, None] & (torch.arange(mapping.num_ws, device=device) >= cut_N[:, None])
        w_NLD = torch.where(takes_other[..., None], other_NLD, w_NLD)
        low = settings.truncation_min
        kept_N = low + (1 - low) * torch.rand(n, generator=source, device=device)
        return mapping.w_avg.lerp(w_NLD, kept_N[:, None, None])


@torch.no_grad()
def _look(encoder: Encoder, generator: Generator, faces: _Faces, folder: Path) -> dict[str, float]:
    """Mean PSNR in dB of held-out faces, encoded without a step of descent; a grid of the first ones beside it."""
    psnr, rows = {}, []
    for kind, parts in faces.held_out().items():
        psnr_N: list[Tensor] = []
        grid: list[Tensor] = []
        for wanted in parts:
            shown = generator.synthesis(encoder(wanted)).clamp(-1, 1)
            psnr_N.append(10 * torch.log10(4 / (shown - wanted).square().mean(dim=(1, 2, 3))))
            grid = grid or [wanted[:_SHOWN], shown[:_SHOWN]]
        psnr[f"psnr_{kind}"] = float(torch.cat(psnr_N).mean())
        rows += grid
    write_grid(torch.cat(rows), folder / GRID_FILE, columns=_SHOWN)
    return psnr


def _shift(x_N3RR: Tensor, source: torch.Generator, most: float) -> Tensor:
    """Up to `most` of the side in each direction, between pixels too, borders repeated."""
    n = len(x_N3RR)
    move = torch.eye(2, 3, device=x_N3RR.device).repeat(n, 1, 1)
    move[:, :, 2] = (torch.rand(n, 2, generator=source, device=x_N3RR.device) * 2 - 1) * 2 * most
    grid = F.affine_grid(move, list(x_N3RR.shape), align_corners=False)
    return F.grid_sample(x_N3RR, grid, padding_mode="border", align_corners=False)


def _losses(encoder: Encoder, generator: Generator, batch: _Batch, settings: EncoderSettings) -> dict[str, Tensor]:
    """Means over the batch. Latent errors and distances are in squared spreads, alike for every generator."""
    with mixed(settings.precision, batch.w_NLD.device):
        w_NLD = encoder(batch.seen_N3RR)
        shown = generator.synthesis(w_NLD).float()
    image = reconstruction_loss(shown, batch.wanted_N3RR, pyramid_weight=settings.pyramid_weight).mean()
    spread = encoder.shape.spread
    error_N = ((w_NLD - batch.w_NLD) / spread).square().mean(dim=(1, 2))
    latent = (error_N * batch.known_N).sum() / batch.known_N.sum().clamp_min(1)
    distance = ((w_NLD - encoder.mean_D) / spread).square().mean()
    loss = image + settings.latent_weight * latent + settings.distance_weight * distance
    return {"loss": loss, "image": image, "latent": latent, "distance": distance}


def _rate(step: int, steps: int) -> float:
    """Linear rise, cosine fall to zero."""
    rise = min(1.0, (step + 1) / max(1.0, _WARM_SHARE * steps))
    return rise * (0.5 + 0.5 * math.cos(math.pi * step / steps))
