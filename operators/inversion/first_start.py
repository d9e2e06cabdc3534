"""The latent of a frame that has no frame before: from the mean latent or an encoder's guess, and downhill.

N pictures, L style layers, D style width, R side in pixels.
"""

from torch import Tensor

from operators.inversion.fit_by_adam import Descent, as_projected, fit_by_adam, with_noise_maps
from operators.inversion.fit_by_lbfgs import fit_by_lbfgs
from operators.inversion.frame_loss import Targets
from operators.inversion.refined_guess import refined_guess
from operators.inversion.tools import InversionTools
from operators.stylegan.w_statistics import w_statistics
from schemas.config import InversionSettings

# Spreads per coordinate, before L-BFGS remembers anything: what a face moves from frame to frame. From the mean, ten
# times as much ends alike.
FIRST_MOVE = 0.02


class FirstStart:
    """Targets -> latents.

    Takes: `lanes` rows of every batch.
    Gives: bits that depend on the frame alone.
    """

    def __init__(self, tools: InversionTools, settings: InversionSettings, *, lanes: int) -> None:
        self.tools, self.lanes = tools, lanes
        self.space, self.refinements = settings.space, settings.encoder_refinements
        self.spread = w_statistics(tools.generator).spread
        self.evaluations = settings.first_steps if tools.encoder is None else settings.encoder_steps
        self.adam: Descent | None = None
        if settings.preset == "projector":
            self.adam = as_projected(
                steps=self.evaluations, spread=self.spread, w_dim=tools.generator.w_dim, seed=tools.seed
            )
        elif settings.noise:
            self.adam = with_noise_maps(steps=self.evaluations, learning_rate=settings.learning_rate * self.spread)

    def __call__(self, targets: Targets, *, noise: list[Tensor] | None = None) -> Tensor:
        """(N, L, D). Takes: `noise` maps to be optimised with the latents, changed in place."""
        w_NSD = self.guess(targets)
        if self.space == "w":
            w_NSD = w_NSD.mean(dim=1, keepdim=True)
        if self.adam is not None:
            found = fit_by_adam(self.tools, targets, w_NSD, self.adam, lanes=self.lanes, noise=noise)
        else:
            first_move = FIRST_MOVE * self.spread
            found = fit_by_lbfgs(
                self.tools, targets, w_NSD, evaluations=self.evaluations, first_move=first_move, lanes=self.lanes
            )
        return found.expand(-1, self.tools.generator.num_ws, -1)

    def guess(self, targets: Targets) -> Tensor:
        """(N, L, D) before any step."""
        generator, encoder = self.tools.generator, self.tools.encoder
        if encoder is None:
            return generator.mapping.w_avg.expand(len(targets), generator.num_ws, -1)
        refinements = encoder.refinements if self.refinements is None else self.refinements
        return refined_guess(self.tools, encoder, targets, refinements=refinements)
