"""Generators written as others' programs write them: NVIDIA's two repositories, its TensorFlow years, rosinality.

Written from their layouts alone, one tensor at a time, and not with the tables that reading goes by. Nothing of their
code is here: classes that a pickle names exist while it is written, and are empty.

Layouts: NVlabs/stylegan2-ada-pytorch, torch_utils/persistence.py and training/networks.py; NVlabs/stylegan2,
dnnlib/tflib/network.py and training/networks_stylegan2.py; rosinality/stylegan2-pytorch, model.py.
"""

import pickle
import re
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operators.stylegan.generator import Generator
from operators.stylegan.training.discriminator import Discriminator
from tests.reference.named_modules import easy_dict, named_modules

FILTER_44 = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def marking(marker: Path) -> str:
    """Source as it stands in a persistent object, that makes a file when anything executes it."""
    return f"open({str(marker)!r}, 'w').close()\nclass Generator: pass\nclass Discriminator: pass\n"


def write_nvidia(
    path: Path,
    generator: Generator | None,
    *,
    source: str = "",
    discriminator: Discriminator | None = None,
    names: tuple[str, ...] = ("G", "D", "G_ema"),
    change: dict[str, Any] | None = None,
    alone: bool = False,
    class_name: str = "Generator",
) -> None:
    """A snapshot of training, or with `alone` the one network in it.

    Takes: `change`: tensors and attributes by their names, as `synthesis.b8.conv0.up`, put in place of those written;
    None removes one.
    """
    with named_modules("torch_utils.persistence", "dnnlib.util"):
        contents: dict[str, Any] = {"training_set_kwargs": easy_dict(path="films.zip"), "augment_pipe": None}
        if generator is not None:
            tree = _tree(_nvidia_names(generator), change or {})
            clamp = generator.architecture.clamp
            network = _network(class_name, tree, source, clamp=clamp)
            contents |= dict.fromkeys(("G", "G_ema"), network)
        if discriminator is not None:
            contents["D"] = _network(
                "Discriminator", _tree(_nvidia_discriminator(discriminator), {}), source, clamp=256
            )
        kept = {name: value for name, value in contents.items() if name in names or name not in ("G", "D", "G_ema")}
        path.write_bytes(pickle.dumps(contents["G_ema"] if alone else kept))


def write_tensorflow(
    path: Path,
    generator: Generator,
    *,
    source: str = "",
    change: dict[str, Any] | None = None,
    version: int = 4,
    static: dict[str, Any] | None = None,
    n_networks: int = 3,
    protocol: int = 4,
) -> None:
    """(G, D, Gs) of StyleGAN2's first code; the variables hold what its program would have given this generator."""
    mapping, synthesis = _tensorflow_variables(generator)
    for name, value in (change or {}).items():
        part = mapping if name.startswith("Dense") else synthesis
        part[name] = value
    with named_modules("dnnlib.tflib.network"):
        parts = {"mapping": mapping, "synthesis": synthesis}
        components = {
            name: _tensorflow_network(name, variables, {}, version, source, {}) for name, variables in parts.items()
        }
        own = {"lod": np.float32(0), "dlatent_avg": generator.mapping.w_avg.numpy()}
        network = _tensorflow_network("Gs", own, components, version, source, static or {})
        networks = (network,) * n_networks
        path.write_bytes(pickle.dumps(networks if n_networks > 1 else network, protocol=protocol))


def write_rosinality(
    path: Path,
    generator: Generator,
    *,
    legacy: bool = False,
    as_decoder: bool = False,
    with_noise: bool = True,
    names: tuple[str, ...] = ("g", "g_ema", "latent_avg", "args"),
    change: dict[str, Any] | None = None,
) -> None:
    """A checkpoint of training, zip or `legacy`; `as_decoder`: that of an encoder which carries its generator."""
    weights = _rosinality_weights(generator, with_noise=with_noise)
    for name, value in (change or {}).items():
        weights[name] = value
        if value is None:
            del weights[name]
    mean_D = generator.mapping.w_avg
    contents: dict[str, Any] = {"g": weights, "g_ema": weights, "latent_avg": mean_D, "args": Namespace(iter=3)}
    contents = {name: value for name, value in contents.items() if name in names}
    if as_decoder:
        decoder = {f"decoder.{name}": tensor for name, tensor in weights.items()}
        state = decoder | {"encoder.input_layer.0.weight": torch.zeros(4, 3, 3, 3)}
        contents = {"state_dict": state, "latent_avg": mean_D.repeat(generator.num_ws, 1), "opts": {"n": 1}}
    torch.save(contents, path, _use_new_zipfile_serialization=not legacy)


