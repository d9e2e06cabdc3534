"""Training of encoders: it learns, its encoder is a better start than the mean, and a kill changes no bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.encoder import train
from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import encoder_id, read_header
from operators.inversion.inverter import make_inverter
from operators.inversion.picture_encoder import first_guess
from operators.inversion.train_encoder import ENCODER_FILE, GRID_FILE, EncoderRun, EncoderSettings, train_encoder
from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.describe import describe_generator
from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.random_weights import random_generator
from operators.stylegan.training.packed_images import PackedImages
from operators.training.degrade import degrade, recolour
from operators.training.run_folder import CHECKPOINT, CURVE, Checkpoint, RunFolder, read_curve
from schemas.config import InversionSettings
from schemas.errors import WrongUse
from tests.reference.inversion_clips import clip_of, crops_of, known_path
from tests.reference.training_kills import kill_after_first_checkpoint

TINY = EncoderSettings(steps=60, batch=2, every=10, width=8, hidden=16)


@pytest.fixture(scope="module")
def small() -> Generator:
    return random_generator(32, seed=0, channel_base=64, channel_max=16)


def run_of(generator: Generator, folder: Path, training: EncoderSettings = TINY, **changes: object) -> EncoderRun:
    return EncoderRun(generator=generator, generator_id="tiny", settings=training, folder=folder, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(small: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    save_generator(small, str(folder / "small.safetensors"))
    given_settings = dict(steps=120, batch=8, every=60, width=16, hidden=64)
    assert train(str(folder / "small.safetensors"), str(folder), settings=given_settings, command="the command") == 0
    return folder


def test_it_learns_to_see_samples_that_it_was_never_shown(small: Generator, trained: Path) -> None:
    samples = small(torch.randn(64, small.z_dim, generator=torch.Generator().manual_seed(5))).clamp(-1, 1)
    mean = small.synthesis(small.mapping.w_avg.expand(1, small.num_ws, -1)).clamp(-1, 1)
    of_the_mean = float((10 * torch.log10(4 / (samples - mean).square().mean(dim=(1, 2, 3)))).mean())
    curve = read_curve(trained)
    assert [row["step"] for row in curve] == [60, 120]
    assert curve[1]["loss"] < curve[0]["loss"]
    assert curve[1]["psnr_samples"] > of_the_mean + 3


@pytest.mark.parametrize("method", [pytest.param("naive", id="naive"), pytest.param("sequential", id="sequential")])
def test_a_descent_from_the_guess_is_ahead_of_one_from_the_mean(small: Generator, trained: Path, method: str) -> None:
    """Heads of tracks after 6 evaluations. After 20, L-BFGS is as far from either start of so small a generator."""
    clips = [clip_of(crops_of(small, known_path(small, 1, seed=s)), track_index=s) for s in range(4)]
    with_it, without = (
        make_inverter(
            small, InversionSettings(method=method, first_steps=6, encoder_steps=6, encoder=path, prior_samples=1000)
        )(clips)
        for path in (str(trained / ENCODER_FILE), None)
    )
    assert np.mean([a.psnr[0] - b.psnr[0] for a, b in zip(with_it, without, strict=True)]) > 1


def test_the_folder_holds_all_that_a_person_looks_for(trained: Path) -> None:
    assert read_header(str(trained / ENCODER_FILE))["generator_id"].startswith("small-")
    card = (trained / "encoder.md").read_text()
    for said in ("the command", "Encoder of small-", "| latent_weight | ", "| 120 | "):
        assert said in card
    assert (trained / GRID_FILE).read_bytes().startswith(b"\x89PNG")
    assert not list(trained.glob("*.partial"))


@pytest.mark.slow  # the same loop as the emotion network's, which is killed in each run of the tests
@pytest.mark.faults
def test_a_kill_changes_no_bit(small: Generator, tmp_path: Path) -> None:
    """What may be lost: the steps since the last checkpoint."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_after_first_checkpoint(
        f"""
from pathlib import Path
from operators.inversion.train_encoder import *
from operators.stylegan.random_weights import random_generator
generator = random_generator(32, seed=0, channel_base=64, channel_max=16)
settings = {TINY!r}
train_encoder(EncoderRun(generator=generator, generator_id="tiny", settings=settings, folder=Path({str(killed)!r})))
""",
        killed,
    )
    assert not (killed / ENCODER_FILE).exists(), "it was killed when all was done"
    train_encoder(run_of(small, whole))
    seen: list[float] = []
    train_encoder(run_of(small, killed), report=lambda row: seen.append(row["step"]))
    assert seen[0] > TINY.every, "it began anew"
    for name in (ENCODER_FILE, CURVE, GRID_FILE):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"training": replace(TINY, steps=61)}, "steps: 61, not 60", id="steps"),
        pytest.param({"seed": 1}, "generator: [0-9a-f]{16}, not [0-9a-f]{16}", id="generator"),
        pytest.param({"n_pictures": 128}, "pictures: [0-9a-f]{16}, not None", id="pictures"),
    ],
)
def test_a_resume_with_something_else_is_refused(small: Generator, tmp_path: Path, change: dict, told: str) -> None:
    def described(seed: int = 0, n_pictures: int = 0, training: EncoderSettings = TINY) -> EncoderRun:
        generator = small if seed == 0 else random_generator(32, seed=seed, channel_base=64, channel_max=16)
        return run_of(generator, tmp_path, training, pictures=pictures_of(small, n_pictures) if n_pictures else None)

    class Stopped(Exception):
        pass

    def stop(row: dict[str, float]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train_encoder(described(), report=stop)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(WrongUse, match=told) as caught:
        train_encoder(described(**change))
    assert "\n" not in str(caught.value)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def pictures_of(generator: Generator, n: int) -> PackedImages:
    crops = crops_of(generator, generator.mapping(torch.randn(n, 512, generator=torch.Generator().manual_seed(3))))
    return PackedImages(what="crops", pictures_NRRC=crops, latents_NZ=None)


@pytest.mark.parametrize(
    "training",
    [
        pytest.param(replace(TINY, steps=2, batch=1, pictures_share=1.0), id="one_picture_a_step"),
        pytest.param(replace(TINY, steps=2, batch=4, pictures_share=0.0), id="no_picture_in_any_step"),
        pytest.param(replace(TINY, steps=2, width=28), id="a_width_of_no_round_number"),
        pytest.param(replace(TINY, steps=2, every=5), id="over_before_the_first_checkpoint"),
    ],
)
def test_odd_settings_work(small: Generator, tmp_path: Path, training: EncoderSettings) -> None:
    train_encoder(run_of(small, tmp_path, training, pictures=pictures_of(small, 128)))
    assert [row["step"] for row in read_curve(tmp_path)] == [2]


def test_pictures_are_learnt_from_and_some_are_held_out(small: Generator, tmp_path: Path) -> None:
    train_encoder(run_of(small, tmp_path, pictures=pictures_of(small, 128)))
    curve = read_curve(tmp_path)
    assert curve[-1]["psnr_pictures"] > curve[0]["psnr_pictures"]
    with pytest.raises(WrongUse, match="100 are too few; give 128, or none"):
        train_encoder(run_of(small, tmp_path / "few", pictures=pictures_of(small, 100)))


@pytest.mark.parametrize(
    ("given_settings", "told"),
    [
        pytest.param({"step": 3}, "setting step: unknown; give steps, batch", id="unknown"),
        pytest.param({"steps": 0}, "setting steps = 0; give 1 to", id="no_steps"),
        pytest.param({"steps": 2.5}, "setting steps = 2.5; give a int", id="half_a_step"),
        pytest.param({"mixing": float("nan")}, "setting mixing = nan; give 0 to 1", id="nan"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, given_settings: dict, told: str) -> None:
    with pytest.raises(WrongUse, match=told):
        train("random-32", str(tmp_path / "e"), settings=given_settings)
    assert not (tmp_path / "e").exists()


def test_a_loss_that_left_the_numbers_is_told_and_not_kept(small: Generator, tmp_path: Path) -> None:
    wild = EncoderSettings(steps=20, batch=2, every=20, width=8, hidden=16, learning_rate=1e18)
    with pytest.raises(WrongUse, match="the loss is no longer finite; lower learning_rate"):
        train_encoder(run_of(small, tmp_path, wild))
    assert list(tmp_path.glob("*.safetensors")) + list(tmp_path.glob("*.pt")) == []


def of_sizes(resolution: int, *, w_dim: int = 512, label_dim: int = 0) -> Generator:
    """As a loaded file's: all kinds of sizes, few channels."""
    levels = resolution.bit_length() - 2
    sizes = Architecture(resolution=resolution, channels=(4,) * levels, z_dim=8, w_dim=w_dim, label_dim=label_dim)
    generator, source = Generator(sizes), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("weight", "const")):
                parameter.copy_(torch.randn(parameter.shape, generator=source) * (100 if ".fc" in name else 1))
    return generator.freeze()


@pytest.mark.parametrize(
    ("resolution", "w_dim"),
    [
        pytest.param(32, 512, id="32px"),
        pytest.param(64, 64, id="64px_narrow_styles"),
        pytest.param(256, 512, id="256px"),
        pytest.param(1024, 512, id="1024px", marks=pytest.mark.slow),
    ],
)
def test_generators_of_all_sizes_have_encoders(tmp_path: Path, resolution: int, w_dim: int) -> None:
    """And what is written is an encoder of that generator."""
    generator = of_sizes(resolution, w_dim=w_dim)
    train_encoder(run_of(generator, tmp_path, replace(TINY, steps=1, batch=1)))
    encoder = load_encoder(str(tmp_path / ENCODER_FILE), generator)
    assert first_guess(encoder, torch.zeros(1, 3, resolution, resolution)).shape == (1, generator.num_ws, w_dim)
    assert (tmp_path / GRID_FILE).exists()


def test_an_encoder_of_one_class_of_a_conditional_generator(tmp_path: Path) -> None:
    path = str(tmp_path / "cats.safetensors")
    save_generator(of_sizes(32, w_dim=16, label_dim=3), path)
    tiny = dict(steps=1, batch=1, width=8, hidden=16)
    with pytest.raises(WrongUse, match="draws 3 classes; say which with --label, 0 to 2"):
        train(path, str(tmp_path / "e"), settings=tiny)
    assert train(path, str(tmp_path / "e"), label=2, settings=tiny) == 0
    written = str(tmp_path / "e" / ENCODER_FILE)
    load_encoder(written, load_generator(path, label=2))
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(Path(path).read_bytes())
    assert len(encoder_id(written, describe_generator(str(renamed), seed=0, label=2))) == 16
    with pytest.raises(WrongUse, match=r"made for generator cats-[0-9a-f]{16}-label2, not cats-[0-9a-f]{16}-label1"):
        encoder_id(written, describe_generator(path, seed=0, label=1))


def test_a_price_of_distance_keeps_guesses_near_the_mean(small: Generator, tmp_path: Path) -> None:
    """pSp's w-norm. The same run without and with it: rates and draws are equal."""
    far = {}
    for weight in (0.0, 10.0):
        train_encoder(run_of(small, tmp_path / str(weight), replace(TINY, distance_weight=weight)))
        far[weight] = read_curve(tmp_path / str(weight))[-1]["distance"]
    assert far[10.0] < 0.5 * far[0.0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04 cut", id="cut"),
        pytest.param(b"cos\nsystem\n", id="code"),
    ],
)
def test_a_checkpoint_that_is_none_is_named_and_never_run(tmp_path: Path, content: bytes) -> None:
    files = RunFolder(tmp_path, {"seed": 0})
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(WrongUse, match=r"checkpoint\.pt: not a whole checkpoint .*; delete it to start anew"):
        files.load()


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    files = RunFolder(tmp_path, {"seed": 0})
    assert files.load() == Checkpoint()
    files.save(Checkpoint(step=3, state={"x": [1, "two"]}, curve=[{"step": 3.0, "loss": 0.25}]))
    assert files.load() == Checkpoint(step=3, state={"x": [1, "two"]}, curve=[{"step": 3.0, "loss": 0.25}])
    assert read_curve(tmp_path) == [{"step": 3.0, "loss": 0.25}]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), strength=st.floats(0, 2), side=st.sampled_from([16, 64]))
def test_degraded_pictures_stay_pictures_and_each_depends_on_itself(seed: int, strength: float, side: int) -> None:
    x = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    for change in (degrade, recolour):
        got = change(x, torch.Generator().manual_seed(seed), strength=strength)
        assert got.shape == x.shape
        assert float(got.abs().max()) <= 1
        other = torch.cat((x[:2], -x[2:]))
        got_beside = change(other, torch.Generator().manual_seed(seed), strength=strength)
        torch.testing.assert_close(got_beside[:2], got[:2], rtol=0, atol=1e-5)


def test_no_strength_changes_nothing() -> None:
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(degrade(x, torch.Generator(), strength=0.0), x, rtol=0, atol=0)
    torch.testing.assert_close(recolour(x, torch.Generator(), strength=0.0), x, rtol=0, atol=1e-6)


def test_some_pictures_are_degraded_and_some_are_left_alone() -> None:
    x = torch.rand(200, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    changed = (degrade(x, torch.Generator().manual_seed(1), strength=1.0) - x).abs().amax(dim=(1, 2, 3))
    untouched = float((changed < 1e-5).float().mean())
    assert untouched == pytest.approx(1 / 27, abs=0.04)  # a third passes each of the three steps
