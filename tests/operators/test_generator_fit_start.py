"""`generator fit --from`: training goes on from a generator of any kind of file. Tiny networks, 32 px."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jobs.generator import fit
from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.training.adversarial import Adversarial
from operators.stylegan.training.command import fit_pictures
from operators.stylegan.training.discriminator import Discriminator
from operators.stylegan.training.fit_generator import CARD, WEIGHTS, fit_generator
from operators.stylegan.training.fit_log import read_table
from operators.stylegan.training.image_sources import open_source
from operators.stylegan.training.load_start import load_start
from operators.stylegan.training.loaded_start import LoadedStart, nearest_z
from operators.stylegan.training.packed_images import PackedImages
from operators.stylegan.training.ranks import Ranks
from operators.stylegan.training.reconstruction import Reconstruction
from operators.stylegan.training.settings import FitSettings
from schemas.errors import WrongUse
from tests.conftest import REPO
from tests.operators.generator_fit_pictures import PACE, DiesAtStep, discs
from tests.reference.checkpoint_files import write_nvidia, write_rosinality
from tests.reference.golden_files import read_golden

TINY: dict[str, Any] = {"batch": 4, "precision": "fp32"}
PLAIN, _ = read_golden("plain-32")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As in our workers; a forked child could not use the threads of its parent."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures() -> PackedImages:
    found: PackedImages = discs(with_latents=False)
    return found


def start_of(folder: Path, *, discriminator: bool = False) -> LoadedStart:
    torch.manual_seed(0)
    beside = Discriminator((8, 8, 6, 4)) if discriminator else None
    if beside is not None:
        for tensor in beside.parameters():
            torch.nn.init.normal_(tensor)
    write_nvidia(folder / "start.pkl", PLAIN, discriminator=beside)
    return load_start(str(folder / "start.pkl"), label=None, settings={})


OBJECTIVES = [pytest.param(Adversarial, id="adversarial"), pytest.param(Reconstruction, id="reconstruction")]


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_it_starts_where_the_loaded_generator_stands(tmp_path: Path, kind: Callable[..., Any]) -> None:
    """Bit for bit, the average too, and its own discriminator."""
    start = start_of(tmp_path, discriminator=True)
    given: dict[str, Any] = {"objective": kind.__name__.lower(), "steps": 4, "noise": True, **TINY}
    settings = FitSettings(**given)
    objective = kind(pictures(), settings, Ranks(), start)
    for generator in (objective.generator, objective.average.generator):
        held = PLAIN.state_dict()
        assert all(torch.equal(tensor, held[name]) for name, tensor in generator.state_dict().items())
    if kind is Adversarial:
        assert start.discriminator is not None
        written = start.discriminator.state_dict()
        assert all(torch.equal(t, written[name]) for name, t in objective.discriminator.state_dict().items())


@pytest.mark.parametrize(
    ("beside", "alone"), [pytest.param(False, 3, id="without_one"), pytest.param(True, 0, id="with_its_own")]
)
def test_a_new_discriminator_learns_alone_first(tmp_path: Path, beside: bool, alone: int) -> None:
    start = start_of(tmp_path, discriminator=beside)
    objective = Adversarial(pictures(), FitSettings(steps=8, discriminator_first=3, **TINY), Ranks(), start)
    before = {name: tensor.clone() for name, tensor in objective.generator.state_dict().items()}
    seen = objective.discriminator.conv.weight.clone()
    for step in range(alone):
        found = objective.step(step)
        assert torch.isfinite(found["loss_g"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.generator.state_dict().items())
    assert torch.equal(objective.discriminator.conv.weight, seen) == (alone == 0)
    objective.step(alone)
    assert not torch.equal(objective.generator.synthesis.b4.const, before["synthesis.b4.const"])


def test_the_average_keeps_what_was_loaded(tmp_path: Path) -> None:
    """A young average forgets its start within steps; that of a trained generator is worth keeping."""
    settings = FitSettings(objective="reconstruction", steps=20, learning_rate=0.05, average_images=100_000, **TINY)
    objective = Reconstruction(pictures(), settings, Ranks(), start_of(tmp_path))
    for step in range(3):
        objective.step(step)
    name = "synthesis.b32.conv1.weight"
    start, now = PLAIN.state_dict()[name], objective.generator.state_dict()[name]
    kept = objective.average.generator.state_dict()[name]
    assert (kept - start).norm() < 0.01 * (now - start).norm()


def test_pictures_get_the_z_of_the_sample_that_is_most_like_them(tmp_path: Path) -> None:
    images = pictures()
    z_NZ = nearest_z(PLAIN, images, seed=0, device=torch.device("cpu"))
    assert z_NZ.shape == (60, 24)
    wanted = images.batch(np.arange(60), torch.device("cpu"))

    def error(z: torch.Tensor) -> float:
        made = torch.nn.functional.adaptive_avg_pool2d(PLAIN(z, noise="none"), 16)
        return float((made - torch.nn.functional.adaptive_avg_pool2d(wanted, 16)).square().mean())

    drawn = torch.randn(60, 24, generator=torch.Generator().manual_seed(5))
    assert error(z_NZ) < 0.5 * error(drawn)
    assert torch.equal(z_NZ, nearest_z(PLAIN, images, seed=0, device=torch.device("cpu")))


def test_it_gets_further_than_from_random_weights(tmp_path: Path) -> None:
    """Fine-tuning: a generator that has learnt the pictures, then some steps on the same ones."""
    images = discs()
    settings: dict[str, Any] = {"objective": "reconstruction", "learning_rate": 0.02, "batch": 8, "precision": "fp32"}
    sizes: dict[str, Any] = {"channel_base": 256, "channel_max": 16, "z_dim": 6, "w_dim": 8, "mapping_layers": 2}
    first = fit_generator(images, FitSettings(steps=120, **settings, **sizes), folder=tmp_path / "first", pace=PACE)
    start = load_start(str(first), label=None, settings={})
    more = FitSettings(steps=20, **settings)
    fit_generator(images, more, folder=tmp_path / "more", pace=PACE, start=start)
    fit_generator(images, FitSettings(steps=20, **settings, **sizes), folder=tmp_path / "anew", pace=PACE)
    more_psnr, anew_psnr = (
        np.mean([row["psnr"] for row in read_table(tmp_path / name / "log.csv")]) for name in ("more", "anew")
    )
    assert more_psnr > anew_psnr + 2
    card = (tmp_path / "more" / CARD).read_text()
    assert f"- Started from: {first} ({start.content_id}), without a discriminator; licence: " in card
    assert "| channel_base |" not in card, "the settings of sizes had no say"
    assert load_generator(str(tmp_path / "more" / WEIGHTS)).architecture == start.generator.architecture


@pytest.mark.faults
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """SIGKILL in the middle of step 13; what comes out has the bits of a run that was left alone."""
    start = start_of(tmp_path)
    settings = FitSettings(objective="reconstruction", steps=20, seed=7, **TINY)
    images, killed = pictures(), tmp_path / "killed"

    class Dies(DiesAtStep):
        at = 13 + 4  # they are asked for before the first step too, 16 at a time, for the nearest samples

    dying = Dies(what=images.what, pictures_NRRC=images.pictures_NRRC)
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        try:
            fit_generator(dying, settings, folder=killed, pace=PACE, start=start)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert read_table(killed / "log.csv")[-1]["step"] == 12
    assert not (killed / WEIGHTS).exists()
    fit_generator(images, settings, folder=killed, pace=PACE, start=start)
    fit_generator(images, settings, folder=tmp_path / "whole", pace=PACE, start=start)
    one, other = load_file(killed / WEIGHTS), load_file(tmp_path / "whole" / WEIGHTS)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def _refused(source: Path, output: Path, **given: Any) -> str:
    settings = {"objective": "reconstruction", "steps": 2, **TINY, **given.pop("settings", {})}
    with pytest.raises(WrongUse) as caught:
        fit_pictures(open_source(str(source)), output=str(output), settings=settings, pace={}, device="cpu", **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"settings": {"channel_base": 64}}, "setting channel_base: a run that goes on from", id="sizes"),
        pytest.param({"settings": {"noise": True}}, "setting noise: a run that goes on", id="noise"),
        pytest.param({"start_from": "random-64"}, "32 px, and random-64 draws 64 px", id="size_of_pictures"),
        pytest.param({"start_from": "nobody"}, "generator nobody: no such name", id="no_such_generator"),
        pytest.param({"start_from": "labels"}, "draws 3 classes; say which with --label, 0 to 2", id="label_missing"),
        pytest.param({"label": 1}, "no label 1; it knows none", id="label_of_a_plain_one"),
        pytest.param({"start_from": None, "label": 1}, "--label 1 says which class of a generator --from", id="alone"),
        pytest.param({"start_from": "cut"}, "not a whole checkpoint", id="truncated"),
    ],
)
def test_what_contradicts_is_one_line(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    np.save(tmp_path / "discs.npy", pictures().pictures_NRRC)
    write_rosinality(tmp_path / "plain.pt", PLAIN)
    write_nvidia(tmp_path / "labels.pkl", read_golden("labels-64")[0])
    (tmp_path / "cut.pkl").write_bytes((tmp_path / "labels.pkl").read_bytes()[:-3000])
    start_from = given.pop("start_from", "plain.pt")
    if start_from in ("plain.pt", "labels", "cut"):
        start_from = str(tmp_path / {"labels": "labels.pkl", "cut": "cut.pkl"}.get(start_from, start_from))
    assert words in _refused(tmp_path / "discs.npy", tmp_path / "run", start_from=start_from, **given)


def test_a_run_does_not_change_its_start(tmp_path: Path) -> None:
    np.save(tmp_path / "discs.npy", pictures().pictures_NRRC)
    save_generator(PLAIN, str(tmp_path / "a.safetensors"))
    write_rosinality(tmp_path / "b.pt", PLAIN)
    given = {"output": str(tmp_path / "run"), "pace": {"distance_images": 8}, "device": "cpu"}
    settings = {"objective": "reconstruction", "steps": 2, **TINY}
    source = open_source(str(tmp_path / "discs.npy"))
    fit_pictures(source, settings=settings, start_from=str(tmp_path / "a.safetensors"), **given)  # type: ignore[arg-type]
    said = _refused(tmp_path / "discs.npy", tmp_path / "run", start_from=str(tmp_path / "b.pt"))
    assert "was begun with from " in said
    assert "now None; give the old settings" in _refused(tmp_path / "discs.npy", tmp_path / "run")


def test_a_machine_with_torch_alone_goes_on_from_a_file(tmp_path: Path) -> None:
    """`python -m operators.stylegan.training --from`: neither Ray nor a decoder nor what reads the registry."""
    np.save(tmp_path / "discs.npy", pictures().pictures_NRRC)
    write_nvidia(tmp_path / "start.pkl", PLAIN)
    alone = (
        "import sys\n"
        "for name in ('ray', 'decord', 'av', 'yaml', 'pyarrow', 'cv2', 'PIL', 'typer'):\n"
        "    sys.modules[name] = None\n"
        "from operators.stylegan.training.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [str(tmp_path / "discs.npy"), "-o", str(tmp_path / "run"), "--from", str(tmp_path / "start.pkl")]
    words += ["--device", "cpu", "--pace", "distance_images=8"]
    for setting in ("objective=reconstruction", "steps=2", "batch=4"):
        words += ["--set", setting]
    done = subprocess.run(
        [sys.executable, "-c", alone, *words], cwd=REPO, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert load_generator(str(tmp_path / "run" / WEIGHTS)).architecture == PLAIN.architecture


def test_on_the_faces_of_a_dataset_crops_are_of_the_starts_size(undisturbed: Path, tmp_path: Path) -> None:
    settings = {"objective": "reconstruction", "steps": 2, "batch": 4}
    output = str(tmp_path / "run")
    given: dict[str, Any] = {"settings": settings, "pace": {"distance_images": 8}, "device": "cpu"}
    assert fit(str(undisturbed), output=output, start_from="random-64", **given) == 0
    assert load_generator(str(tmp_path / "run" / WEIGHTS)).resolution == 64
    with pytest.raises(WrongUse, match="32 px, and random-64 draws 64 px"):
        fit(str(undisturbed), output=str(tmp_path / "other"), start_from="random-64", px=32, **given)
