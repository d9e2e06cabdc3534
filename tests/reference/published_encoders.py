"""pSp's, e4e's and ReStyle's encoders a second time: their names and shapes as lists, their arithmetic spelt out.

Written from the layouts of the published code alone, for any width; published are 64 channels and styles of 512.
N pictures, C channels, S side of a level, L style layers, D style width.
"""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Architecture, Generator

KINDS = {  # encoder_type: input channels as published
    "GradualStyleEncoder": 3,
    "Encoder4Editing": 3,
    "BackboneEncoder": 6,
    "ProgressiveBackboneEncoder": 6,
    "ResNetGradualStyleEncoder": 6,
    "ResNetBackboneEncoder": 6,
    "ResNetProgressiveBackboneEncoder": 6,
}
# Unit by unit: channels in and out as multiples of the width, and the stride.
IR_UNITS = (
    [(1, 1, 2), (1, 1, 1), (1, 1, 1)]
    + [(1, 2, 2), (2, 2, 1), (2, 2, 1), (2, 2, 1)]
    + [(2, 4, 2)] + [(4, 4, 1)] * 13
    + [(4, 8, 2), (8, 8, 1), (8, 8, 1)]
)  # fmt: skip
RESNET_UNITS = (
    [(1, 1, 1), (1, 1, 1), (1, 1, 1)]
    + [(1, 2, 2), (2, 2, 1), (2, 2, 1), (2, 2, 1)]
    + [(2, 4, 2)] + [(4, 4, 1)] * 5
    + [(4, 8, 2), (8, 8, 1), (8, 8, 1)]
)  # fmt: skip


def has_pyramid(kind: str) -> bool:
    return kind in ("GradualStyleEncoder", "Encoder4Editing", "ResNetGradualStyleEncoder")


def has_deltas(kind: str) -> bool:
    return kind == "Encoder4Editing" or "Progressive" in kind


