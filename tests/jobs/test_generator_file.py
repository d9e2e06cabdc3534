"""latentreel generator info and convert, on every kind of file."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from jobs.generator_file import convert, info
from operators.stylegan.checkpoint import load_generator, save_generator
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES
from tests.reference.checkpoint_files import write_nvidia, write_rosinality, write_tensorflow
from tests.reference.golden_files import read_golden

PLAIN, _ = read_golden("plain-32")
LABELS, _ = read_golden("labels-64")


def _facts(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    facts: dict[str, object] = json.loads(capsys.readouterr().out)
    return facts


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        pytest.param(lambda path: save_generator(PLAIN, str(path)), "latentreel's own .safetensors", id="ours"),
        pytest.param(lambda path: write_nvidia(path, PLAIN), "NVIDIA's pickle", id="nvidia"),
        pytest.param(lambda path: write_tensorflow(path, PLAIN), "pickle of the TensorFlow years", id="tensorflow"),
        pytest.param(lambda path: write_rosinality(path, PLAIN), "rosinality's checkpoint", id="rosinality"),
    ],
)
def test_info_tells_what_a_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], None], kind: str
) -> None:
    path = tmp_path / "g.safetensors" if "own" in kind else tmp_path / "g.bin"
    write(path)
    assert info(str(path), form="json") == 0
    facts = _facts(capsys)
    n_parameters = sum(p.numel() for p in PLAIN.parameters())
    assert facts["kind"] == kind
    assert (facts["resolution"], facts["num_ws"], facts["w_dim"], facts["labels"]) == ("32 px", 8, 24, "none")
    assert facts["channels"] == "8 at 4 px, 8 at 8 px, 6 at 16 px, 4 at 32 px"
    assert str(facts["parameters"]).startswith(f"{n_parameters / 1e6:.2f} M")
    assert len(str(facts["sha256"])) == 64


def test_the_table_has_a_line_for_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    info("puppet-128", form="json")
    facts = _facts(capsys)
    info("puppet-128")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(facts)


def test_figures_of_w_are_those_of_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_generator(PLAIN, str(tmp_path / "g.safetensors"))
    info(str(tmp_path / "g.safetensors"), form="json")
    facts = _facts(capsys)
    w_ND = PLAIN.mapping(torch.randn(20_000, 24, generator=torch.Generator().manual_seed(7)))[:, 0]
    assert float(str(facts["w, length of the mean"])) == pytest.approx(float(w_ND.mean(0).norm()), rel=0.05)
    assert float(str(facts["w, spread of a coordinate"])) == pytest.approx(
        float((w_ND - w_ND.mean(0)).square().mean().sqrt()), rel=0.05
    )


def test_a_grid_shows_what_the_generator_draws(tmp_path: Path) -> None:
    """16 pictures, of which the first is that of the first z."""
    path = tmp_path / "grid.png"
    info("puppet-128", grid=str(path), truncation_psi=0.5, seed=3)
    grid = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert grid.shape == (512, 512, 3)
    generator = load_generator("puppet-128")
    z_NZ = torch.randn(16, generator.z_dim, generator=torch.Generator().manual_seed(3))
    last = generator(z_NZ[15:], truncation_psi=0.5)[0].clamp(-1, 1)
    drawn = torch.from_numpy(grid[384:, 384:]).permute(2, 0, 1) / 127.5 - 1
    assert (drawn - last).abs().max() < 0.02


@pytest.mark.parametrize(
    ("write", "name"),
    [
        pytest.param(write_nvidia, "g.pkl", id="nvidia"),
        pytest.param(write_tensorflow, "g.pkl", id="tensorflow"),
        pytest.param(write_rosinality, "g.pt", id="rosinality"),
    ],
)
def test_converted_it_draws_the_same(tmp_path: Path, write: Callable[..., None], name: str) -> None:
    write(tmp_path / name, PLAIN)
    output = tmp_path / "new" / "c.safetensors"
    assert convert(str(tmp_path / name), output=str(output), command="latentreel generator convert g") == 0
    before, after = load_generator(str(tmp_path / name)), load_generator(str(output))
    assert all(
        torch.equal(a, b) for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True)
    )
    card = output.with_suffix(".md").read_text()
    assert f"| made from | {name}, " in card
    assert "latentreel generator convert g" in card
    assert "| licence | " in card
    assert np.asarray(cv2.imread(str(output.with_suffix(".png")))).shape == (128, 128, 3)


def test_a_label_makes_a_file_of_one_class(tmp_path: Path) -> None:
    write_nvidia(tmp_path / "g.pkl", LABELS)
    convert(str(tmp_path / "g.pkl"), output=str(tmp_path / "one.safetensors"), label=1)
    convert(str(tmp_path / "g.pkl"), output=str(tmp_path / "all.safetensors"))
    one, every = load_generator(str(tmp_path / "one.safetensors")), load_generator(str(tmp_path / "all.safetensors"))
    assert (one.architecture.label_dim, every.architecture.label_dim) == (0, 3)
    z_NZ = torch.randn(2, 24, generator=torch.Generator().manual_seed(0))
    expected = every.mapping(z_NZ, torch.eye(3)[[1, 1]])
    torch.testing.assert_close(one.mapping(z_NZ), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param("mine alone", "| licence | mine alone |", id="given"),
        pytest.param(None, "| licence | a licence of the test |", id="of_the_registry"),
    ],
)
def test_the_licence_is_the_one_given_or_that_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, words: str
) -> None:
    from dataclasses import replace

    file = MODEL_FILES["ffhq.pkl"]
    write_nvidia(tmp_path / "ffhq.pkl", PLAIN)
    mine = replace(file, sha256="", bytes=None, licence="a licence of the test")
    monkeypatch.setitem(MODEL_FILES, "ffhq.pkl", mine)
    monkeypatch.setenv("LATENTREEL_MODELS", str(tmp_path))
    convert("ffhq-1024", output=str(tmp_path / "c.safetensors"), licence=given)
    assert words in (tmp_path / "c.md").read_text()


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param(lambda folder: info("puppet-128", form="xml"), "--format xml: .*give table or json", id="format"),
        pytest.param(lambda folder: info("nobody"), "generator nobody: no such name", id="no_such_name"),
        pytest.param(
            lambda folder: info("puppet-128", grid=f"{folder}/g.jpg"), "give a name that ends with .png", id="grid"
        ),
        pytest.param(
            lambda folder: convert("puppet-128", output=f"{folder}/g.pkl"), "must end with .safetensors", id="end"
        ),
        pytest.param(
            lambda folder: convert(f"{folder}/own.safetensors", output=f"{folder}/own.safetensors"),
            "is the source itself; give another name",
            id="onto_itself",
        ),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, job: Callable[[Path], int], words: str) -> None:
    save_generator(PLAIN, str(tmp_path / "own.safetensors"))
    before = (tmp_path / "own.safetensors").read_bytes()
    with pytest.raises(WrongUse, match=words) as caught:
        job(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "own.safetensors").read_bytes() == before
