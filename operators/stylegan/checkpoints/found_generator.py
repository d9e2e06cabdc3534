"""A generator found in a file: its sizes, and its tensors by our names, still on the disk.

R resolution. Names are those of the published PyTorch networks: mapping.fc0.weight, synthesis.b8.conv0.affine.bias, …
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.stylegan.checkpoints.stored_array import StoredArray, stored
from schemas.errors import WrongUse
from schemas.generators import checked_architecture

_TAPS = np.array([1, 3, 3, 1], np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundGenerator:
    """What every kind of file is brought to. Nothing in it has been read but names and shapes."""

    kind: str  # of the file, for people
    architecture: dict[str, Any]  # the fields of `generator.Architecture`, checked
    tensors: dict[str, StoredArray]  # without mapping.w_avg where the file has none


def found_generator(
    path: str, kind: str, tensors: dict[str, StoredArray], *, clamp: float | None = None
) -> FoundGenerator:
    """Sizes follow from shapes.

    Raises: WrongUse for architectures that latentreel does not draw, by their names, and for tensors that are missing.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise WrongUse(f"generator {path}: {kind} without {name}; take a whole file")
        return tensors[name].shape

    sides = sorted({int(found[1]) for name in tensors if (found := re.match(r"synthesis\.b(\d+)\.", name))})
    if any(name.endswith(".skip.weight") for name in tensors):
        raise WrongUse(f"generator {path}: {kind} of the architecture resnet; latentreel draws the architecture skip")
    if (
        len(sides) > 1
        and "synthesis.b4.torgb.weight" not in tensors
        and f"synthesis.b{sides[-1]}.torgb.weight" in tensors
    ):
        raise WrongUse(f"generator {path}: {kind} of the architecture orig; latentreel draws the architecture skip")
    n_colours = shape("synthesis.b4.torgb.weight")[0]
    if n_colours != 3:
        raise WrongUse(f"generator {path}: {kind} of {n_colours} channels; latentreel draws RGB")
    label_dim = tensors["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in tensors else 0
    w_dim = shape("synthesis.b4.conv1.affine.weight")[1]
    if label_dim and tensors["mapping.embed.weight"].shape[0] != w_dim:
        raise WrongUse(f"generator {path}: {kind} whose labels are not embedded in {w_dim} numbers, as w has; no cure")
    architecture = {
        "resolution": sides[-1] if sides else 0,
        "channels": [
            shape("synthesis.b4.const")[0],
            *(shape(f"synthesis.b{side}.conv1.weight")[0] for side in sides[1:]),
        ],
        "z_dim": shape("mapping.fc0.weight")[1] - (w_dim if label_dim else 0),
        "w_dim": w_dim,
        "mapping_layers": sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in tensors),
        "label_dim": label_dim,
        "clamp": clamp,
    }
    return FoundGenerator(kind=kind, architecture=checked_architecture(path, architecture), tensors=tensors)


def without_noise(tensors: dict[str, StoredArray]) -> dict[str, StoredArray]:
    """A generator that was made without noise, as one whose noise has no strength."""
    silent = dict(tensors)
    for name in tensors:
        if found := re.fullmatch(r"synthesis\.b(\d+)\.(conv[01])\.weight", name):
            layer, side = name.removesuffix(".weight"), int(found[1])
            silent.setdefault(f"{layer}.noise_strength", stored(np.zeros((), np.float32)))
            silent.setdefault(f"{layer}.noise_const", stored(np.zeros((side, side), np.float32)))
    return silent


def require_published_filter(path: str, kind: str, filter_KK: StoredArray, *, gain: float) -> None:
    """Pictures are made twice the size with one filter here. Raises: WrongUse for another."""
    wanted_KK = np.outer(_TAPS, _TAPS) / _TAPS.sum() ** 2 * gain
    if filter_KK.shape != wanted_KK.shape or not np.allclose(filter_KK.read(), wanted_KK, atol=1e-6):
        raise WrongUse(
            f"generator {path}: {kind} with another filter than [1, 3, 3, 1]; latentreel draws with that one"
        )
