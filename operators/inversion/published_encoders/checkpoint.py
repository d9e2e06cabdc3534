"""Checkpoints of pSp, e4e and ReStyle: what they hold, read without torch and without executing anything of theirs.

A file is {state_dict: encoder.*, decoder.*, latent_avg, opts}, opts being the options of its training run.
Layouts: eladrich/pixel2style2pixel, omertov/encoder4editing, yuval-alaluf/restyle-encoder, models/.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from operators.inversion.published_encoders.sizes import PublishedSizes
from operators.stylegan.checkpoints.find_generator import (
    described,
    find_generator,
    generator_path,
    read_checkpoint_file,
)
from operators.stylegan.checkpoints.found_generator import FoundGenerator
from operators.stylegan.checkpoints.rosinality import rosinality_generator
from operators.stylegan.checkpoints.stored_array import StoredArray
from schemas.errors import WrongUse
from schemas.generators import GeneratorInfo, parse_random_name

CURE = "give an encoder's .safetensors, a checkpoint of pSp, e4e or ReStyle (.pt), or train one"
_SAVE_ALONE = "torch.save({'state_dict': net.state_dict(), 'latent_avg': net.latent_avg, 'opts': vars(net.opts)}, FILE)"

# `encoder_type` of opts: the backbone, whether there is a pyramid, whether styles are offsets to the first one. Names
# and shapes of tensors tell the first two; the third stands here alone, for pSp's and e4e's are named alike.
_TYPES: dict[str, tuple[Literal["ir-se50", "resnet34"], bool, bool]] = {
    "GradualStyleEncoder": ("ir-se50", True, False),  # pSp; with six channels one of ReStyle's
    "Encoder4Editing": ("ir-se50", True, True),  # e4e
    "BackboneEncoder": ("ir-se50", False, False),  # this and the others: ReStyle
    "ProgressiveBackboneEncoder": ("ir-se50", False, True),
    "ResNetGradualStyleEncoder": ("resnet34", True, False),
    "ResNetBackboneEncoder": ("resnet34", False, False),
    "ResNetProgressiveBackboneEncoder": ("resnet34", False, True),
}
_MAY_START_AT_ZERO = ("GradualStyleEncoder", "Encoder4Editing")  # as opts.start_from_latent_avg says; ReStyle's may not
_FIRST_CONV = {"ir-se50": "input_layer.0.weight", "resnet34": "conv1.weight"}
_COUNTERS = ".num_batches_tracked"  # of batch normalisation: nothing that a picture depends on
# What tells two generators apart, one of each kind of layer; convolutions that enlarge are stored turned round by some.
_TELLING = ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.weight", "synthesis.b4.torgb.weight")
_ROUNDING = 2e-3  # relative: one of the two may be stored in half precision


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedFile:
    """Tensors are named as in the network, without `encoder.`; their numbers are still on the disk."""

    kind: str  # its encoder_type
    sizes: PublishedSizes
    tensors: dict[str, StoredArray]
    mean: StoredArray | None  # (L, D), (1, D) or (D,), to be added to the answer; None: nothing is
    decoder: FoundGenerator | None  # the generator that it was trained for, where the file carries it


def read_published(path: str) -> PublishedFile:
    """Sizes follow from names and shapes, the kind from opts; neither is guessed.

    Raises: WrongUse: one line that says what the file is, and what to do.
    """
    if not Path(path).is_file():
        raise WrongUse(f"encoder {path}: no such file; {CURE}")
    content = read_checkpoint_file(path, what="encoder", cure=CURE, save_alone=_SAVE_ALONE)
    weights = content.get("state_dict") if isinstance(content, dict) else None
    weights = weights if isinstance(weights, dict) else {}
    tensors = {
        name.removeprefix("encoder."): values
        for name, values in weights.items()
        if str(name).startswith("encoder.") and isinstance(values, StoredArray) and not name.endswith(_COUNTERS)
    }
    if not tensors:
        raise WrongUse(f"encoder {path}: {described(content)}, and no encoder; {CURE}")
    opts = content.get("opts")
    if not isinstance(opts, dict) or "encoder_type" not in opts:
        raise WrongUse(
            f"encoder {path}: an encoder's checkpoint without opts.encoder_type: the weights of pSp and e4e have the "
            "same names and shapes, so what it is cannot be told; give the whole file"
        )
    kind = " ".join(str(opts["encoder_type"]).split())
    if kind not in _TYPES:
        raise WrongUse(f"encoder {path}: a {kind}, which latentreel does not run; give a {' or '.join(_TYPES)}")
    if opts.get("learn_in_w"):
        raise WrongUse(f"encoder {path}: a {kind} with learn_in_w, one style for all layers; give one of W+")
    if str(opts.get("dataset_type", "")).startswith("cars"):
        raise WrongUse(f"encoder {path}: made for pictures of 256 by 192 px, and crops are square; give another")
    sizes = _sizes(path, kind, tensors)
    may_start_at_zero = kind in _MAY_START_AT_ZERO and not sizes.sees_reconstruction
    return PublishedFile(
        kind=kind,
        sizes=sizes,
        tensors=tensors,
        mean=_mean(path, sizes, content, added=not may_start_at_zero or bool(opts.get("start_from_latent_avg"))),
        decoder=rosinality_generator(path, content) if "decoder.conv1.conv.weight" in weights else None,
    )


def _sizes(path: str, kind: str, tensors: dict[str, StoredArray]) -> PublishedSizes:
    backbone, pyramid, deltas = _TYPES[kind]
    first = _shape(path, kind, tensors, _FIRST_CONV[backbone], n_dimensions=4)
    n_styles = sum(bool(re.fullmatch(r"styles\.\d+\.linear\.weight", name)) for name in tensors)
    w_dim = _shape(path, kind, tensors, "styles.0.linear.weight", n_dimensions=2)[0]
    if first[1] not in (3, 6):
        raise WrongUse(f"encoder {path}: a {kind} of {first[1]} input channels; give one of pictures, of 3 or 6")
    # Bounded before anything is allocated from them: shapes cost a file nothing.
    if max(first[0], w_dim) > 4096 or n_styles > 64:
        raise WrongUse(f"encoder {path}: {first[0]} channels, {n_styles} styles of {w_dim}: no published sizes; {CURE}")
    return PublishedSizes(
        backbone=backbone,
        pyramid=pyramid,
        deltas=deltas,
        in_channels=first[1],
        width=first[0],
        num_ws=n_styles,
        w_dim=w_dim,
    )


def _shape(path: str, kind: str, tensors: dict[str, StoredArray], name: str, *, n_dimensions: int) -> tuple[int, ...]:
    shape = tensors[name].shape if name in tensors else ()
    if len(shape) != n_dimensions:
        found = f"shaped {shape}" if name in tensors else "missing"
        raise WrongUse(f"encoder {path}: says that it is a {kind}, and its {name} is {found}; take a whole file")
    return shape


def _mean(path: str, sizes: PublishedSizes, content: dict[str, Any], *, added: bool) -> StoredArray | None:
    if not added:
        return None
    mean = content.get("latent_avg")
    shapes = ((sizes.num_ws, sizes.w_dim), (1, sizes.w_dim), (sizes.w_dim,))
    if not isinstance(mean, StoredArray) or mean.shape not in shapes:
        found = f"its latent_avg is shaped {mean.shape}" if isinstance(mean, StoredArray) else "it has no latent_avg"
        raise WrongUse(
            f"encoder {path}: its answers are offsets to a mean latent of {sizes.num_ws} styles of {sizes.w_dim}, and "
            f"{found}; take a whole file"
        )
    return mean


def require_fit(path: str, sizes: PublishedSizes, *, num_ws: int, w_dim: int) -> None:
    """Raises: WrongUse when an encoder's latents are none of the generator's."""
    if (sizes.num_ws, sizes.w_dim) != (num_ws, w_dim):
        raise WrongUse(
            f"encoder {path}: makes {sizes.num_ws} styles of {sizes.w_dim}, and the generator takes {num_ws} of "
            f"{w_dim}; give an encoder of this generator, or none"
        )


def is_of_another(file: PublishedFile, generator: GeneratorInfo) -> bool:
    """Whether the generator that the file carries has other weights than the one in use; a few tensors are compared.

    Gives: False where the file carries none.
    """
    if file.decoder is None:
        return False
    if parse_random_name(generator.name) is not None:
        return True
    ours, theirs = find_generator(generator_path(generator.name)).tensors, file.decoder.tensors
    return not all(_are_alike(ours[name], theirs[name]) for name in _TELLING)


def _are_alike(a: StoredArray, b: StoredArray) -> bool:
    if a.shape != b.shape:
        return False
    difference, scale = np.abs(a.read() - b.read()).max(), np.abs(b.read()).max()
    return bool(difference <= _ROUNDING * scale)
