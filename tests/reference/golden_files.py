"""The golden files: small generators, and what the published equations make of them in float64.

    python -m tests.reference.golden_files

writes them anew, beside this module. They hold weights, inputs and results, so that a change of either implementation,
of a library, or of random numbers shows, and so that they can be compared with other programs.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from operators.stylegan.generator import Architecture, Generator
from tests.reference import stylegan2_equations as reference

FOLDER = Path(__file__).parent / "golden"
PSI = 0.7
_SIZES = {"z_dim": 24, "w_dim": 24, "mapping_layers": 3}
ARCHITECTURES = {
    "plain-32": Architecture(resolution=32, channels=(8, 8, 6, 4), **_SIZES),
    "clamped-32": Architecture(resolution=32, channels=(8, 8, 6, 4), clamp=1.5, **_SIZES),
    "labels-64": Architecture(resolution=64, channels=(8, 8, 6, 4, 4), label_dim=3, clamp=256.0, **_SIZES),
}


def golden(name: str) -> dict[str, Tensor]:
    """Weights by their names in float32; `in.*` and, in float64, `out.*`."""
    architecture = ARCHITECTURES[name]
    source = np.random.default_rng([2026, *name.encode()])

    def drawn(*shape: int) -> Tensor:
        return torch.from_numpy(source.standard_normal(shape, np.float32))

    weights = {}
    for key, tensor in Generator(architecture).state_dict().items():
        # Every weight random, noise strengths and biases too, so that no term can hide behind a zero.
        weights[key] = drawn(*tensor.shape) * (100 if key.startswith("mapping.fc") else 1)
    exact = {key: tensor.double() for key, tensor in weights.items()}
    z_NZ, w_NLD, target = drawn(2, 24), drawn(2, architecture.num_ws, 24), drawn(2, 3, *(architecture.resolution,) * 2)
    n_labels = architecture.label_dim
    label_NK = torch.eye(n_labels)[[2, 0]] if n_labels else None
    mapped_ND = reference.mapping(
        exact, z_NZ.double(), None if label_NK is None else label_NK.double(), n_layers=3, psi=PSI
    )
    varied = w_NLD.double().requires_grad_(True)
    clamp = float("inf") if architecture.clamp is None else architecture.clamp
    picture = reference.synthesis(exact, varied, resolution=architecture.resolution, noise=True, clamp=clamp)
    (slope,) = torch.autograd.grad((picture - target).square().mean(), varied)
    inputs = {"in.z": z_NZ, "in.w": w_NLD, "in.target": target}
    inputs |= {} if label_NK is None else {"in.label": label_NK}
    return weights | inputs | {"out.w": mapped_ND, "out.picture": picture.detach(), "out.slope": slope}


def read_golden(name: str) -> tuple[Generator, dict[str, Tensor]]:
    """The generator, on whose weights nothing was computed, and the inputs and results."""
    path = str(FOLDER / f"{name}.safetensors")
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        sizes = json.loads(file.metadata()["architecture"])
    generator = Generator(Architecture(**sizes | {"channels": tuple(sizes["channels"])})).requires_grad_(False)
    generator.load_state_dict({key: tensors[key] for key in generator.state_dict()})
    return generator, {key: tensor for key, tensor in tensors.items() if key.startswith(("in.", "out."))}


def main() -> None:
    """Writes all."""
    FOLDER.mkdir(exist_ok=True)
    for name, architecture in ARCHITECTURES.items():
        tensors = {key: tensor.contiguous() for key, tensor in golden(name).items()}
        metadata = {"architecture": json.dumps(asdict(architecture))}
        save_file(tensors, FOLDER / f"{name}.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
