"""Files that are no generator, or not a whole one: one line that says what the file is, and what to do."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.checkpoints.discriminator import read_discriminator
from operators.stylegan.describe import describe_generator
from operators.stylegan.training.discriminator import Discriminator
from schemas.errors import WrongUse
from tests.reference.checkpoint_files import write_nvidia, write_rosinality, write_tensorflow
from tests.reference.golden_files import read_golden

PLAIN, _ = read_golden("plain-32")
NAN = torch.full((8, 8, 3, 3), float("nan"))


def _other_safetensors(path: Path) -> None:
    save_file({"decoder.weight": torch.zeros(2)}, path)


def _conditional(path: Path) -> None:
    write_nvidia(path, read_golden("labels-64")[0])


def _cut(path: Path) -> None:
    write_nvidia(path, PLAIN)
    path.write_bytes(path.read_bytes()[:-5000])


def _nvidia(**changes: object) -> Callable[[Path], None]:
    return lambda path: write_nvidia(path, PLAIN, change=changes.pop("change", {}), **changes)  # type: ignore[arg-type]


def _changed(**change: object) -> Callable[[Path], None]:
    """Names with / where the network has dots."""
    return lambda path: write_nvidia(path, PLAIN, change={k.replace("__", "."): v for k, v in change.items()})


def _tensorflow(**changes: object) -> Callable[[Path], None]:
    return lambda path: write_tensorflow(path, PLAIN, **changes)  # type: ignore[arg-type]


def _rosinality(**changes: object) -> Callable[[Path], None]:
    return lambda path: write_rosinality(path, PLAIN, **changes)  # type: ignore[arg-type]


CASES = [
    # id, how the file is made, its name, what the line says
    ("empty", lambda path: path.write_bytes(b""), "g.pkl", "an empty file, not a checkpoint"),
    (
        "web_page",
        lambda path: path.write_text("<!DOCTYPE html><p>Sign in"),
        "g.pkl",
        "a web page: the server sent a mess",
    ),
    (
        "git_lfs",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00"),
        "g.pkl",
        "a pointer of Git LFS: the file itself was not fetched",
    ),
    ("hdf5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "g.pt", "an HDF5 file, not a checkpoint"),
    ("noise", lambda path: path.write_bytes(b"\x01\x02\x03" * 50), "g.pt", "a file of an unknown kind"),
    ("truncated", _cut, "g.pkl", "not a whole checkpoint (it ends too early); copy it again"),
    (
        "other_safetensors",
        _other_safetensors,
        "g.safetensors",
        "a .safetensors of something else (1 tensors, decoder.w",
    ),
    (
        "no_checkpoint",
        lambda path: path.write_bytes(pickle.dumps([1])),
        "g.pkl",
        "a pickle of a list, and no StyleGAN2",
    ),
    (
        "other_checkpoint",
        lambda path: torch.save({"model": {}, "epoch": 3}, path),
        "g.pt",
        "a checkpoint of 2 entries (model, epoch), and no StyleGAN2 generator",
    ),
    (
        "discriminator_only",
        lambda path: write_nvidia(path, None, discriminator=Discriminator((8, 8, 6, 4)), names=("D",)),
        "g.pkl",
        "NVIDIA's pickle without G_ema; give a snapshot that has the averaged generator",
    ),
    ("discriminator_alone", _nvidia(alone=True, class_name="Discriminator"), "g.pkl", "of a discriminator only"),
    ("not_averaged", _nvidia(names=("G",)), "g.pkl", "NVIDIA's pickle without G_ema"),
    (
        "alias_free",
        _changed(synthesis__input={"weight": torch.zeros(4, 4)}),
        "g.pkl",
        "of a StyleGAN3 with alias-free layers; give a StyleGAN2",
    ),
    ("no_stylegan", _changed(synthesis__b4__conv1=None), "g.pkl", "of a Generator that is no StyleGAN2"),
    ("resnet", _changed(synthesis__b8__skip__weight=torch.zeros(8, 8, 1, 1)), "g.pkl", "of the architecture resnet"),
    (
        "orig",
        _changed(**{f"synthesis__b{side}__torgb": None for side in (4, 8, 16)}),
        "g.pkl",
        "of the architecture orig; latentreel draws the architecture skip",
    ),
    (
        "grey",
        _changed(synthesis__b4__torgb__weight=torch.zeros(1, 8, 1, 1)),
        "g.pkl",
        "NVIDIA's pickle of 1 channels; latentreel draws RGB",
    ),
    (
        "other_filter",
        _changed(synthesis__b8__conv0__resample_filter=torch.ones(2, 2) / 4),
        "g.pkl",
        "with another filter",
    ),
    (
        "other_activation",
        _changed(synthesis__b8__conv0__activation="swish"),
        "g.pkl",
        "with swish in synthesis.b8.conv0",
    ),
    (
        "missing_key",
        _changed(synthesis__b8__conv0__weight=None),
        "g.pkl",
        "1 tensors missing, first synthesis.b8.conv0.w",
    ),
    ("nan", _changed(synthesis__b8__conv0__weight=NAN), "g.pkl", "synthesis.b8.conv0.weight holds NaN or infinity"),
    ("wrong_shape", _changed(synthesis__b8__conv0__weight=torch.zeros(8, 8, 1, 1)), "g.pkl", "expected (8, 8, 3, 3)"),
    (
        "too_small",
        _changed(**{f"synthesis__b{side}": None for side in (16, 32)}),
        "g.pkl",
        "8 px; generators have 32, ",
    ),
    ("label_missing", _conditional, "g.pkl", "draws 3 classes; say which with --label, 0 to 2"),
    ("stylegan1", _tensorflow(version=2), "g.pkl", "of a StyleGAN1 or older; give a StyleGAN2"),
    (
        "stylegan1_by_its_layers",
        _tensorflow(change={"4x4/Conv/StyleMod/weight": torch.zeros(24, 16).numpy()}),
        "g.pkl",
        "of a StyleGAN1 or older",
    ),
    ("tf_no_generator", _tensorflow(change={"4x4/Const/const": None}), "g.pkl", "that is no StyleGAN2 generator"),
    ("tf_other_rate", _tensorflow(static={"mapping_lrmul": 0.1}), "g.pkl", "mapping rate 0.1; no such network here"),
    ("tf_other_filter", _tensorflow(static={"resample_kernel": [1, 1]}), "g.pkl", "with another filter"),
    ("tf_resnet", _tensorflow(change={"8x8/Skip/weight": torch.zeros(1, 1, 8, 8).numpy()}), "g.pkl", "tecture resnet"),
    ("rosinality_not_averaged", _rosinality(names=("g",)), "g.pt", "rosinality's checkpoint without g_ema"),
    (
        "rosinality_missing",
        _rosinality(change={"convs.1.conv.weight": None}),
        "g.pt",
        "without synthesis.b8.conv1.weight",
    ),
    ("rosinality_filter", _rosinality(change={"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "g.pt", "another filter"),
    (
        "encoder_alone",
        lambda path: torch.save({"state_dict": {"encoder.x": torch.zeros(1)}}, path),
        "g.pt",
        "an encoder's checkpoint without its decoder; give the generator's own file",
    ),
]


@pytest.mark.parametrize(("make", "name", "words"), [pytest.param(*case, id=name) for name, *case in CASES])
def test_one_line_says_what_the_file_is(tmp_path: Path, make: Callable[[Path], None], name: str, words: str) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(WrongUse) as caught:
        describe_generator(str(path), seed=0)
        load_generator(str(path))
    said = str(caught.value)
    assert words in said, said
    assert said.startswith(f"generator {path}: ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "label", "words"),
    [
        pytest.param("labels-64", 3, "no label 3; give one from 0 to 2", id="beyond"),
        pytest.param("labels-64", -1, "no label -1; give one from 0 to 2", id="negative"),
        pytest.param(
            "plain-32", 0, "knows no labels|no label 0; it knows none: leave it out", id="of_a_plain_generator"
        ),
    ],
)
def test_a_label_that_a_generator_has_not(tmp_path: Path, name: str, label: int, words: str) -> None:
    path = str(tmp_path / "g.safetensors")
    save_generator(read_golden(name)[0], path)
    for read in (describe_generator, load_generator):
        with pytest.raises(WrongUse, match=words):
            read(path, seed=0, label=label)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    writers = {"nvidia": write_nvidia, "tensorflow": write_tensorflow, "zip": write_rosinality}
    for name, write in writers.items():
        write(folder / name, PLAIN)  # type: ignore[operator]
    write_rosinality(folder / "legacy", PLAIN, legacy=True)
    save_generator(PLAIN, str(folder / "ours.safetensors"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


KINDS = ("nvidia", "tensorflow", "zip", "legacy", "ours.safetensors")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(share=st.floats(0.0, 0.9999))
def test_cut_anywhere_a_file_is_refused_in_one_line(
    tmp_path: Path, whole_files: dict[str, bytes], kind: str, share: float
) -> None:
    content = whole_files[kind]
    path = tmp_path / kind
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WrongUse) as caught:
        load_generator(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(share=st.floats(0.0, 0.9999), value=st.integers(0, 255))
def test_a_flipped_byte_is_a_number_or_a_line(
    tmp_path: Path, whole_files: dict[str, bytes], kind: str, share: float, value: int
) -> None:
    """Never another exception: a byte of a weight is another weight, any other is refused or does not matter."""
    content = bytearray(whole_files[kind])
    content[int(len(content) * share)] = value
    path = tmp_path / kind
    path.write_bytes(content)
    try:
        load_generator(str(path))
    except WrongUse as err:
        assert "\n" not in str(err)


@pytest.mark.parametrize(
    ("discriminator", "expected"),
    [pytest.param(True, True, id="snapshot"), pytest.param(False, False, id="generator_only")],
)
def test_the_discriminator_of_a_snapshot_is_read(tmp_path: Path, discriminator: bool, expected: bool) -> None:
    torch.manual_seed(0)
    written = Discriminator((8, 8, 6, 4))
    with torch.no_grad():
        for tensor in written.state_dict().values():
            tensor.normal_()
    write_nvidia(tmp_path / "g.pkl", PLAIN, discriminator=written if discriminator else None)
    read = read_discriminator(str(tmp_path / "g.pkl"))
    assert (read is not None) == expected
    if read is not None:
        assert all(parameter.requires_grad for parameter in read.parameters())
        pictures = torch.randn(4, 3, 32, 32)
        torch.testing.assert_close(read(pictures), written(pictures))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: save_generator(PLAIN, f"{path}.safetensors"), id="ours"),
        pytest.param(lambda path: write_rosinality(path, PLAIN), id="rosinality"),
        pytest.param(lambda path: write_tensorflow(path, PLAIN), id="tensorflow"),
    ],
)
def test_files_without_a_discriminator_of_ours_give_none(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "g")
    (path,) = tmp_path.iterdir()
    assert read_discriminator(str(path)) is None


def test_a_discriminator_of_nan_is_refused(tmp_path: Path) -> None:
    written = Discriminator((8, 8, 6, 4))
    torch.nn.init.constant_(written.conv.weight, float("nan"))
    write_nvidia(tmp_path / "g.pkl", PLAIN, discriminator=written)
    with pytest.raises(WrongUse, match=r"D\.conv\.weight holds NaN"):
        read_discriminator(str(tmp_path / "g.pkl"))
