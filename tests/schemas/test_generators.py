"""Generators told by name and header, without torch; wrong names and files in one line with the cure."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from operators.stylegan.describe import describe_generator
from schemas.errors import WrongUse
from schemas.generators import FILE_FORMAT, num_ws

HEADER = {"resolution": 32, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channels": [4, 4, 4, 2]}


def write_file(path: Path, *, metadata: dict[str, str] | None, cut: int = 0) -> str:
    """A .safetensors file with one tensor of four bytes, written by hand from the format's definition."""
    header: dict = {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    whole = struct.pack("<Q", len(text)) + text + b"\0\0\0\0"
    path.write_bytes(whole[: len(whole) - cut])
    return str(path)


def ours(**changes: object) -> dict[str, str]:
    return {FILE_FORMAT: json.dumps(HEADER | changes)}


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [pytest.param(r, n, id=f"{r}px") for r, n in ((32, 8), (64, 10), (128, 12), (256, 14), (512, 16), (1024, 18))],
)
def test_num_ws_is_the_published_one(resolution: int, expected: int) -> None:
    assert num_ws(resolution) == expected
    assert describe_generator(f"random-{resolution}", seed=0).num_ws == expected


@pytest.mark.parametrize(
    ("name", "seed", "generator_id"),
    [
        pytest.param("random-64", 0, "random-64-seed0", id="narrow"),
        pytest.param("random-256-f", 3, "random-256-f-seed3", id="published_widths"),
    ],
)
def test_a_random_generator_is_its_name_and_seed(name: str, seed: int, generator_id: str) -> None:
    info = describe_generator(name, seed=seed)
    assert (info.name, info.generator_id, info.w_dim) == (name, generator_id, 512)


def test_a_file_is_its_stem_and_hash_and_the_seed_changes_nothing(tmp_path: Path) -> None:
    one = write_file(tmp_path / "faces.safetensors", metadata=ours())
    other = write_file(tmp_path / "other.safetensors", metadata=ours(w_dim=16))
    info = describe_generator(one, seed=0)
    assert (info.resolution, info.num_ws, info.w_dim) == (32, 8, 8)
    stem, digest = info.generator_id.rsplit("-", 1)
    assert stem == "faces"
    assert len(digest) == 16
    assert describe_generator(one, seed=7).generator_id == info.generator_id
    assert describe_generator(other, seed=0).content_id != digest
    renamed = describe_generator(str(Path(one).rename(tmp_path / "renamed.safetensors")), seed=0)
    assert (renamed.content_id, renamed.generator_id) == (info.content_id, f"renamed-{digest}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("random-100", ("100 px", "32, 64"), id="resolution_that_none_has"),
        pytest.param("random-1024000", ("1024000 px",), id="resolution_too_large"),
        pytest.param("ffhq", ("no such name", "random-64"), id="unknown_name"),
        pytest.param("my-ffhq.pkl", ("no such file", ".pkl"), id="pickle"),
        pytest.param("absent.safetensors", ("no such file",), id="missing_file"),
    ],
)
def test_a_wrong_name_is_one_line_with_the_cure(name: str, words: tuple[str, ...]) -> None:
    _refused(name, words)


@pytest.mark.parametrize(
    ("metadata", "cut", "words"),
    [
        pytest.param(ours(), 2, ("not a whole",), id="truncated_data"),
        pytest.param(ours(), 40, ("not a whole",), id="truncated_header"),
        pytest.param(None, 0, ("has no", FILE_FORMAT), id="no_metadata"),
        pytest.param({"format": "pt"}, 0, ("has no",), id="foreign"),
        pytest.param({FILE_FORMAT: "{"}, 0, ("not JSON",), id="architecture_not_json"),
        pytest.param({FILE_FORMAT: "{}"}, 0, ("must give",), id="no_architecture"),
        pytest.param(ours(extra=1), 0, ("must give",), id="unknown_size"),
        pytest.param(ours(resolution=48), 0, ("48 px",), id="impossible_resolution"),
        pytest.param(ours(channels=[4, 4]), 0, ("give 4",), id="too_few_channels"),
        pytest.param(ours(w_dim=10**9), 0, ("4096",), id="size_that_would_fill_memory"),
        pytest.param(ours(w_dim=True), 0, ("4096",), id="size_that_is_no_number"),
        pytest.param(ours(resolution="64"), 0, ("64 px",), id="resolution_that_is_text"),
    ],
)
def test_a_wrong_file_is_one_line_with_the_cure(
    tmp_path: Path, metadata: dict[str, str] | None, cut: int, words: tuple[str, ...]
) -> None:
    _refused(write_file(tmp_path / "g.safetensors", metadata=metadata, cut=cut), words)


def test_bytes_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    path.write_bytes(b"\x80\x04\x95 a pickle under another name")
    _refused(str(path), ("not a whole",))


def test_describing_needs_no_torch() -> None:
    code = (
        "import sys; from operators.stylegan.describe import describe_generator; "
        "describe_generator('random-64', seed=0); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _refused(name: str, words: tuple[str, ...]) -> None:
    with pytest.raises(WrongUse) as caught:
        describe_generator(name, seed=0)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message
    assert all(word in message for word in words), message
