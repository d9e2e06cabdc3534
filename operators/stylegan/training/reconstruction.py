"""An autodecoder: every picture has a z, and the generator learns to draw the picture from it. Minutes, not days.

N pictures, Z noise width, R side in pixels.
Source: Bojanowski et al. 2018, arXiv:1707.05776 (Generative Latent Optimisation). Where pictures come with what made
them (latents.npy: parameters of a renderer), that is their z, and the generator learns the renderer; then it also
draws pictures it has never seen. Without, each z is learnt beside the weights.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from operators.stylegan.generator import Architecture
from operators.stylegan.training.average import Average
from operators.stylegan.training.loaded_start import LoadedStart, nearest_z
from operators.stylegan.training.losses import multiscale_loss
from operators.stylegan.training.objective import GRID, adam, images_seen, mixed, pictures
from operators.stylegan.training.packed_images import PackedImages, Shuffled
from operators.stylegan.training.ranks import Ranks
from operators.stylegan.training.settings import FitSettings
from operators.stylegan.training.start import new_generator
from schemas.errors import WrongUse

_BETA1, _BETA2 = 0.9, 0.99  # there is no opponent to chase: momentum helps
_RAMP_STEPS = 50  # the first steps of Adam are as large however small the slope
_W_SAMPLES = 4096  # for the mean style: off by 1.6 % of the spread


class Reconstruction:
    """`Objective`.

    Raises: WrongUse for learnt z with several processes: each row has one picture, so there is nothing to average.
    """

    columns: tuple[str, ...] = ("loss", "psnr")

    def __init__(
        self, images: PackedImages, settings: FitSettings, ranks: Ranks, start: LoadedStart | None = None
    ) -> None:
        self.images, self.settings, self.ranks, self._is_fresh = images, settings, ranks, start is None
        self.z_learnt: nn.Embedding | None = None
        self.z_meaning = "learnt, one per picture"
        n_held, z_dim = 0, settings.z_dim if start is None else start.generator.z_dim
        if images.latents_NZ is None:
            if ranks.count > 1:
                raise WrongUse("reconstruction without latents.npy runs in one process; start it without torchrun")
            if start is None:
                table_NZ = torch.randn(len(images), z_dim, generator=torch.Generator().manual_seed(settings.seed))
            else:
                table_NZ = nearest_z(start.generator, images, seed=settings.seed, device=torch.device("cpu"))
            self.z_learnt = nn.Embedding(len(images), z_dim, sparse=True, _weight=table_NZ).to(ranks.device)
            self.z_adam = torch.optim.SparseAdam(self.z_learnt.parameters(), lr=settings.z_rate)
        else:
            self.z_meaning = "the pictures' own latents.npy, each coordinate brought to mean 0 and deviation 1"
            n_held, z_dim = min(settings.held_out, len(images) // 10), images.latents_NZ.shape[1]
            self._z_NZ = torch.from_numpy(standardised(images.latents_NZ)).to(ranks.device)
        self._n_train = len(images) - n_held
        if start is None:
            architecture = Architecture(
                resolution=images.resolution,
                channels=settings.channels(images.resolution),
                z_dim=z_dim,
                w_dim=settings.w_dim,
                mapping_layers=settings.mapping_layers,
            )
            generator = new_generator(architecture, seed=settings.seed, noise=settings.noise)
        else:
            generator = start.new_generator()
        self.generator = generator.to(ranks.device).to(memory_format=torch.channels_last)
        self.average = Average(self.generator)
        self.adam = adam(self.generator, settings, beta1=_BETA1, beta2=_BETA2, share=1.0)
        self._rates = [group["lr"] for group in self.adam.param_groups]
        self._order = Shuffled(self._n_train, seed=settings.seed)

    def _z(self, index_N: NDArray[np.int64]) -> Tensor:
        rows = torch.from_numpy(index_N).to(self.ranks.device)
        return self._z_NZ[rows] if self.z_learnt is None else self.z_learnt(rows)

    def step(self, step: int) -> dict[str, Tensor]:
        """One batch of pictures drawn from their z."""
        index_N = self._order(step, batch=self.settings.batch, rank=self.ranks.rank, ranks=self.ranks.count)
        target_N3RR = self.images.batch(index_N, self.ranks.device)
        with mixed(self.settings.precision, self.ranks.device):
            x_N3RR = self.generator(self._z(index_N), noise="random" if self.settings.noise else "none")
        x_N3RR = x_N3RR.float()
        loss = multiscale_loss(x_N3RR, target_N3RR, edge_weight=self.settings.edge_weight)
        self.adam.zero_grad(set_to_none=True)
        if self.z_learnt is not None:
            self.z_adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average_gradients(self.generator.parameters())
        rate = min(1.0, (step + 1) / _RAMP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / self.settings.steps))
        for group, full in zip(self.adam.param_groups, self._rates, strict=True):
            group["lr"] = full * rate
        self.adam.step()
        if self.z_learnt is not None:
            self.z_adam.step()  # type: ignore[no-untyped-call]
        self.average.follow(self.settings.average_decay(images_seen(self.settings, step, fresh=self._is_fresh)))
        return {"loss": loss.detach(), "psnr": psnr(x_N3RR.detach(), target_N3RR)}

    def state(self) -> dict[str, Any]:
        """Networks, their average, the optimiser, and z where it is learnt."""
        found = {
            "generator": self.generator.state_dict(),
            "average": self.average.generator.state_dict(),
            "adam": self.adam.state_dict(),
        }
        if self.z_learnt is not None:
            found |= {"z": self.z_learnt.state_dict(), "z_adam": self.z_adam.state_dict()}
        return found

    def load(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.generator.load_state_dict(state["generator"])
        self.average.generator.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        if self.z_learnt is not None:
            self.z_learnt.load_state_dict(state["z"])
            self.z_adam.load_state_dict(state["z_adam"])

    def sample_z(self, n: int, source: torch.Generator) -> Tensor:
        """Normal, as wide as the pictures' own z in each coordinate."""
        z_NZ = self._z_NZ if self.z_learnt is None else self.z_learnt.weight.detach()
        normal_NZ = torch.randn(n, z_NZ.shape[1], generator=source).to(self.ranks.device)
        return z_NZ.mean(dim=0) + z_NZ.std(dim=0, unbiased=False) * normal_NZ

    def grids(self) -> dict[str, Tensor]:
        """New faces, and pairs: rows of pictures, each above what the generator makes of its z."""
        z_NZ = self.sample_z(GRID * GRID, torch.Generator().manual_seed(self.settings.seed))
        found = {"samples": pictures(self.average.generator, z_NZ, noise=self.settings.noise)}
        index_N = self._shown()
        wanted_N3RR = self.images.batch(index_N, self.ranks.device)
        made_N3RR = pictures(self.average.generator, self._z(index_N).detach(), noise=self.settings.noise)
        rows = zip(torch.split(wanted_N3RR, GRID), torch.split(made_N3RR, GRID), strict=True)
        return found | {"pairs": torch.cat([part for pair in rows for part in pair])}

    def _shown(self) -> NDArray[np.int64]:
        """From the end: held-out pictures where there are some."""
        n = min(len(self.images), GRID * GRID // 2)
        return np.resize(np.arange(len(self.images) - n, len(self.images)), GRID * GRID // 2)

    def figures(self) -> dict[str, float]:
        """PSNR in dB on held-out pictures, which learnt z cannot have."""
        index_N = np.arange(self._n_train, len(self.images))
        if not len(index_N):
            return {}
        made_N3RR = pictures(self.average.generator, self._z(index_N), noise=self.settings.noise)
        return {"psnr_held_out": float(psnr(made_N3RR, self.images.batch(index_N, self.ranks.device)))}

    @torch.no_grad()
    def finish(self) -> float:
        """Mean style of the pictures' own z."""
        index_N = np.unique(np.linspace(0, len(self.images) - 1, _W_SAMPLES).astype(np.int64))
        w_ND = self.average.generator.mapping(self._z(index_N))[:, 0]
        mean_D = w_ND.mean(dim=0)
        self.average.generator.mapping.w_avg.copy_(mean_D)
        return float((w_ND - mean_D).square().mean().sqrt())


def standardised(latents_NZ: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and deviation 1 in each coordinate: the mapping network sees directions only, so units may not count.

    A coordinate that never changes becomes 0.
    """
    sd_Z = latents_NZ.std(axis=0, dtype=np.float64)
    z_NZ = (latents_NZ - latents_NZ.mean(axis=0, dtype=np.float64)) / np.where(sd_Z > 0, sd_Z, 1)
    return np.asarray(z_NZ, np.float32)


def psnr(x_N3RR: Tensor, target_N3RR: Tensor) -> Tensor:
    """In dB, mean over pictures."""
    error_N = (x_N3RR.clamp(-1, 1) - target_N3RR).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error_N / 4)).mean()  # 4: the square of the range [-1, 1]
