"""Generators by name and to files: the same bits back, wrong files in one line, nothing executed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.describe import describe_generator
from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.random_weights import random_generator
from operators.stylegan.w_statistics import w_statistics
from schemas.errors import WrongUse


@pytest.fixture(scope="module")
def small() -> Generator:
    return random_generator(32, seed=0, channel_base=64, channel_max=16)


def test_equal_seeds_give_equal_bits_whatever_the_global_state(small: Generator) -> None:
    torch.manual_seed(99)
    again = random_generator(32, seed=0, channel_base=64, channel_max=16).state_dict()
    other = random_generator(32, seed=1, channel_base=64, channel_max=16).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in small.state_dict().items())
    assert not torch.equal(other["synthesis.b4.const"], again["synthesis.b4.const"])


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        pytest.param("random-32", (128, 64, 32, 16), id="32"),
        pytest.param("random-64", (128, 128, 64, 32, 16), id="64"),
        pytest.param("random-64-f", (512, 512, 512, 512, 512), id="64_published_widths"),
    ],
)
def test_a_random_name_has_its_widths_and_agrees_with_its_description(name: str, channels: tuple[int, ...]) -> None:
    made, info = load_generator(name, seed=1), describe_generator(name, seed=1)
    assert made.architecture.channels == channels
    assert (made.resolution, made.num_ws, made.w_dim) == (info.resolution, info.num_ws, info.w_dim)


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed{seed}") for seed in range(3)])
def test_random_pictures_have_contrast_and_colour_and_differ(seed: int) -> None:
    made = load_generator("random-64", seed=seed)
    with torch.no_grad():
        pictures = made(torch.randn(8, 512, generator=torch.Generator().manual_seed(1)))
    assert 0.25 < pictures.std() < 0.8, "flat, or clipped"
    assert (pictures.abs() > 1).float().mean() < 0.25, "clipped"
    assert pictures.std(dim=1).mean() > 0.1, "grey"
    assert pictures.std(dim=0).mean() > 0.1, "all alike"


def test_the_mean_latent_is_the_mean_of_many_samples(small: Generator) -> None:
    default, many = w_statistics(small), w_statistics(small, n=20_000, seed=1)
    error = (default.mean_D - many.mean_D).square().mean().sqrt()
    assert error < 0.05 * many.spread  # about sqrt(1/2048) of it is expected
    assert default.spread == pytest.approx(many.spread, rel=0.02)
    assert torch.equal(small.mapping.w_avg, default.mean_D)


def test_a_file_gives_back_the_same_bits(tmp_path: Path, small: Generator) -> None:
    path = str(tmp_path / "small.safetensors")
    save_generator(small, path)
    back = load_generator(path, seed=5)
    assert back.architecture == small.architecture
    assert back.state_dict().keys() == small.state_dict().keys()
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in small.state_dict().items())
    w_NLD = small.mapping.w_avg.expand(1, 8, -1)
    assert torch.equal(back.synthesis(w_NLD), small.synthesis(w_NLD))
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]


def test_equal_weights_are_equal_files(tmp_path: Path, small: Generator) -> None:
    """The library orders several header entries anew in every process: two of them, to catch a second entry."""
    save_generator(small, str(tmp_path / "a.safetensors"))
    code = (
        "import sys; from operators.stylegan.checkpoint import load_generator, save_generator; "
        "save_generator(load_generator(sys.argv[1]), sys.argv[2])"
    )
    for name in ("b", "c"):
        words = [str(tmp_path / "a.safetensors"), str(tmp_path / f"{name}.safetensors")]
        subprocess.run([sys.executable, "-c", code, *words], check=True)
        assert (tmp_path / f"{name}.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_a_file_of_halves_is_read_as_rounded_weights(tmp_path: Path, small: Generator) -> None:
    path = str(tmp_path / "small.safetensors")
    save_generator(small, path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    halves = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(halves, path, metadata=metadata)
    back = load_generator(path).state_dict()
    assert all(torch.equal(back[name], tensor.half().float()) for name, tensor in small.state_dict().items())


def test_a_wrong_ending_is_refused_before_anything_is_written(tmp_path: Path, small: Generator) -> None:
    with pytest.raises(ValueError, match=r"must end with \.safetensors"):
        save_generator(small, str(tmp_path / "small.pt"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param("missing", "1 tensors missing, first synthesis.b8.conv0.weight", id="missing_tensor"),
        pytest.param("extra", "1 unknown tensors, first optimiser.step", id="unknown_tensor"),
        pytest.param("shape", "synthesis.b8.conv0.weight is (2, 2), expected (8, 16, 3, 3)", id="wrong_shape"),
        pytest.param("dtype", "synthesis.b8.conv0.weight is F64, expected F32", id="wrong_dtype"),
        pytest.param("nan", "synthesis.b8.conv0.weight holds NaN", id="nan"),
    ],
)
def test_wrong_tensors_are_one_line(tmp_path: Path, small: Generator, damage: str, words: str) -> None:
    path, key = str(tmp_path / "g.safetensors"), "synthesis.b8.conv0.weight"
    save_generator(small, path)
    metadata = _metadata(path)
    tensors = load_file(path)
    if damage == "missing":
        del tensors[key]
    elif damage == "extra":
        tensors["optimiser.step"] = torch.zeros(1)
    elif damage == "shape":
        tensors[key] = torch.zeros(2, 2)
    elif damage == "dtype":
        tensors[key] = tensors[key].double()
    else:
        tensors[key][0, 0, 1, 1] = float("nan")
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(WrongUse) as caught:
        load_generator(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_whose_tensors_end_early_is_refused(tmp_path: Path, small: Generator) -> None:
    path = tmp_path / "g.safetensors"
    save_generator(small, str(path))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WrongUse, match="not a whole"):
        load_generator(str(path))


def test_style_layers_follow_from_the_resolution() -> None:
    architecture = Architecture(resolution=1024, channels=(4,) * 9, z_dim=4, w_dim=4, mapping_layers=1)
    assert architecture.num_ws == 18
    with torch.no_grad():
        assert Generator(architecture).synthesis(torch.zeros(1, 18, 4)).shape == (1, 3, 1024, 1024)


def _metadata(path: str) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())
