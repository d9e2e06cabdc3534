"""Every kind of file that a generator comes in draws the golden pictures, and nothing in a file is executed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.checkpoints.find_generator import find_generator
from operators.stylegan.generator import Generator
from tests.reference.checkpoint_files import marking, write_nvidia, write_rosinality, write_tensorflow
from tests.reference.golden_files import ARCHITECTURES, PSI, golden, read_golden

TOLERANCE = 1e-5  # relative, float32 against float64; the target is 1e-4

Write = Callable[[Path, Generator], None]


def write_ours(path: Path, generator: Generator) -> None:
    save_generator(generator, str(path))


def write_bare_rosinality(path: Path, generator: Generator) -> None:
    """A state_dict and nothing round it."""
    write_rosinality(path, generator)
    torch.save(torch.load(path, weights_only=False)["g_ema"], path)


def relative(ours: Tensor, exact: Tensor) -> float:
    return float((ours.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_golden_files_are_what_the_equations_give(name: str) -> None:
    _, held = read_golden(name)
    again = golden(name)
    for key, tensor in held.items():
        torch.testing.assert_close(again[key], tensor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "file", "write"),
    [
        pytest.param("plain-32", "g.safetensors", write_ours, id="ours"),
        pytest.param("clamped-32", "g.safetensors", write_ours, id="ours_clamped"),
        pytest.param("labels-64", "g.safetensors", write_ours, id="ours_labels"),
        pytest.param("plain-32", "g.pkl", write_nvidia, id="nvidia"),
        pytest.param("plain-32", "g.pkl", partial(write_nvidia, alone=True), id="nvidia_one_network"),
        pytest.param("clamped-32", "g.pkl", write_nvidia, id="nvidia_clamped"),
        pytest.param("labels-64", "g.pkl", write_nvidia, id="nvidia_labels"),
        pytest.param("plain-32", "g.pkl", write_tensorflow, id="tensorflow"),
        pytest.param("plain-32", "g.pkl", partial(write_tensorflow, protocol=2), id="tensorflow_protocol_2"),
        pytest.param("plain-32", "g.pkl", partial(write_tensorflow, n_networks=1), id="tensorflow_one_network"),
        pytest.param(
            "clamped-32", "g.pkl", partial(write_tensorflow, static={"conv_clamp": 1.5}), id="tensorflow_clamped"
        ),
        pytest.param("plain-32", "g.pt", write_rosinality, id="rosinality"),
        pytest.param("plain-32", "g.pt", partial(write_rosinality, legacy=True), id="rosinality_before_torch_1_6"),
        pytest.param("plain-32", "g.pt", partial(write_rosinality, as_decoder=True), id="decoder_of_an_encoder"),
        pytest.param("plain-32", "named-otherwise", write_nvidia, id="told_by_content_not_by_name"),
    ],
)
def test_each_kind_of_file_draws_the_golden_pictures(tmp_path: Path, name: str, file: str, write: Write) -> None:
    written, held = read_golden(name)
    path = tmp_path / file
    write(path, written)
    made = load_generator(str(path))
    assert made.architecture == written.architecture
    assert (
        relative(made.mapping(held["in.z"], held.get("in.label"), truncation_psi=PSI)[:, 0], held["out.w"]) < TOLERANCE
    )
    w_NLD = held["in.w"].clone().requires_grad_(True)
    picture = made.synthesis(w_NLD)
    assert relative(picture.detach(), held["out.picture"]) < TOLERANCE
    (slope,) = torch.autograd.grad((picture - held["in.target"]).square().mean(), w_NLD)
    assert relative(slope, held["out.slope"]) < TOLERANCE


def test_weights_without_a_mean_get_the_mean_of_samples(tmp_path: Path) -> None:
    written, _ = read_golden("plain-32")
    write_bare_rosinality(tmp_path / "g.pt", written)
    made = load_generator(str(tmp_path / "g.pt"))
    z_NZ = torch.randn(4000, 24, generator=torch.Generator().manual_seed(1))
    w_ND = written.mapping(z_NZ)[:, 0]
    spread = w_ND.std()
    assert (made.mapping.w_avg - w_ND.mean(0)).square().mean().sqrt() < 0.1 * spread


def test_noise_that_a_file_has_not_is_drawn_once(tmp_path: Path) -> None:
    """Rosinality's first files. The maps are equal in every process, of unit variance, other ones in each layer."""
    written, _ = read_golden("plain-32")
    write_rosinality(tmp_path / "g.pt", written, with_noise=False)
    a, b = (load_generator(str(tmp_path / "g.pt")).synthesis.convs for _ in range(2))
    assert all(torch.equal(x.noise_const, y.noise_const) for x, y in zip(a, b, strict=True))
    assert 0.9 < torch.cat([conv.noise_const.flatten() for conv in a]).std() < 1.1
    assert not torch.equal(a[-1].noise_const, a[-2].noise_const)


