"""Networks of the TensorFlow years, StyleGAN2 and StyleGAN2-ADA: their variables, in our layout.

Layout: NVlabs/stylegan2, training/networks_stylegan2.py. Kernels are stored as (K, K, I, O), dense weights as (I, O),
the bias of a style without its 1; a convolution that makes features twice the size is stored turned by 180 degrees.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.stylegan.checkpoints.found_generator import (
    FoundGenerator,
    found_generator,
    require_published_filter,
    without_noise,
)
from operators.stylegan.checkpoints.inert import NumpyArray, TensorFlowNetwork
from operators.stylegan.checkpoints.rename import N_CONVS, Rule, conv_name, renamed
from operators.stylegan.checkpoints.stored_array import StoredArray, stored
from schemas.errors import WrongUse

KIND = "pickle of the TensorFlow years"
_VERSION = 4  # of StyleGAN2's networks; StyleGAN1 and its forerunner have lower ones


def tensorflow_generator(path: str, content: Any) -> FoundGenerator | None:
    """Takes: what a pickle holds: (G, D, Gs), of which Gs is the averaged generator, or one network. None: neither.

    Raises: WrongUse for another network than a StyleGAN2 generator, named.
    """
    network = content[-1] if isinstance(content, tuple) and len(content) == 3 else content
    if not isinstance(network, TensorFlowNetwork):
        return None
    variables = dict(_variables(network))
    if network.get("version", 0) < _VERSION or any("StyleMod" in name for name in variables):
        raise WrongUse(f"generator {path}: {KIND} of a StyleGAN1 or older; give a StyleGAN2")
    if "synthesis/4x4/Const/const" not in variables:
        what = network.get("build_func_name") or network.get("name") or "network"
        raise WrongUse(
            f"generator {path}: {KIND} of a {what} that is no StyleGAN2 generator; give a StyleGAN2 generator"
        )
    sizes = network.get("static_kwargs", {})
    _require_known(path, sizes)
    tensors = renamed(variables, _rules())
    clamp = sizes.get("conv_clamp")
    return found_generator(path, KIND, without_noise(tensors), clamp=None if clamp is None else float(clamp))


def _variables(network: TensorFlowNetwork, prefix: str = "") -> list[tuple[str, StoredArray]]:
    found = []
    for name, values in network.get("variables", []):
        if isinstance(values, NumpyArray):
            found.append((prefix + name, values.array))
        elif isinstance(values, int | float):
            found.append((prefix + name, stored(np.array(values, np.float32))))
    for name, part in network.get("components", {}).items():
        found += _variables(part, f"{prefix}{name}/")
    return found


def _require_known(path: str, sizes: dict[str, Any]) -> None:
    """What would draw otherwise than we do."""
    rate = sizes.get("mapping_lrmul", 0.01)
    activations = {sizes.get("nonlinearity", "lrelu"), sizes.get("mapping_nonlinearity", "lrelu")}
    if rate != 0.01 or activations != {"lrelu"}:
        raise WrongUse(
            f"generator {path}: {KIND} with {sorted(activations)}, mapping rate {rate}; no such network here"
        )
    taps = np.array(sizes.get("resample_kernel") or [1, 3, 3, 1], np.float32)
    require_published_filter(path, KIND, stored(np.outer(taps, taps) / taps.sum() ** 2), gain=1)


def _kernel(values_KKIO: NDArray[Any]) -> NDArray[Any]:
    return values_KKIO.transpose(3, 2, 0, 1)


def _kernel_turned(values_KKIO: NDArray[Any]) -> NDArray[Any]:
    return _kernel(values_KKIO[::-1, ::-1])


def _add_1(values: NDArray[Any]) -> NDArray[Any]:
    return values + 1


def _rules() -> list[Rule]:
    rules: list[Rule] = [
        (r"dlatent_avg", r"mapping.w_avg", None),
        (r"mapping/Dense(\d+)/weight", r"mapping.fc\1.weight", np.transpose),
        (r"mapping/Dense(\d+)/bias", r"mapping.fc\1.bias", None),
        (r"mapping/LabelEmbed/weight", r"mapping.embed.weight", np.transpose),
        (r"mapping/LabelEmbed/bias", r"mapping.embed.bias", None),
        (r"synthesis/4x4/Const/const", r"synthesis.b4.const", lambda a: a[0]),
        (r"synthesis/(\d+)x\1/Skip/weight", r"synthesis.b\1.skip.weight", _kernel),
    ]
    for theirs, ours in (("Conv0_up", "conv0"), ("Conv1?", "conv1"), ("ToRGB", "torgb")):
        place, layer = rf"synthesis/(\d+)x\1/{theirs}", rf"synthesis.b\1.{ours}"
        rules += [
            (rf"{place}/weight", f"{layer}.weight", _kernel_turned if ours == "conv0" else _kernel),
            (rf"{place}/mod_weight", f"{layer}.affine.weight", np.transpose),
            (rf"{place}/mod_bias", f"{layer}.affine.bias", _add_1),
            (rf"{place}/(bias|noise_strength)", rf"{layer}.\2", None),
        ]
    rules += [(f"synthesis/noise{i}", f"{conv_name(i)}.noise_const", lambda a: a[0, 0]) for i in range(N_CONVS)]
    return rules
