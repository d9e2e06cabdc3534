"""How much faster one shared convolution is than one group per picture: forward, and backward to the latent.

    OMP_NUM_THREADS=1 python -m benchmarks.modconv

Both forms run in one process, in turn, on the same input. The grouped form is what published StyleGAN2 code runs when
it projects in float32: weights modulated and demodulated per picture, groups = batch. About a minute on one core.
"""

import math
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan import layers
from operators.stylegan.generator import Generator
from operators.stylegan.modulated_conv import modulated_conv2d
from operators.stylegan.pixel_bound import is_pixel_bound
from operators.stylegan.random_weights import random_generator
from operators.stylegan.resample import blur

BATCHES = (4, 8)
CHANNEL_BASE = 8192  # of the 128-px network: 512 channels up to 16 px, 64 at 128 px
ROUNDS_LAYER = 7  # enough for a stable median on a shared machine
ROUNDS_NETWORK = 3  # six seconds a round on a busy core
# resolution of the output, channels in, channels out, up
LAYERS = (
    (8, 512, 512, False),
    (16, 512, 512, False),
    (32, 512, 256, True),
    (64, 128, 128, False),
    (128, 64, 64, False),
)
EPSILON = 1e-8


def grouped_conv2d(
    x_NIHW: Tensor, weight_OIKK: Tensor, style_NI: Tensor, *, energy_OI: Tensor, up: bool = False
) -> tuple[Tensor, Tensor]:
    """The same result as modulated_conv2d, by weights per picture. Takes its arguments, so that one can replace it."""
    n, i, height, width = x_NIHW.shape
    o = len(weight_OIKK)
    weight_NOIKK = weight_OIKK * style_NI[:, None, :, None, None]
    weight_NOIKK = weight_NOIKK * torch.rsqrt(weight_NOIKK.square().sum(dim=(2, 3, 4), keepdim=True) + EPSILON)
    x = x_NIHW.reshape(1, n * i, height, width)
    if up:
        turned = weight_NOIKK.transpose(1, 2).reshape(n * i, o, 3, 3)
        y = blur(F.conv_transpose2d(x, turned, stride=2, groups=n), padding=1)
    else:
        y = F.conv2d(x, weight_NOIKK.reshape(n * o, i, 3, 3), padding=1, groups=n)
    return y.reshape(n, o, *y.shape[2:]), x_NIHW.new_ones(n, o)


def main() -> None:
    """Print one row per layer and batch, then the whole network."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, float32; ms of forward and backward to the latent, median ± sd")
    print(f"{'what':34} {'batch':>5} {'grouped':>16} {'ours':>16}  ratio")
    for batch in BATCHES:
        for side, n_in, n_out, up in LAYERS:
            name = f"layer {n_in}->{n_out}, {side} px{', up' if up else ''}"
            _report(name, batch, _layer_step(batch, side, n_in, n_out, up), ROUNDS_LAYER)
    generator = random_generator(128, seed=0, channel_base=CHANNEL_BASE, channel_max=512)
    for batch in BATCHES:
        name = f"network, 128 px, base {CHANNEL_BASE}"
        _report(name, batch, _network_step(generator, batch), ROUNDS_NETWORK)


def _layer_step(batch: int, side: int, n_in: int, n_out: int, up: bool) -> Callable[[], Tensor]:
    layer = layers.StyledConv(n_in, n_out, w_dim=512, resolution=side, up=up).requires_grad_(False)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.affine.weight)
    layer.freeze()
    x = torch.randn(batch, n_in, side // 2 if up else side, side // 2 if up else side, requires_grad=True)
    w_ND = torch.randn(batch, 512, requires_grad=True)

    def step() -> Tensor:
        slopes = torch.autograd.grad(layer(x, w_ND, "none").square().sum(), (x, w_ND))
        return slopes[1]

    return step


def _network_step(generator: Generator, batch: int) -> Callable[[], Tensor]:
    w_NLD = torch.randn(batch, generator.num_ws, generator.w_dim, requires_grad=True)
    return lambda: torch.autograd.grad(generator.synthesis(w_NLD).square().sum(), w_NLD)[0]


def _never(*_: object, **__: object) -> bool:
    return False


def _report(name: str, batch: int, step: Callable[[], Tensor], rounds: int) -> None:
    """Time both forms in turn; the first round warms up and proves that they agree."""
    times_ms: dict[str, list[float]] = {"grouped": [], "ours": []}
    first: list[Tensor] = []
    for round_index in range(rounds + 1):
        for form, conv in (("grouped", grouped_conv2d), ("ours", modulated_conv2d)):
            # Only the convolution is compared; grouped it goes through the form of layers.py at every size.
            chosen = is_pixel_bound if form == "ours" else _never
            with patch.object(layers, "modulated_conv2d", conv), patch.object(layers, "is_pixel_bound", chosen):
                start_s = time.perf_counter()
                slope = step()
                took_ms = (time.perf_counter() - start_s) * 1000
            if round_index > 0:
                times_ms[form].append(took_ms)
            else:
                first.append(slope)
    error = float((first[0] - first[1]).norm() / first[0].norm())
    if not (math.isfinite(error) and error < 1e-3):
        raise RuntimeError(f"{name}: the two forms differ by {error:.1e}, so their times say nothing")
    cells = [f"{statistics.median(t):8.1f} ± {statistics.stdev(t):5.1f}" for t in times_ms.values()]
    ratio = statistics.median(times_ms["grouped"]) / statistics.median(times_ms["ours"])
    print(f"{name:34} {batch:5} {cells[0]:>16} {cells[1]:>16}  {ratio:.2f}x", flush=True)


if __name__ == "__main__":
    main()