@pytest.mark.parametrize("write", [pytest.param(write_nvidia, id="nvidia"), pytest.param(write_tensorflow, id="tf")])
def test_a_generator_without_noise_is_one_of_silent_noise(tmp_path: Path, write: Callable[..., None]) -> None:
    written, held = read_golden("plain-32")
    if write is write_nvidia:
        kinds = ("noise_strength", "noise_const")
        names = [f"{name}.{kind}" for name, _ in _conv_names(written) for kind in kinds]
    else:
        places = ["4x4/Conv", *(f"{side}x{side}/{conv}" for side in (8, 16, 32) for conv in ("Conv0_up", "Conv1"))]
        names = [f"{place}/noise_strength" for place in places] + [f"noise{i}" for i in range(7)]
    write(tmp_path / "g.pkl", written, change=dict.fromkeys(names))
    made = load_generator(str(tmp_path / "g.pkl"))
    assert all(conv.is_silent for conv in made.synthesis.convs)
    assert relative(made.synthesis(held["in.w"]), written.synthesis(held["in.w"], noise="none").double()) < TOLERANCE


def test_a_mapping_rate_of_its_own_is_carried_into_the_weights(tmp_path: Path) -> None:
    """Stored weights that are to be multiplied with 1, not with 0.01."""
    written, held = read_golden("plain-32")
    change: dict[str, object] = {}
    for i, layer in enumerate(written.mapping.layers):
        change |= {f"mapping.fc{i}.weight": layer.weight / 100, f"mapping.fc{i}.bias": layer.bias / 100}
        change |= {f"mapping.fc{i}.bias_gain": 1.0}
    write_nvidia(tmp_path / "g.pkl", written, change=change)
    made = load_generator(str(tmp_path / "g.pkl"))
    assert relative(made.mapping(held["in.z"], truncation_psi=PSI)[:, 0], held["out.w"]) < TOLERANCE


@pytest.mark.parametrize(
    ("file", "write"),
    [pytest.param("g.pkl", write_nvidia, id="nvidia"), pytest.param("g.pkl", write_tensorflow, id="tensorflow")],
)
def test_source_in_a_file_is_not_executed(tmp_path: Path, file: str, write: Callable[..., None]) -> None:
    """The source in it makes a file when it is executed: by hand it does, by loading it does not."""
    marker = tmp_path / "executed"
    written, _ = read_golden("plain-32")
    write(tmp_path / file, written, source=marking(marker))
    assert str(marker).encode() in (tmp_path / file).read_bytes()
    load_generator(str(tmp_path / file))
    assert not marker.exists()
    exec(marking(marker), {})
    assert marker.exists()


def test_shapes_are_known_without_reading_numbers(tmp_path: Path) -> None:
    """What describes a generator reads no tensor of it: here none could be read."""
    written, _ = read_golden("plain-32")
    path = tmp_path / "g.pt"
    write_rosinality(path, written, change={"convs.0.conv.weight": torch.full((1, 8, 8, 3, 3), float("nan"))})
    found = find_generator(str(path))
    assert found.architecture["channels"] == [8, 8, 6, 4]
    assert np.isnan(found.tensors["synthesis.b8.conv0.weight"].read()).all()


def _conv_names(generator: Generator) -> list[tuple[str, object]]:
    return [(name, layer) for name, layer in generator.named_modules() if hasattr(layer, "noise_const")]
