"""Generator against discriminator: StyleGAN2's training with adaptive augmentation.

N pictures, L style layers, Z noise width, R side in pixels.
Sources: Karras et al. 2020, arXiv:1912.04958 (losses, lazy penalties) and arXiv:2006.06676 (augmentation, settings).
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.training import losses
from operators.stylegan.training.augment import augment, next_probability
from operators.stylegan.training.average import Average
from operators.stylegan.training.loaded_start import LoadedStart
from operators.stylegan.training.objective import GRID, adam, images_seen, mixed, pictures
from operators.stylegan.training.packed_images import PackedImages, Shuffled
from operators.stylegan.training.ranks import Ranks
from operators.stylegan.training.settings import FitSettings
from operators.stylegan.training.start import new_discriminator, new_generator
from operators.stylegan.w_statistics import w_statistics

_BETA1, _BETA2 = 0.0, 0.99  # arXiv:1912.04958, appendix B
_AUGMENT_EVERY = 4  # steps between looks at the discriminator's signs: arXiv:2006.06676, section 3
_PATH_SHRINK = 2  # path lengths on half a batch, as published: they take twice the memory of a step


class Adversarial:
    """`Objective`. z is standard normal."""

    columns: tuple[str, ...] = (
        *("loss_g", "loss_d", "score_real", "score_fake"),
        *("r1", "path_penalty", "path_length", "augment_p"),
    )
    z_meaning = "standard normal noise"

    def __init__(
        self, images: PackedImages, settings: FitSettings, ranks: Ranks, start: LoadedStart | None = None
    ) -> None:
        self.images, self.settings, self.ranks, self._is_fresh = images, settings, ranks, start is None
        if start is None:
            channels = settings.channels(images.resolution)
            architecture = Architecture(
                resolution=images.resolution,
                channels=channels,
                z_dim=settings.z_dim,
                w_dim=settings.w_dim,
                mapping_layers=settings.mapping_layers,
            )
            generator = new_generator(architecture, seed=settings.seed, noise=settings.noise)
        else:
            generator = start.new_generator()
            channels = generator.architecture.channels
        self.generator: Generator = generator.to(ranks.device).to(memory_format=torch.channels_last)
        # Against a generator that draws well one that knows nothing would pull it apart before it has learnt to see.
        self._alone = settings.discriminator_first if start is not None and start.discriminator is None else 0
        if start is not None and start.discriminator is not None:
            discriminator = copy.deepcopy(start.discriminator)
        else:
            discriminator = new_discriminator(channels, seed=settings.seed)
        self.discriminator = discriminator.to(ranks.device).to(memory_format=torch.channels_last)
        self.average = Average(self.generator)
        share = settings.path_every / (settings.path_every + 1) if settings.path_weight else 1.0
        self.generator_adam = adam(self.generator, settings, beta1=_BETA1, beta2=_BETA2, share=share)
        share = settings.r1_every / (settings.r1_every + 1)
        self.discriminator_adam = torch.optim.Adam(
            self.discriminator.parameters(),
            lr=settings.learning_rate * share,
            betas=(_BETA1**share, _BETA2**share),
            eps=1e-8,
            fused=True,
        )
        self.augment_p = 0.0
        self.path_mean = torch.zeros((), device=ranks.device)
        self.sign_sum = torch.zeros((), device=ranks.device)
        self._gamma = settings.gamma(images.resolution)
        self._order = Shuffled(len(images), seed=settings.seed)
        self._n = settings.batch // ranks.count

    def step(self, step: int) -> dict[str, Tensor]:
        """One step of each network, and the penalties whose turn it is."""
        learns = step >= self._alone
        found = {"loss_g": self._fool(learns=learns)}
        if learns and self.settings.path_weight and step % self.settings.path_every == 0:
            found |= self._even_paths()
        index_N = self._order(step, batch=self.settings.batch, rank=self.ranks.rank, ranks=self.ranks.count)
        real_N3RR = self.images.batch(index_N, self.ranks.device)
        found |= self._tell(real_N3RR)
        if step % self.settings.r1_every == 0:
            found["r1"] = self._flatten_slope(real_N3RR)
        self.average.follow(self.settings.average_decay(images_seen(self.settings, step, fresh=self._is_fresh)))
        if (step + 1) % _AUGMENT_EVERY == 0:
            self._adapt()
        return found | {"augment_p": torch.tensor(self.augment_p)}

    def _fake(self, n: int) -> tuple[Tensor, Tensor]:
        """Pictures and their w, some from two styles."""
        w_NLD = self.generator.mapping(torch.randn(n, self.generator.z_dim, device=self.ranks.device))
        other_NLD = self.generator.mapping(torch.randn(n, self.generator.z_dim, device=self.ranks.device))
        layers = self.generator.num_ws
        cut_N = torch.randint(1, layers, (n,), device=self.ranks.device)
        cut_N = torch.where(torch.rand(n, device=self.ranks.device) < self.settings.mixing, cut_N, layers)
        first = torch.arange(layers, device=self.ranks.device) < cut_N[:, None]
        w_NLD = torch.where(first[:, :, None], w_NLD, other_NLD)
        return self.generator.synthesis(w_NLD, noise="random" if self.settings.noise else "none"), w_NLD

    def _fool(self, *, learns: bool) -> Tensor:
        self.discriminator.requires_grad_(False)
        with torch.set_grad_enabled(learns), mixed(self.settings.precision, self.ranks.device):
            fake_N3RR, _ = self._fake(self._n)
            score_N = self.discriminator(augment(fake_N3RR, self.augment_p))
        loss = losses.fool_loss(score_N)
        if learns:
            self._descend(loss, self.generator, self.generator_adam)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _even_paths(self) -> dict[str, Tensor]:
        """Path length regularisation, in fp32: squares of second derivatives leave bf16's range of detail."""
        fake_N3RR, w_NLD = self._fake(max(1, self._n // _PATH_SHRINK))
        length_N = losses.path_lengths(fake_N3RR, w_NLD, torch.randn_like(fake_N3RR))
        self.path_mean = self.ranks.mean(losses.moved_mean(self.path_mean, length_N))
        penalty = (length_N - self.path_mean).square().mean()
        self._descend(
            penalty * self.settings.path_weight * self.settings.path_every, self.generator, self.generator_adam
        )
        return {"path_penalty": penalty.detach(), "path_length": self.path_mean}

    def _tell(self, real_N3RR: Tensor) -> dict[str, Tensor]:
        with mixed(self.settings.precision, self.ranks.device):
            with torch.no_grad():
                fake_N3RR, _ = self._fake(self._n)
            fake_N = self.discriminator(augment(fake_N3RR, self.augment_p))
            real_N = self.discriminator(augment(real_N3RR, self.augment_p))
        loss = losses.tell_loss(real_N, fake_N)
        self._descend(loss, self.discriminator, self.discriminator_adam)
        self.sign_sum = self.sign_sum + real_N.detach().sign().mean()
        return {"loss_d": loss.detach(), "score_real": real_N.detach().mean(), "score_fake": fake_N.detach().mean()}

    def _flatten_slope(self, real_N3RR: Tensor) -> Tensor:
        seen_N3RR = augment(real_N3RR, self.augment_p).detach().requires_grad_(True)
        penalty = losses.r1_penalty(self.discriminator(seen_N3RR), seen_N3RR)
        self._descend(penalty * self._gamma * self.settings.r1_every, self.discriminator, self.discriminator_adam)
        return penalty.detach()

    def _descend(self, loss: Tensor, network: nn.Module, optimiser: torch.optim.Adam) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average_gradients(network.parameters())
        optimiser.step()

    def _adapt(self) -> None:
        mean_sign = float(self.ranks.mean(self.sign_sum / _AUGMENT_EVERY))
        self.sign_sum = torch.zeros_like(self.sign_sum)
        if self.settings.augment_target:
            self.augment_p = next_probability(
                self.augment_p,
                mean_sign=mean_sign,
                target=self.settings.augment_target,
                n_images=_AUGMENT_EVERY * self.settings.batch,
                n_full=self.settings.augment_images,
            )

    def state(self) -> dict[str, Any]:
        """Networks, their average, optimisers, and what penalties and augmentation remember."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.generator.state_dict(),
            "generator_adam": self.generator_adam.state_dict(),
            "discriminator_adam": self.discriminator_adam.state_dict(),
            "augment_p": self.augment_p,
            "path_mean": self.path_mean,
            "sign_sum": self.sign_sum,
        }

    def load(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.generator.load_state_dict(state["average"])
        self.generator_adam.load_state_dict(state["generator_adam"])
        self.discriminator_adam.load_state_dict(state["discriminator_adam"])
        self.augment_p = state["augment_p"]
        self.path_mean = state["path_mean"].to(self.ranks.device)
        self.sign_sum = state["sign_sum"].to(self.ranks.device)

    def sample_z(self, n: int, source: torch.Generator) -> Tensor:
        """Standard normal."""
        return torch.randn(n, self.generator.z_dim, generator=source).to(self.ranks.device)

    def grids(self) -> dict[str, Tensor]:
        """The same faces every time, so that grids can be leafed through."""
        z_NZ = self.sample_z(GRID * GRID, torch.Generator().manual_seed(self.settings.seed))
        return {"samples": pictures(self.average.generator, z_NZ, noise=self.settings.noise)}

    def figures(self) -> dict[str, float]:
        """None of its own."""
        return {}

    def finish(self) -> float:
        """Mean style of fresh z."""
        statistics = w_statistics(self.average.generator)
        self.average.generator.mapping.w_avg.copy_(statistics.mean_D)
        assert math.isfinite(statistics.spread)
        return statistics.spread
