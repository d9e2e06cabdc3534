"""What every way to invert works with, on one device: the generator, what makes a picture good, where latents lie.

N pictures, L style layers, D style width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.inversion.encoder import Encoder
from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import NO_ENCODER
from operators.inversion.frame_loss import FrameLoss, Targets
from operators.inversion.prior import LatentPrior, latent_prior
from operators.stylegan.generator import Generator
from schemas.config import InversionSettings, LossSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class InversionTools:
    """One set of tools serves any number of inverters; nothing in it changes while they work.

    Takes: parts that are on one device; a frozen generator.
    """

    generator: Generator
    loss: FrameLoss
    prior: LatentPrior
    encoder: Encoder | None = None  # None: a track's first frame starts from the mean latent
    seed: int = 0  # of what is drawn by chance, together with the track's key

    @property
    def device(self) -> torch.device:
        return self.generator.mapping.w_avg.device

    def evaluate(self, w_NLD: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """One evaluation of the generator: how far the pictures of latents are from the frames, and which way is down.

        Gives: losses (N,) and their slopes (N, L, D), each row from its own latent and frame only. Waits for nothing.
        """
        w_NLD = w_NLD.detach().requires_grad_(True)
        loss_N = self.loss(self.generator.synthesis(w_NLD), targets)
        (slope_NLD,) = torch.autograd.grad(loss_N.sum(), w_NLD)  # a sum: each slope knows only its own picture
        return loss_N.detach(), slope_NLD


def inversion_tools(
    generator: Generator,
    settings: InversionSettings,
    *,
    loss: LossSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> InversionTools:
    """The tools that settings name. The generator is frozen and moved to `device`.

    Takes: settings whose encoder was chosen by `encoder_of`.
    Raises: WrongUse when the encoder's file is no whole encoder, or was made for another generator, or when the weights
    of a perceptual loss are absent or wrong.
    Not promised: a quick answer: the prior takes `settings.prior_samples` samples, a second or two.
    """
    encoder = None
    if settings.encoder is not None and settings.encoder != NO_ENCODER:
        encoder = load_encoder(settings.encoder, generator).to(device)
    generator = generator.freeze().to(device)
    return InversionTools(
        generator=generator,
        loss=FrameLoss(loss or LossSettings(), resolution=generator.resolution, device=device),
        prior=latent_prior(generator, n_samples=settings.prior_samples),
        encoder=encoder,
        seed=seed,
    )
