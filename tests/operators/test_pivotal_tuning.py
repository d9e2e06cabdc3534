"""Pivotal tuning: the clip comes nearer, what lies elsewhere stays, a kill changes no bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from operators.inversion.pivotal_tuning import GENERATOR_FILE, STRIP_FILE, TuningRun, TuningSettings, tune_generator
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.generator import Generator
from operators.stylegan.random_weights import random_generator
from operators.stylegan.training.packed_images import PackedImages
from operators.training.run_folder import CHECKPOINT, read_curve
from schemas.errors import WrongUse
from tests.reference.training_kills import kill_after_first_checkpoint

FRAMES = 6
QUICK = TuningSettings(steps=80, batch=3, learning_rate=2e-3, perceptual="pyramid", every=20)


def small() -> Generator:
    return random_generator(32, seed=0, channel_base=512, channel_max=32)


def run_of(folder: Path, settings: TuningSettings = QUICK, *, noise: bool = False, **changes: object) -> TuningRun:
    """Latents of a generator, and frames that it nearly draws from them: another one's that was moved a little."""
    generator = small()
    source = torch.Generator().manual_seed(1)
    w_NLD = generator.mapping(torch.randn(FRAMES, generator.z_dim, generator=source))
    other = small().unfreeze().requires_grad_(False)
    for conv in other.synthesis.convs:
        conv.weight.add_(torch.randn(conv.weight.shape, generator=source), alpha=0.1)
    levels = ((other.synthesis(w_NLD).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    noise_NP = None
    if noise:
        n_pixels = sum(conv.noise_const.numel() for conv in generator.synthesis.convs)
        noise_NP = torch.randn(FRAMES, n_pixels, generator=source).numpy()
    parts: dict[str, object] = {
        "generator": generator,
        "frames": PackedImages(what="a test's frames", pictures_NRRC=levels.movedim(1, -1).contiguous().numpy()),
        "w_TLD": w_NLD.numpy(),
        "noise_TP": noise_NP,
        "settings": settings,
        "folder": folder,
        "what": {"track": "t"},
    }
    return TuningRun(**{**parts, **changes})  # type: ignore[arg-type]


def _figure(figures: dict[str, object], name: str) -> float:
    return float(str(figures[name]))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("tuned")
    return folder, tune_generator(run_of(folder))


def test_the_clip_comes_nearer(tuned: tuple[Path, dict[str, object]]) -> None:
    folder, figures = tuned
    assert _figure(figures, "PSNR after, dB") > _figure(figures, "PSNR before, dB") + 3
    assert _figure(figures, "loss after") < _figure(figures, "loss before") / 2
    assert figures["perceptual loss"] == "pyramid, which is not LPIPS"
    assert [row["step"] for row in read_curve(folder)] == [20, 40, 60, 80]


def test_figures_are_those_of_the_file(tuned: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    folder, figures = tuned
    run = run_of(tmp_path)
    made = load_generator(str(folder / GENERATOR_FILE))
    wanted = run.frames.batch(np.arange(FRAMES), torch.device("cpu"))
    error_N = (made.synthesis(torch.from_numpy(run.w_TLD)).clamp(-1, 1) - wanted).square().mean(dim=(1, 2, 3))
    assert float((-10 * torch.log10(error_N / 4)).mean()) == pytest.approx(_figure(figures, "PSNR after, dB"), abs=0.02)


def test_only_what_draws_has_changed(tuned: tuple[Path, dict[str, object]]) -> None:
    before, after = small().state_dict(), load_generator(str(tuned[0] / GENERATOR_FILE)).state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    held = ("noise_const", "noise_strength", "energy_OI")
    assert kept == {name for name in before if name.startswith("mapping.") or name.endswith(held)}


def test_the_strip_shows_frames_before_and_after(tuned: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    with Image.open(tuned[0] / STRIP_FILE) as strip:
        levels = np.asarray(strip)
    assert levels.shape == (3 * 32, FRAMES * 32, 3)
    frames, before, after = (levels[i * 32 : (i + 1) * 32].astype(np.float32) for i in range(3))
    run = run_of(tmp_path)
    assert np.array_equal(frames, np.concatenate(list(run.frames.pictures_NRRC), axis=1))
    assert np.square(after - frames).mean() < np.square(before - frames).mean() / 2


def test_locality_keeps_what_lies_elsewhere(tuned: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    """As many steps with it and without: it holds pictures of random latents, and the clip comes nearly as near."""
    free = tune_generator(run_of(tmp_path / "free", replace(QUICK, locality_weight=0.0)))
    held = tune_generator(run_of(tmp_path / "held", replace(QUICK, locality_weight=1.0)))
    elsewhere = "pictures elsewhere, against those before, dB"
    assert _figure(held, elsewhere) > _figure(free, elsewhere) + 1
    assert _figure(held, "PSNR after, dB") > _figure(held, "PSNR before, dB") + 2


def test_noise_of_its_own_is_drawn_with(tmp_path: Path) -> None:
    """Stored maps go where the inversion had them: with strengths at zero they change nothing, else they do."""
    run = run_of(tmp_path, replace(QUICK, steps=1, every=1), noise=True)
    silent = tune_generator(run)
    for conv in run.generator.synthesis.convs:
        conv.noise_strength.fill_(0.3)
    loud = tune_generator(replace(run, folder=tmp_path / "loud"))
    assert _figure(loud, "PSNR before, dB") < _figure(silent, "PSNR before, dB") - 1


def test_a_kill_changes_no_bit(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tune_generator(run_of(whole))
    program = f"""
from pathlib import Path
from tests.operators.test_pivotal_tuning import QUICK, run_of
from operators.inversion.pivotal_tuning import tune_generator
import time
tune_generator(run_of(Path({str(killed)!r})), report=lambda row: time.sleep(0.2))
"""
    kill_after_first_checkpoint(program, killed)
    assert not (killed / GENERATOR_FILE).exists(), "it was killed when all was done"
    seen: list[float] = []
    tune_generator(run_of(killed), report=lambda row: seen.append(row["step"]))
    assert seen and seen[0] > 20, "it began anew"
    for name in (GENERATOR_FILE, STRIP_FILE, "loss.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda run: replace(run, settings=replace(QUICK, seed=7)), "seed: 7, not 0", id="settings"),
        pytest.param(lambda run: replace(run, what={"track": "u"}), "track: u, not t", id="track"),
        pytest.param(
            lambda run: replace(run, generator=random_generator(32, seed=3, channel_base=512, channel_max=32)),
            "generator: ",
            id="generator",
        ),
        pytest.param(
            lambda run: replace(run, frames=replace(run.frames, pictures_NRRC=run.frames.pictures_NRRC[::-1].copy())),
            "frames: ",
            id="frames",
        ),
    ],
)
def test_the_folder_of_another_run_is_left(
    tuned: tuple[Path, dict[str, object]], change: Callable[[TuningRun], TuningRun], words: str
) -> None:
    before = (tuned[0] / CHECKPOINT).read_bytes()
    with pytest.raises(WrongUse, match="holds a run with other settings") as caught:
        tune_generator(change(run_of(tuned[0])))
    assert words in str(caught.value)
    assert (tuned[0] / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda run: replace(run, w_TLD=run.w_TLD[:, :6]),
            r"latents of shape \(6, 6, 512\) for 6 frames and a generator of 8 styles of 512",
            id="latents_of_another_generator",
        ),
        pytest.param(lambda run: replace(run, w_TLD=run.w_TLD[:5]), "for 6 frames", id="too_few_latents"),
        pytest.param(
            lambda run: replace(run, frames=replace(run.frames, pictures_NRRC=np.zeros((FRAMES, 64, 64, 3), np.uint8))),
            "64 px, the generator draws 32 px",
            id="frames_of_another_size",
        ),
        pytest.param(
            lambda run: replace(run, settings=replace(QUICK, learning_rate=1e30)),
            "the loss is no longer finite; lower learning_rate",
            id="rate_that_leaves_the_numbers",
        ),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, change: Callable[[TuningRun], TuningRun], words: str) -> None:
    with pytest.raises(WrongUse, match=words) as caught:
        tune_generator(change(run_of(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"steps": 0}, "setting steps = 0; give 1 to", id="no_steps"),
        pytest.param({"locality_reach": 1.5}, "setting locality_reach = 1.5; give 0 to 1", id="reach"),
        pytest.param({"perceptual": "vgg"}, "setting perceptual = vgg: there is no such loss", id="loss"),
    ],
)
def test_wrong_settings_are_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        TuningSettings(**changes)  # type: ignore[arg-type]
