"""Checkpoints of rosinality's StyleGAN2, alone or as the decoder inside an encoder's checkpoint (pSp, e4e, ReStyle).

Layout: rosinality/stylegan2-pytorch, model.py. Weights are scaled when they are used as NVIDIA's are, so converting is
renaming; in convolutions that demodulate the scale cancels.
"""

from typing import Any

import numpy as np

from operators.stylegan.checkpoints.found_generator import FoundGenerator, found_generator, require_published_filter
from operators.stylegan.checkpoints.rename import N_CONVS, Rule, conv_name, renamed
from operators.stylegan.checkpoints.stored_array import StoredArray, stored
from schemas.errors import WrongUse

KIND = "rosinality's checkpoint"
DECODER_KIND = "an encoder's checkpoint, its decoder"
_MAPPING_LAYERS_MAX = 16  # published: 8
_SEED = 0  # of noise maps where a file has none


def rosinality_generator(path: str, content: Any) -> FoundGenerator | None:
    """Takes: what a .pt holds. None: something else.

    Raises: WrongUse for a checkpoint without the averaged generator.
    """
    if not isinstance(content, dict):
        return None
    kind, weights = KIND, content.get("g_ema")
    if weights is None and isinstance(content.get("state_dict"), dict):
        decoder = {k.removeprefix("decoder."): v for k, v in content["state_dict"].items() if k.startswith("decoder.")}
        kind, weights = DECODER_KIND, decoder or None
        if weights is None and any(name.startswith("encoder.") for name in content["state_dict"]):
            raise WrongUse(
                f"generator {path}: an encoder's checkpoint without its decoder; give the generator's own file"
            )
    if weights is None and "input.input" in content:
        weights = content
    if weights is None:
        if {"g", "d"} & content.keys():
            raise WrongUse(f"generator {path}: {KIND} without g_ema; give one that has the averaged generator")
        return None
    if not isinstance(weights, dict) or "conv1.conv.weight" not in weights:
        raise WrongUse(f"generator {path}: {kind} that is no StyleGAN2; give a StyleGAN2")
    for name in ("convs.0.conv.blur.kernel", "to_rgbs.0.upsample.kernel"):
        if name in weights:
            require_published_filter(path, kind, weights[name], gain=4)
    tensors = renamed(weights, _rules())
    if isinstance(mean := content.get("latent_avg"), StoredArray):
        tensors["mapping.w_avg"] = mean.then(lambda a: a.reshape(-1, a.shape[-1])[0])  # an encoder's: a row per style
    return found_generator(path, kind, _with_noise_maps(tensors))


def _rules() -> list[Rule]:
    rules: list[Rule] = [
        # style.0 brings z to length 1, so that their first layer is the second entry.
        *((rf"style\.{i + 1}\.(weight|bias)", rf"mapping.fc{i}.\1", None) for i in range(_MAPPING_LAYERS_MAX)),
        (r"input\.input", r"synthesis.b4.const", lambda a: a[0]),
    ]
    for i in range(N_CONVS):
        theirs, ours = "conv1" if i == 0 else rf"convs\.{i - 1}", conv_name(i)
        rules += [
            *_modulated(theirs, ours),
            (rf"{theirs}\.noise\.weight", f"{ours}.noise_strength", lambda a: a[0]),
            (rf"{theirs}\.activate\.bias", f"{ours}.bias", None),
            (rf"noises\.noise_{i}", f"{ours}.noise_const", lambda a: a[0, 0]),
        ]
    for level in range(N_CONVS // 2 + 1):
        theirs, ours = "to_rgb1" if level == 0 else rf"to_rgbs\.{level - 1}", f"synthesis.b{4 * 2**level}.torgb"
        rules += [*_modulated(theirs, ours), (rf"{theirs}\.bias", f"{ours}.bias", lambda a: a.reshape(-1))]
    return rules


def _modulated(theirs: str, ours: str) -> list[Rule]:
    return [
        (rf"{theirs}\.conv\.weight", f"{ours}.weight", lambda a: a[0]),
        (rf"{theirs}\.conv\.modulation\.(weight|bias)", rf"{ours}.affine.\1", None),
    ]


def _with_noise_maps(tensors: dict[str, StoredArray]) -> dict[str, StoredArray]:
    """Older files draw their noise anew for every picture and keep none; ours are drawn once, from a seed."""
    filled = dict(tensors)
    for name in tensors:
        if name.endswith("noise_strength") and (key := name.replace("noise_strength", "noise_const")) not in filled:
            side = int(key.split(".")[1][1:])
            source = np.random.default_rng([_SEED, *key.encode()])
            filled[key] = stored(source.standard_normal((side, side), np.float32))
    return filled