def shapes(kind: str, *, channels: int, width: int, num_ws: int, w_dim: int) -> dict[str, tuple[int, ...]]:
    """Every name of the encoder's part of a state_dict, without `encoder.`."""

    def norm(name: str, n: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from ((f"{name}.{part}", (n,)) for part in ("weight", "bias", "running_mean", "running_var"))
        yield f"{name}.num_batches_tracked", ()

    found: dict[str, tuple[int, ...]] = {}
    w = width
    if kind.startswith("ResNet"):
        found["conv1.weight"] = (w, channels, 7, 7)
        found |= norm("bn1", w)
        found["relu.weight"] = (w,)
        for i, (a, b, _) in enumerate(RESNET_UNITS):
            found[f"body.{i}.conv1.weight"] = (b * w, a * w, 3, 3)
            found[f"body.{i}.conv2.weight"] = (b * w, b * w, 3, 3)
            found |= norm(f"body.{i}.bn1", b * w)
            found |= norm(f"body.{i}.bn2", b * w)
            if a != b:
                found[f"body.{i}.downsample.0.weight"] = (b * w, a * w, 1, 1)
                found |= norm(f"body.{i}.downsample.1", b * w)
    else:
        found["input_layer.0.weight"] = (w, channels, 3, 3)
        found |= norm("input_layer.1", w)
        found["input_layer.2.weight"] = (w,)
        for i, (a, b, _) in enumerate(IR_UNITS):
            found |= norm(f"body.{i}.res_layer.0", a * w)
            found[f"body.{i}.res_layer.1.weight"] = (b * w, a * w, 3, 3)
            found[f"body.{i}.res_layer.2.weight"] = (b * w,)
            found[f"body.{i}.res_layer.3.weight"] = (b * w, b * w, 3, 3)
            found |= norm(f"body.{i}.res_layer.4", b * w)
            found[f"body.{i}.res_layer.5.fc1.weight"] = (b * w // 16, b * w, 1, 1)
            found[f"body.{i}.res_layer.5.fc2.weight"] = (b * w, b * w // 16, 1, 1)
            if a != b:
                found[f"body.{i}.shortcut_layer.0.weight"] = (b * w, a * w, 1, 1)
                found |= norm(f"body.{i}.shortcut_layer.1", b * w)
    for i in range(num_ws):
        n_convs = 4 if not has_pyramid(kind) or i < 3 else 5 if i < 7 else 6
        for k in range(n_convs):
            found[f"styles.{i}.convs.{2 * k}.weight"] = (w_dim, 8 * w if k == 0 else w_dim, 3, 3)
            found[f"styles.{i}.convs.{2 * k}.bias"] = (w_dim,)
        found[f"styles.{i}.linear.weight"] = (w_dim, w_dim)
        found[f"styles.{i}.linear.bias"] = (w_dim,)
    if has_pyramid(kind):
        found |= {"latlayer1.weight": (8 * w, 4 * w, 1, 1), "latlayer1.bias": (8 * w,)}
        found |= {"latlayer2.weight": (8 * w, 2 * w, 1, 1), "latlayer2.bias": (8 * w,)}
    return found


def random_weights(named: dict[str, tuple[int, ...]], *, seed: int) -> "OrderedDict[str, Tensor]":
    """Of a size that keeps signals alive through 24 units."""
    source = torch.Generator().manual_seed(seed)
    found: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in named.items():
        drawn = torch.randn(shape, generator=source) if shape else torch.tensor(7)
        if name.endswith("running_var"):
            drawn = 0.5 + drawn.abs()
        elif name.endswith("linear.weight") or not shape:
            pass  # stored at unit variance, and scaled when used; a counter
        elif len(shape) > 1:
            last = name.endswith((".res_layer.3.weight", ".conv2.weight"))  # of a unit, whose answers add up
            drawn = drawn * (0.3 if last else 1.0) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith(".weight"):
            drawn = 1 + 0.2 * drawn
        else:
            drawn = 0.1 * drawn
        found[name] = drawn
    return found


def answer(kind: str, p: dict[str, Tensor], x: Tensor) -> Tensor:  # noqa: PLR0915  # spelt out, to be read beside a paper
    """(N, channels, 256, 256) -> (N, L, D), without the mean latent."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            p[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def prelu(x: Tensor, weight: Tensor) -> Tensor:
        return torch.where(x > 0, x, x * weight[:, None, None])

    seen = []
    if kind.startswith("ResNet"):
        x = prelu(norm(F.conv2d(x, p["conv1.weight"], stride=2, padding=3), "bn1"), p["relu.weight"])
        for i, (a, b, stride) in enumerate(RESNET_UNITS):
            at = f"body.{i}"
            y = norm(F.conv2d(x, p[f"{at}.conv1.weight"], stride=stride, padding=1), f"{at}.bn1").relu()
            y = norm(F.conv2d(y, p[f"{at}.conv2.weight"], padding=1), f"{at}.bn2")
            if a != b:
                x = norm(F.conv2d(x, p[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")
            x = (x + y).relu()
            seen.append(x)
        fine, middle, coarse = seen[6], seen[12], seen[15]
    else:
        x = prelu(norm(F.conv2d(x, p["input_layer.0.weight"], padding=1), "input_layer.1"), p["input_layer.2.weight"])
        for i, (a, b, stride) in enumerate(IR_UNITS):
            at = f"body.{i}.res_layer"
            y = F.conv2d(norm(x, f"{at}.0"), p[f"{at}.1.weight"], padding=1)
            y = F.conv2d(prelu(y, p[f"{at}.2.weight"]), p[f"{at}.3.weight"], stride=stride, padding=1)
            y = norm(y, f"{at}.4")
            squeezed = F.conv2d(y.flatten(2).mean(dim=2)[:, :, None, None], p[f"{at}.5.fc1.weight"]).relu()
            y = y * F.conv2d(squeezed, p[f"{at}.5.fc2.weight"]).sigmoid()
            if a == b:
                x = x[:, :, ::stride, ::stride]
            else:
                at = f"body.{i}.shortcut_layer"
                x = norm(F.conv2d(x, p[f"{at}.0.weight"], stride=stride), f"{at}.1")
            x = x + y
            seen.append(x)
        fine, middle, coarse = seen[6], seen[20], seen[23]

    def enlarged(x: Tensor, side: int) -> Tensor:
        """Corners on corners: pixel i of the large one lies at i (small - 1) / (large - 1)."""
        at = torch.arange(side) * (x.shape[-1] - 1) / (side - 1)
        low = at.floor().long().clamp(max=x.shape[-1] - 2)
        share = at - low
        x = x[..., low, :] * (1 - share)[:, None] + x[..., low + 1, :] * share[:, None]
        return x[..., low] * (1 - share) + x[..., low + 1] * share

    num_ws = sum(name.endswith("linear.weight") for name in p)
    features = [coarse] * num_ws
    if has_pyramid(kind):
        middle = enlarged(coarse, 32) + F.conv2d(middle, p["latlayer1.weight"], p["latlayer1.bias"])
        fine = enlarged(middle, 64) + F.conv2d(fine, p["latlayer2.weight"], p["latlayer2.bias"])
        features = [coarse] * 3 + [middle] * 4 + [fine] * (num_ws - 7)
    styles: list[Tensor] = []
    for i, y in enumerate(features):
        k = 0
        while y.shape[-1] > 1:
            y = F.conv2d(y, p[f"styles.{i}.convs.{k}.weight"], p[f"styles.{i}.convs.{k}.bias"], stride=2, padding=1)  # noqa: PLW2901
            y = torch.where(y > 0, y, 0.01 * y)  # noqa: PLW2901
            k += 2
        weight = p[f"styles.{i}.linear.weight"]
        style = y.flatten(1) @ (weight / weight.shape[1] ** 0.5).T + p[f"styles.{i}.linear.bias"]
        styles.append(styles[0] + style if has_deltas(kind) and i > 0 else style)
    return torch.stack(styles, dim=1)


def decoder_weights(generator: Generator) -> dict[str, Tensor]:
    """Our generator by rosinality's names, as far as they tell one from another and load: see its model.py."""
    ours = generator.state_dict()
    found = {f"style.{i + 1}.{part}": ours[f"mapping.fc{i}.{part}"] for i in range(8) for part in ("weight", "bias")}
    found["input.input"] = ours["synthesis.b4.const"][None]
    sides = [4 * 2**level for level in range(generator.num_ws // 2)]
    convs = [(4, "conv1"), *((side, name) for side in sides[1:] for name in ("conv0", "conv1"))]
    for i, (side, name) in enumerate(convs):
        theirs, at = "conv1" if i == 0 else f"convs.{i - 1}", f"synthesis.b{side}.{name}"
        found[f"{theirs}.conv.weight"] = ours[f"{at}.weight"][None]
        found |= {f"{theirs}.conv.modulation.{part}": ours[f"{at}.affine.{part}"] for part in ("weight", "bias")}
        found[f"{theirs}.noise.weight"] = ours[f"{at}.noise_strength"][None]
        found[f"{theirs}.activate.bias"] = ours[f"{at}.bias"]
        found[f"noises.noise_{i}"] = ours[f"{at}.noise_const"][None, None]
    for level, side in enumerate(sides):
        theirs, at = "to_rgb1" if level == 0 else f"to_rgbs.{level - 1}", f"synthesis.b{side}.torgb"
        found[f"{theirs}.conv.weight"] = ours[f"{at}.weight"][None]
        found |= {f"{theirs}.conv.modulation.{part}": ours[f"{at}.affine.{part}"] for part in ("weight", "bias")}
        found[f"{theirs}.bias"] = ours[f"{at}.bias"].reshape(1, 3, 1, 1)
    return found


def checkpoint(
    kind: str, weights: dict[str, Tensor], mean: Tensor | None, *, decoder: dict[str, Tensor] | None = None, **opts: Any
) -> dict[str, Any]:
    """What the published code saves; `vars` of its options is a plain dictionary."""
    named = {f"encoder.{name}": values for name, values in weights.items()}
    named |= {f"decoder.{name}": values for name, values in (decoder or {}).items()}
    options = {"encoder_type": kind, "start_from_latent_avg": mean is not None, "device": "cuda:0", "lr": 1e-4} | opts
    whole = {"state_dict": OrderedDict(named), "opts": options}
    return whole if mean is None else whole | {"latent_avg": mean}


def save(whole: Any, path: Path) -> str:
    torch.save(whole, path)
    return str(path)


def little_generator(*, w_dim: int, resolution: int = 32, seed: int = 0) -> Generator:
    """Few channels and narrow styles, frozen, every weight drawn."""
    levels = resolution.bit_length() - 2
    generator = Generator(Architecture(resolution=resolution, channels=(8,) * levels, z_dim=16, w_dim=w_dim))
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            sd = 100.0 if name.startswith("mapping") and name.endswith("weight") else 0.3 if "torgb" in name else 1.0
            if name.endswith(("weight", "const")):
                parameter.copy_(torch.randn(parameter.shape, generator=source) * sd)
        generator.mapping.w_avg.copy_(generator.mapping(torch.randn(512, 16, generator=source))[:, 0].mean(dim=0))
    return generator.freeze()
