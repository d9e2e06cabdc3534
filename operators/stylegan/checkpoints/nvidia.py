"""Networks of stylegan2-ada-pytorch and stylegan3: the state of persistent objects, without the source beside it.

Layout: NVlabs/stylegan2-ada-pytorch, training/networks.py; NVlabs/stylegan3, training/networks_stylegan2.py.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from operators.stylegan.checkpoints.found_generator import (
    FoundGenerator,
    found_generator,
    require_published_filter,
    without_noise,
)
from operators.stylegan.checkpoints.inert import PersistentObject
from operators.stylegan.checkpoints.stored_array import StoredArray
from schemas.errors import WrongUse

KIND = "NVIDIA's pickle"
_MAPPING_LR_MUL = 0.01  # what our mapping network multiplies stored weights with


def nvidia_generator(path: str, content: Any) -> FoundGenerator | None:
    """Takes: what a pickle holds: a snapshot with G_ema, or one network. None: neither of them.

    Raises: WrongUse for networks that are no StyleGAN2 generator, named.
    """
    if isinstance(content, dict) and isinstance(content.get("G_ema"), PersistentObject):
        network = content["G_ema"]
    elif isinstance(content, PersistentObject):
        network = content
    elif isinstance(content, dict) and any(isinstance(content.get(name), PersistentObject) for name in "GD"):
        raise WrongUse(f"generator {path}: {KIND} without G_ema; give a snapshot that has the averaged generator")
    else:
        return None
    if network.class_name == "Discriminator":
        raise WrongUse(f"generator {path}: {KIND} of a discriminator only; give the file of its generator, G_ema")
    layers = dict(_layers(network))
    if "synthesis.input" in layers:
        raise WrongUse(
            f"generator {path}: {KIND} of a StyleGAN3 with alias-free layers; give a StyleGAN2, as the same repository "
            "trains with --cfg=stylegan2"
        )
    if "synthesis.b4.conv1" not in layers:
        raise WrongUse(f"generator {path}: {KIND} of a {network.class_name} that is no StyleGAN2; give a StyleGAN2")
    tensors = tensors_of(network)
    filters = {name: tensors.pop(name) for name in list(tensors) if name.endswith("resample_filter")}
    for filter_KK in filters.values():
        require_published_filter(path, KIND, filter_KK, gain=1)
    for name, state in layers.items():
        if state.get("activation", "lrelu") not in ("lrelu", "linear"):
            raise WrongUse(
                f"generator {path}: {KIND} with {state['activation']} in {name}; latentreel draws with lrelu"
            )
        rate = state.get("bias_gain")
        if name.startswith("mapping.fc") and rate is not None and rate != _MAPPING_LR_MUL:
            for key in (f"{name}.weight", f"{name}.bias"):
                tensors[key] = tensors[key].then(partial(np.multiply, np.float32(rate / _MAPPING_LR_MUL)))
    clamp = layers["synthesis.b4.conv1"].get("conv_clamp")
    return found_generator(path, KIND, without_noise(tensors), clamp=None if clamp is None else float(clamp))


def tensors_of(network: PersistentObject) -> dict[str, StoredArray]:
    """Parameters and buffers by their names."""
    return {
        f"{name}.{key}": tensor
        for name, state in _layers(network)
        for kind in ("_parameters", "_buffers")
        for key, tensor in state.get(kind, {}).items()
        if isinstance(tensor, StoredArray)
    }


def _layers(network: PersistentObject, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every layer's name and state, from the outside to the inside."""
    for name, layer in network.state.get("_modules", {}).items():
        if isinstance(layer, PersistentObject):
            yield f"{prefix}{name}", layer.state
            yield from _layers(layer, f"{prefix}{name}.")
