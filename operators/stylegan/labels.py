"""A conditional generator, held to one of its labels: from then on it is a generator like any other.

D style width, Z noise width, K labels.
"""

import math
from dataclasses import replace

import torch

from operators.stylegan.generator import Generator
from operators.stylegan.w_statistics import w_statistics
from schemas.errors import WrongUse

_MEAN_SAMPLES = 10_000  # of w of that label: the file's mean is over all labels


@torch.no_grad()
def with_label(generator: Generator, label: int, *, name: str) -> Generator:
    """The generator of one class, which takes z alone and has that class's mean latent.

    With the label fixed its embedding is constant, so that what the first layer makes of it is a part of its bias.

    Takes: a generator of K labels; `label` from 0 to K - 1; `name` of the generator, for errors.
    Raises: WrongUse for a label that it has not.
    """
    n_labels = generator.architecture.label_dim
    if n_labels == 0:
        raise WrongUse(f"generator {name}: knows no labels; leave the label out")
    if not 0 <= label < n_labels:
        raise WrongUse(f"generator {name}: no label {label}; give one from 0 to {n_labels - 1}")
    plain = Generator(replace(generator.architecture, label_dim=0)).requires_grad_(False)
    tensors = generator.state_dict()
    first = generator.mapping.layers[0]
    z_dim = generator.z_dim
    embedded_D = generator.mapping.embedded(torch.eye(n_labels)[label][None])[0]
    weight_DI = tensors["mapping.fc0.weight"]
    share_D = weight_DI[:, z_dim:] @ embedded_D * first.weight_gain
    tensors["mapping.fc0.bias"] = tensors["mapping.fc0.bias"] + share_D / first.bias_gain
    # A layer divides its weights by the root of its width: here it has become narrower.
    tensors["mapping.fc0.weight"] = weight_DI[:, :z_dim] * math.sqrt(z_dim / weight_DI.shape[1])
    del tensors["mapping.embed.weight"], tensors["mapping.embed.bias"]
    plain.load_state_dict(tensors)
    plain.mapping.w_avg.copy_(w_statistics(plain, n=_MEAN_SAMPLES).mean_D)
    return plain
