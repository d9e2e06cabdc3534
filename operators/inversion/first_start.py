"""Where the descent begins when there is no frame before: at the mean latent, or at an encoder's guess.

N pictures, R side in pixels, L style layers, D style width.
"""

from torch import Tensor

from operators.inversion.encoder import Encoder, first_guess
from operators.inversion.fit_latents import from_an_encoder, from_the_mean
from operators.stylegan.generator import Generator
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings


class FirstStart:
    """Pictures -> latents to start from, and `descent`, the schedule that suits such a start.

    Takes: a frozen generator where it will stay; the encoder is moved there.
    Gives: bits that depend on the picture alone.
    """

    def __init__(self, generator: Generator, settings: InversionSettings, *, encoder: Encoder | None) -> None:
        self.generator = generator
        self.spread = w_statistics(generator).spread
        if encoder is None:
            self.encoder = None
            rate = settings.learning_rate * self.spread
            self.descent = from_the_mean(steps=settings.first_steps, learning_rate=rate)
        else:
            self.encoder = encoder.to(generator.mapping.w_avg.device)
            rate = settings.encoder_learning_rate * self.spread
            self.descent = from_an_encoder(steps=settings.first_steps, learning_rate=rate)

    def __call__(self, target_N3RR: Tensor) -> Tensor:
        """(N, 3, R, R) in [-1, 1] -> (N, L, D)."""
        if self.encoder is None:
            return self.generator.mapping.w_avg.expand(len(target_N3RR), self.generator.num_ws, -1)
        return first_guess(self.encoder, target_N3RR)
