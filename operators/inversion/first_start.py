"""The latent of a frame that has no frame before: from the mean latent or an encoder's guess, and downhill.

N pictures, L style layers, D style width, R side in pixels.
"""

from torch import Tensor

from operators.inversion.encoder import first_guess
from operators.inversion.fit_latents import as_projected, fit_latents, from_an_encoder, from_the_mean
from operators.inversion.frame_loss import Targets
from operators.inversion.tools import InversionTools
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings


class FirstStart:
    """Targets -> latents.

    Takes: `lanes` rows of every batch.
    Gives: bits that depend on the frame alone.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, *, lanes: int) -> None:
        self.tools, self.lanes = tools, lanes
        self.space = settings.space
        spread = w_statistics(tools.generator).spread
        if settings.preset == "projector":
            self.descent = as_projected(
                steps=settings.first_steps, spread=spread, w_dim=tools.generator.w_dim, seed=tools.seed
            )
        elif tools.encoder is None:
            rate = settings.learning_rate * spread
            self.descent = from_the_mean(steps=settings.first_steps, learning_rate=rate)
        else:
            rate = settings.encoder_learning_rate * spread
            self.descent = from_an_encoder(steps=settings.encoder_steps, learning_rate=rate)

    def __call__(self, targets: Targets, *, noise: list[Tensor] | None = None) -> Tensor:
        """(N, L, D). Takes: `noise` maps to be optimised with the latents, changed in place."""
        w_NSD = self.guess(targets.picture_N3RR)
        if self.space == "w":
            w_NSD = w_NSD.mean(dim=1, keepdim=True)
        found = fit_latents(self.tools, targets, w_NSD, self.descent, lanes=self.lanes, noise=noise)
        return found.expand(-1, self.tools.generator.num_ws, -1)

    def guess(self, picture_N3RR: Tensor) -> Tensor:
        """(N, L, D) before any step."""
        generator, encoder = self.tools.generator, self.tools.encoder
        if encoder is None:
            return generator.mapping.w_avg.expand(len(picture_N3RR), generator.num_ws, -1)
        return first_guess(encoder, picture_N3RR)
