"""How a generator is trained: every number that can change a weight, and apart from those how often it is looked at."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from schemas.errors import WrongUse
from schemas.generators import num_ws

ObjectiveName = Literal["adversarial", "reconstruction"]
WeightsType = Literal["fp32", "fp16"]
Precision = Literal["auto", "bf16", "fp32"]

BY_OBJECTIVE = 0.0  # stands for the value that suits the objective; `FitSettings` puts it in when it is built

# Adversarial: Karras et al. 2020, arXiv:2006.06676, its configuration `auto` below 1024 px.
# Reconstruction: at 4e-3 and full mapping rate, 23.7 dB on unseen pictures after 10 minutes of two cores; 2.5e-3 and a
# tenth of the mapping rate needed four times as long.
# Steps: 6.4 million pictures against a discriminator (published: 25); 20,000 steps of 16 are 50 minutes of two cores.
_STEPS = {"adversarial": 200_000, "reconstruction": 20_000}
_LEARNING_RATE = {"adversarial": 0.0025, "reconstruction": 0.004}
_MAPPING_RATE = {"adversarial": 0.01, "reconstruction": 1.0}
_RANGES = (
    (1, math.inf, "batch channel_base channel_max z_dim w_dim mapping_layers r1_every path_every augment_images"),
    (0, math.inf, "seed steps learning_rate mapping_rate average_images r1_gamma path_weight edge_weight z_rate"),
    (0, math.inf, "held_out discriminator_first"),
    (0, 1, "mixing augment_target average_ramp"),
)


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """All that decides the weights, together with the pictures, the number of processes and the machine.

    Raises: WrongUse naming the setting.
    """

    objective: ObjectiveName = "adversarial"  # reconstruction: where two cores are all there is
    seed: int = 0  # of everything random
    steps: int = int(BY_OBJECTIVE)  # of `batch` pictures each
    batch: int = 32  # over all processes together; published for small pictures. 16 on two cores: more steps a minute
    precision: Precision = "auto"  # bf16 where the processor has it (1.4x on such a CPU), fp32 elsewhere
    learning_rate: float = BY_OBJECTIVE
    # Of the mapping network, in learning rates. 0.01 as published for noise; with a picture's own parameters as z, 1.
    mapping_rate: float = BY_OBJECTIVE

    channel_base: int = 2048  # features at r pixels: base / r. 1.5 M weights at 128 px; on a GPU 16384, published 32768
    channel_max: int = 128  # the most features; published 512
    z_dim: int = 512  # published; pictures that come with their own z (latents.npy) bring their own width
    w_dim: int = 256  # half the published: latents half the size; what was measured at 128 px
    mapping_layers: int = 4  # published 8; Karras et al. 2020, arXiv:2006.06676 take 2 for small sets
    noise: bool = False  # noise maps: published; here off, since styles cannot undo them (1 to 3 dB of an inversion)

    average_images: int = 0  # half-life of the averaged weights, in pictures; 0: 312 batches, as published
    average_ramp: float = 0.05  # and at most this share of the pictures seen: a young average forgets its start

    r1_gamma: float = 0.0  # adversarial. Price of the discriminator's slope; 0: 0.0002 R^2 / batch, as published
    r1_every: int = 16  # steps; Karras et al. 2020, arXiv:1912.04958, appendix B: as good as every step
    path_weight: float = 2.0  # adversarial. Of path length regularisation, published; 0: off
    path_every: int = 4  # steps; same appendix
    mixing: float = 0.9  # adversarial. Share of pictures from two styles, published: rows of W+ become independent
    augment_target: float = 0.6  # adversarial. Wanted mean sign of D on reals, published; 0: no augmentation
    augment_images: int = 500_000  # in which its probability may go from 0 to 1, published

    # adversarial, from a generator without its discriminator. Steps in which a new one learns alone: 250 of 32 pictures
    # are an epoch of 8000, after which it tells the two apart.
    discriminator_first: int = 250

    edge_weight: float = 1.0  # reconstruction. Price of edges: 0 costs 0.5 dB; 3 gains 0.4 dB and loses colours
    z_rate: float = 0.08  # reconstruction without latents.npy. Of z, seen once an epoch; 0.02 costs 0.6 dB
    held_out: int = 256  # reconstruction with latents.npy. Pictures kept for measuring, at most a tenth of all

    weights: WeightsType = "fp32"  # of the finished file; fp16 halves it

    def __post_init__(self) -> None:
        for name, words in (("objective", ObjectiveName), ("precision", Precision), ("weights", WeightsType)):
            if getattr(self, name) not in get_args(words):
                _refuse(name, getattr(self, name), " or ".join(get_args(words)))
        for low, high, names in _RANGES:
            for name in names.split():
                if not low <= getattr(self, name) <= high:  # NaN too
                    _refuse(name, getattr(self, name), f"{low} to {high}" if high < math.inf else f"{low} or more")
        if self.steps == BY_OBJECTIVE:
            object.__setattr__(self, "steps", _STEPS[self.objective])
        if self.learning_rate == BY_OBJECTIVE:
            object.__setattr__(self, "learning_rate", _LEARNING_RATE[self.objective])
        if self.mapping_rate == BY_OBJECTIVE:
            object.__setattr__(self, "mapping_rate", _MAPPING_RATE[self.objective])

    def channels(self, resolution: int) -> tuple[int, ...]:
        """Features at 4, 8, ..., `resolution` pixels."""
        sides = [4 * 2**level for level in range(num_ws(resolution) // 2)]
        return tuple(max(1, min(self.channel_base // side, self.channel_max)) for side in sides)

    def gamma(self, resolution: int) -> float:
        """Of R1. The heuristic: Karras et al. 2020, arXiv:2006.06676, in their published code."""
        return self.r1_gamma or 0.0002 * resolution**2 / self.batch

    def average_decay(self, n_seen: int) -> float:
        """What the averaged weights keep in one step, after `n_seen` pictures. As published with arXiv:2006.06676."""
        half_life = self.average_images or self.batch * 10_000 / 32
        return float(0.5 ** (self.batch / max(min(half_life, n_seen * self.average_ramp), 1e-8)))


@dataclass(frozen=True, kw_only=True)
class FitPace:
    """How often a run is saved and looked at. None of it changes a weight."""

    checkpoint_s: float = 180.0  # what a kill costs; writing takes under a second for small networks
    log_steps: int = 50  # a row of the log is the mean over as many steps
    picture_steps: int = 5000  # grids (3 MB at 128 px), and the distance below
    distance_images: int = 2048  # on each side of the Fréchet distance; fewer are biased upwards


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """`batch 32, now 16; steps 10, now 20`; empty when they are equal."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return "; ".join(f"{name} {old.get(name)}, now {new.get(name)}" for name in names)


def _refuse(name: str, value: object, allowed: str) -> None:
    raise WrongUse(f"setting {name} is {value}; give {allowed}")
