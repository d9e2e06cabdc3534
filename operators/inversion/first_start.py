"""The latent of a frame that has no frame before: from the mean latent or an encoder's guess, and downhill.

N pictures, L style layers, D style width, R side in pixels.
"""

from torch import Tensor

from operators.inversion.encoder import Encoder, first_guess
from operators.inversion.fit_latents import as_projected, fit_latents, from_an_encoder, from_the_mean
from operators.inversion.frame_loss import FrameLoss, Targets
from operators.stylegan.generator import Generator
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings


class FirstStart:
    """Targets -> latents.

    Takes: a frozen generator where it will stay; the encoder is moved there; `lanes` rows of every batch; `seed` of a
    schedule that shakes.
    Gives: bits that depend on the frame alone.
    """

    def __init__(
        self,
        generator: Generator,
        settings: InversionSettings,
        *,
        loss: FrameLoss,
        encoder: Encoder | None,
        lanes: int,
        seed: int,
    ) -> None:
        self.generator, self.loss, self.lanes = generator, loss, lanes
        self.space = settings.space
        self.spread = w_statistics(generator).spread
        self.encoder = None if encoder is None else encoder.to(generator.mapping.w_avg.device)
        if settings.preset == "projector":
            self.descent = as_projected(
                steps=settings.first_steps, spread=self.spread, w_dim=generator.w_dim, seed=seed
            )
        elif encoder is None:
            rate = settings.learning_rate * self.spread
            self.descent = from_the_mean(steps=settings.first_steps, learning_rate=rate)
        else:
            rate = settings.encoder_learning_rate * self.spread
            self.descent = from_an_encoder(steps=settings.encoder_steps, learning_rate=rate)

    def __call__(self, targets: Targets, *, noise: list[Tensor] | None = None) -> Tensor:
        """(N, L, D). Takes: `noise` maps to be optimised with the latents, changed in place."""
        w_NSD = self.guess(targets.picture_N3RR)
        if self.space == "w":
            w_NSD = w_NSD.mean(dim=1, keepdim=True)
        found = fit_latents(self.generator, self.loss, targets, w_NSD, self.descent, lanes=self.lanes, noise=noise)
        return found.expand(-1, self.generator.num_ws, -1)

    def guess(self, picture_N3RR: Tensor) -> Tensor:
        """(N, L, D) before any step."""
        if self.encoder is None:
            return self.generator.mapping.w_avg.expand(len(picture_N3RR), self.generator.num_ws, -1)
        return first_guess(self.encoder, picture_N3RR)