class _Persistent:
    """What torch_utils.persistence makes of a module: its class's source is pickled beside its state."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def _network(class_name: str, tree: dict[str, Any], source: str, *, clamp: float | None) -> _Persistent:
    def made(name: str, part: dict[str, Any]) -> _Persistent:
        tensors = {key: value for key, value in part.items() if isinstance(value, Tensor)}
        layers = {key: made(key, value) for key, value in part.items() if isinstance(value, dict)}
        rest = {key: value for key, value in part.items() if not isinstance(value, Tensor | dict)}
        buffers = ("noise_const", "w_avg", "resample_filter")
        state: dict[str, Any] = {
            "training": False,
            "_parameters": OrderedDict((k, nn.Parameter(v)) for k, v in tensors.items() if k not in buffers),
            "_buffers": OrderedDict((k, v) for k, v in tensors.items() if k in buffers),
            "_non_persistent_buffers_set": set(),
            "_forward_hooks": OrderedDict(),
            "_modules": OrderedDict(layers),
        }
        if "affine" in layers:
            state |= {"activation": "lrelu", "conv_clamp": clamp, "up": 2 if name == "conv0" else 1}
        if re.fullmatch(r"fc\d+", name):
            state |= {"activation": "lrelu", "bias_gain": 0.01}
        return _Persistent(_CLASSES.get(name, "Layer"), state | rest, source)

    network = made("", tree)
    network.meta["class_name"] = class_name
    return network


_CLASSES = {"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}


def _nvidia_names(generator: Generator) -> dict[str, Tensor]:
    """Ours are theirs; they keep a filter in every layer that resamples, and in every block."""
    tensors = dict(generator.state_dict())
    for name in list(tensors):
        if found := re.fullmatch(r"(synthesis\.b\d+)\.conv\d\.weight", name):
            tensors[name.replace("weight", "resample_filter")] = FILTER_44
            tensors[f"{found[1]}.resample_filter"] = FILTER_44
    return tensors


def _nvidia_discriminator(discriminator: Discriminator) -> dict[str, Tensor]:
    largest = 4 * 2 ** len(discriminator.blocks)
    tensors = {}
    for name, tensor in discriminator.state_dict().items():
        kind, rest = name.split(".", 1)
        if kind == "from_rgb":
            tensors[f"b{largest}.fromrgb.{rest}"] = tensor
        elif kind == "blocks":
            index, layer = rest.split(".", 1)
            tensors[f"b{largest >> int(index)}.{layer}"] = tensor
        else:
            tensors[f"b4.{'fc' if kind == 'dense' else kind}.{rest}"] = tensor
    return tensors


def _tree(tensors: dict[str, Tensor], change: dict[str, Any]) -> dict[str, Any]:
    """By dots; changes come last."""
    tree: dict[str, Any] = {}
    for name, value in {**tensors, **change}.items():
        *folders, key = name.split(".")
        part = tree
        for folder in folders:
            part = part.setdefault(folder, {})
        part[key] = value
        if value is None:
            del part[key]
    return tree


def _tensorflow_variables(generator: Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    mapping: dict[str, Any] = {}
    synthesis: dict[str, Any] = {}
    for i, dense in enumerate(generator.mapping.layers):
        mapping[f"Dense{i}/weight"] = dense.weight.numpy().T.copy()
        mapping[f"Dense{i}/bias"] = dense.bias.numpy()
    network = generator.synthesis
    synthesis["4x4/Const/const"] = network.b4.const.numpy()[None]
    layers: list[tuple[str, Any, bool]] = [
        ("4x4/Conv", network.b4.conv1, False),
        ("4x4/ToRGB", network.b4.torgb, False),
    ]
    for i, block in enumerate(network.later):
        side = 8 * 2**i
        layers += [(f"{side}x{side}/Conv0_up", block.conv0, True), (f"{side}x{side}/Conv1", block.conv1, False)]
        layers += [(f"{side}x{side}/ToRGB", block.torgb, False)]
    for name, layer, turned in layers:
        kernel_KKIO = layer.weight.numpy().transpose(2, 3, 1, 0)
        synthesis[f"{name}/weight"] = (kernel_KKIO[::-1, ::-1] if turned else kernel_KKIO).copy()
        synthesis[f"{name}/mod_weight"] = layer.affine.weight.numpy().T.copy()
        synthesis[f"{name}/mod_bias"] = layer.affine.bias.numpy() - 1
        synthesis[f"{name}/bias"] = layer.bias.numpy()
        if "ToRGB" not in name:
            synthesis[f"{name}/noise_strength"] = np.float32(layer.noise_strength)
    for i, conv in enumerate(network.convs):
        synthesis[f"noise{i}"] = conv.noise_const.numpy()[None, None]
    return mapping, synthesis


def _tensorflow_network(
    name: str,
    variables: dict[str, Any],
    components: dict[str, Any],
    version: int,
    source: str,
    static: dict[str, Any],
) -> Any:
    network = sys.modules["dnnlib.tflib.network"].Network()
    network.__dict__ |= {
        "version": version,
        "name": name,
        "static_kwargs": static,
        "components": components,
        "build_module_src": source,
        "build_func_name": "G_main" if name == "Gs" else f"G_{name}",
        "variables": [(key, value) for key, value in variables.items() if value is not None],
    }
    return network


def _rosinality_weights(generator: Generator, *, with_noise: bool) -> dict[str, Any]:
    weights: dict[str, Any] = {"input.input": generator.synthesis.b4.const[None]}
    for i, layer in enumerate(generator.mapping.layers):
        weights |= {f"style.{i + 1}.weight": layer.weight, f"style.{i + 1}.bias": layer.bias}
    for i, conv in enumerate(generator.synthesis.convs):
        name = "conv1" if i == 0 else f"convs.{i - 1}"
        weights |= _rosinality_modulated(name, conv)
        weights[f"{name}.noise.weight"] = conv.noise_strength[None]
        weights[f"{name}.activate.bias"] = conv.bias
        if conv.up:
            weights[f"{name}.conv.blur.kernel"] = FILTER_44 * 4
        if with_noise:
            weights[f"noises.noise_{i}"] = conv.noise_const[None, None]
    synthesis = generator.synthesis
    for i, torgb in enumerate((synthesis.b4.torgb, *(block.torgb for block in synthesis.later))):
        name = "to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"
        weights |= _rosinality_modulated(name, torgb)
        weights[f"{name}.bias"] = torgb.bias[None, :, None, None]
        if i > 0:
            weights[f"{name}.upsample.kernel"] = FILTER_44 * 4
    return weights


def _rosinality_modulated(name: str, layer: Any) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": layer.weight[None],
        f"{name}.conv.modulation.weight": layer.affine.weight,
        f"{name}.conv.modulation.bias": layer.affine.bias,
    }
