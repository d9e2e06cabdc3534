"""What every way to invert works with, on one device: the generator, what makes a picture good, where latents lie.

N pictures, L style layers, D style width.
"""

import os
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import torch
from torch import Tensor

from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import NO_ENCODER
from operators.inversion.frame_loss import FrameLoss, Targets
from operators.inversion.picture_encoder import PictureEncoder
from operators.inversion.prior import LatentPrior, latent_prior
from operators.stylegan.generator import Generator
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings, LossSettings
from schemas.errors import WrongUse


@dataclass(frozen=True, kw_only=True, eq=False)
class InversionTools:
    """One set of tools serves any number of inverters; nothing in it changes while they work.

    Takes: parts that are on one device; a frozen generator.
    """

    generator: Generator
    loss: FrameLoss
    prior: LatentPrior
    encoder: PictureEncoder | None = None  # None: a track's first frame starts from the mean latent
    prior_weight: float = 0.0  # of the squared Mahalanobis distance, mean over the layers, in every loss
    average_price: float = 0.0  # of the squared distance from the mean latent, mean over layers and coordinates
    seed: int = 0  # of what is drawn by chance, together with the track's key
    bfloat16: bool = False  # features of the generator; colours, styles, losses and slopes of latents stay float32
    compiler: str | None = None  # a backend of torch.compile; None: each operation by itself

    @property
    def device(self) -> torch.device:
        return self.generator.mapping.w_avg.device

    def evaluate(self, w_NLD: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """One evaluation of the generator: how bad latents are, for their pictures and for what the prior says of them.

        Gives: losses (N,) and their slopes (N, L, D), each row from its own latent and frame only. Waits for nothing.
        Not promised: a quick first call when compiled: a minute or two for each number of rows, kept on the disk.
        """
        w_NLD = w_NLD.detach().requires_grad_(True)
        loss_N = self._losses(w_NLD, targets)
        (slope_NLD,) = torch.autograd.grad(loss_N.sum(), w_NLD)  # a sum: each slope knows only its own picture
        if self.compiler is not None:
            return loss_N.detach().clone(), slope_NLD.clone()  # a CUDA graph writes its next results where these are
        return loss_N.detach(), slope_NLD

    @torch.no_grad()
    def look(self, w_NLD: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """What latents show, (N, 3, R, R), not clamped, and how bad they are, (N,): an evaluation without slopes."""
        shown = self._shown(w_NLD)
        return shown, self.loss(shown, targets) + self.price(w_NLD)

    def price(self, w_NLD: Tensor) -> Tensor:
        """(N,): what a latent costs by itself, whatever it shows."""
        price_N = self.prior_weight * self.prior.mahalanobis(w_NLD).mean(dim=1)
        if self.average_price > 0:
            away_NLD = w_NLD - self.generator.mapping.w_avg
            price_N = price_N + self.average_price * away_NLD.square().mean(dim=(1, 2))
        return price_N

    @cached_property
    def _losses(self) -> Callable[[Tensor, Targets], Tensor]:
        if self.compiler is None:
            return self._losses_plain
        # Graphs pay where a kernel is shorter than its launch. Shapes are fixed, so that what a batch gets does not
        # depend on which sizes came before it.
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        losses: Callable[[Tensor, Targets], Tensor] = torch.compile(
            self._losses_plain, backend=self.compiler, mode=mode, dynamic=False
        )
        return losses

    def _losses_plain(self, w_NLD: Tensor, targets: Targets) -> Tensor:
        return self.loss(self._shown(w_NLD), targets) + self.price(w_NLD)

    def _shown(self, w_NLD: Tensor) -> Tensor:
        x_N3RR: Tensor
        if self.bfloat16:
            with torch.autocast(self.device.type, torch.bfloat16):
                x_N3RR = self.generator.synthesis(w_NLD)
        else:  # not the same as autocast turned off: the device `meta` has none
            x_N3RR = self.generator.synthesis(w_NLD)
        return x_N3RR


def inversion_tools(
    generator: Generator,
    settings: InversionSettings,
    *,
    loss: LossSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> InversionTools:
    """The tools that settings name, on `device`. The given generator stays as it is.

    Takes: settings whose encoder was chosen by `encoder_of`.
    Raises: WrongUse when the encoder's file is no whole encoder, or cannot be this generator's, when the weights of
    a perceptual loss are absent or wrong, or when evaluations are to be compiled and no compiler is there.
    Not promised: a quick answer: the prior takes `settings.prior_samples` samples, a second or two.
    """
    if settings.compiled:
        _require_compiler(device)
    encoder = None
    if settings.init != "mean" and settings.encoder is not None and settings.encoder != NO_ENCODER:
        encoder = load_encoder(settings.encoder, generator).to(device)
    # Channels last: 1.0 to 1.3 times as fast on a CPU (benchmarks/RESULTS.md), and what 16-bit kernels of a GPU want. A
    # copy, because whoever goes on with the given one, and trains on it, would find other bits.
    generator = deepcopy(generator).freeze().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return InversionTools(
        generator=generator,
        loss=FrameLoss(loss or LossSettings(), resolution=generator.resolution, device=device),
        prior=latent_prior(generator, n_samples=settings.prior_samples),
        encoder=encoder,
        prior_weight=settings.prior_weight,
        average_price=_average_price(generator, settings.average_weight),
        seed=seed,
        bfloat16=settings.precision == "bfloat16",
        compiler="inductor" if settings.compiled else None,
    )


def _average_price(generator: Generator, weight: float) -> float:
    """The weight is of distances in spreads, which mean the same in every generator."""
    return weight / w_statistics(generator).spread ** 2 if weight > 0 else 0.0


def _require_compiler(device: str) -> None:
    """Asked for before hours of work, not found missing at its first evaluation."""
    if device != "cpu" and find_spec("triton") is None:
        raise WrongUse("inversion.compiled: a GPU needs Triton, which is not installed; install it, or set it to false")
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # what torch.compile looks for
    if device == "cpu" and shutil.which(compiler) is None:
        raise WrongUse(
            f"inversion.compiled: no C++ compiler {compiler}; install it, name it in CXX, or set it to false"
        )
