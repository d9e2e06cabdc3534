"""Training as a whole: it learns, it survives being killed, and it says what it cannot do. Tiny networks, 32 px."""

import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from operators.stylegan.checkpoint import load_generator
from operators.stylegan.training.command import fit_pictures
from operators.stylegan.training.fit_generator import CARD, WEIGHTS, fit_generator
from operators.stylegan.training.fit_log import read_table
from operators.stylegan.training.image_sources import open_source
from operators.stylegan.training.settings import FitPace, FitSettings
from operators.stylegan.training.start import new_generator
from operators.stylegan.w_statistics import w_statistics
from schemas.errors import BadInput, Interrupted, WrongUse
from tests.conftest import REPO
from tests.operators.generator_fit_pictures import PACE, DiesAtStep, discs

TINY: dict[str, Any] = dict(
    batch=4, channel_base=128, channel_max=8, z_dim=6, w_dim=8, mapping_layers=2, precision="fp32"
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As in our workers; a forked child could not use the threads of its parent."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(folder):
    return load_file(folder / WEIGHTS)


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("with_latents", [pytest.param(True, id="own_z"), pytest.param(False, id="learnt_z")])
def test_reconstruction_learns(tmp_path, with_latents):
    settings = FitSettings(
        objective="reconstruction", steps=150, learning_rate=0.02, **(TINY | {"channel_max": 16, "batch": 8})
    )
    pace = FitPace(log_steps=10, picture_steps=100, distance_images=32)
    images = discs(with_latents=with_latents)
    path = fit_generator(images, settings, folder=tmp_path, pace=pace, command="the command")
    log, figures = read_table(tmp_path / "log.csv"), read_table(tmp_path / "figures.csv")
    assert log[-1]["psnr"] > log[0]["psnr"] + 4
    assert log[-1]["loss"] < log[0]["loss"] / 2
    assert [row["step"] for row in figures] == [100, 150]
    assert ("psnr_held_out" in figures[-1]) == with_latents

    generator = load_generator(str(path))
    assert generator.z_dim == (5 if with_latents else 6)
    assert generator.mapping.w_avg.abs().sum() > 0
    if with_latents:  # and the file makes the pictures: z standardised, held-out ones too
        z = torch.from_numpy((images.latents_NZ - images.latents_NZ.mean(0)) / images.latents_NZ.std(0))
        with torch.inference_mode():
            error = (generator(z).clamp(-1, 1) - images.batch(np.arange(len(images)), "cpu")).square().mean()
        assert float(-10 * torch.log10(error / 4)) > 14

    card = (tmp_path / CARD).read_text()
    for told in ("the command", "autodecoder", "discs, 32 px", "150 steps of 8", "random_features_frechet", "not FID"):
        assert told in card, told


def test_adversarial_training_runs_all_its_parts(tmp_path):
    settings = FitSettings(steps=33, mixing=0.9, noise=True, augment_target=0.001, augment_images=200, **TINY)
    path = fit_generator(discs(with_latents=False), settings, folder=tmp_path, pace=PACE)
    log = read_table(tmp_path / "log.csv")
    assert [row["step"] for row in log if "r1" in row] == [1, 17, 33]
    assert [row["step"] for row in log if "path_penalty" in row] == list(range(1, 34, 4))
    assert max(row["augment_p"] for row in log) > 0
    assert all(np.isfinite(list(row.values())).all() for row in log)
    generator = load_generator(str(path))
    assert generator.get_buffer("synthesis.b32.conv1.noise_const").abs().sum() > 0
    expected = w_statistics(generator).mean_D
    torch.testing.assert_close(generator.mapping.w_avg, expected)


def test_the_discriminator_learns_to_tell_when_nothing_holds_it_back(tmp_path):
    settings = FitSettings(steps=60, learning_rate=0.01, augment_target=0, path_weight=0, **(TINY | {"batch": 8}))
    fit_generator(discs(with_latents=False), settings, folder=tmp_path, pace=PACE)
    log = read_table(tmp_path / "log.csv")
    gap = [row["score_real"] - row["score_fake"] for row in log]
    assert np.mean(gap[-40:]) > 0.2 > abs(gap[0])
    assert np.mean([row["loss_d"] for row in log[-40:]]) < log[0]["loss_d"]


@pytest.mark.faults
@pytest.mark.parametrize("objective", ["reconstruction", pytest.param("adversarial", marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, objective):
    """SIGKILL in the middle of step 13; the checkpoint is that of step 12."""
    settings = FitSettings(objective=objective, steps=20, seed=7, **TINY)
    images, killed = discs(), tmp_path / "killed"
    dying = DiesAtStep(what=images.what, pictures_NRRC=images.pictures_NRRC, latents_NZ=images.latents_NZ)
    child = os.fork()  # torch is loaded already; a fresh process needs ten times as long for that as for the steps
    if child == 0:
        signal.alarm(120)
        try:
            fit_generator(dying, settings, folder=killed, pace=PACE)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert read_table(killed / "log.csv")[-1]["step"] == 12
    assert not (killed / WEIGHTS).exists()

    fit_generator(images, settings, folder=killed, pace=PACE)
    fit_generator(images, settings, folder=tmp_path / "whole", pace=PACE)
    assert same(tensors(killed), tensors(tmp_path / "whole"))
    assert [row["step"] for row in read_table(killed / "log.csv")] == list(range(1, 21))  # each once
    assert not list(tmp_path.rglob("*.partial"))


def test_a_terminated_run_saves_itself_however_seldom_it_saves(tmp_path):
    class Terminated(DiesAtStep):
        signal_number = signal.SIGTERM
        at = 5
        asked = 0

    images, settings = discs(), FitSettings(objective="reconstruction", steps=9, **TINY)
    seldom = FitPace(log_steps=2, distance_images=16)
    stopped = Terminated(what=images.what, pictures_NRRC=images.pictures_NRRC, latents_NZ=images.latents_NZ)
    before = signal.getsignal(signal.SIGTERM)  # Ray's own, where a test before this one has started it
    with pytest.raises(Interrupted, match="stopped after step 5; the same command goes on"):
        fit_generator(stopped, settings, folder=tmp_path / "stopped", pace=seldom)
    assert signal.getsignal(signal.SIGTERM) == before
    fit_generator(images, settings, folder=tmp_path / "stopped", pace=PACE)
    fit_generator(images, settings, folder=tmp_path / "whole", pace=PACE)
    assert same(tensors(tmp_path / "stopped"), tensors(tmp_path / "whole"))


def test_the_seed_decides_and_the_pace_does_not(tmp_path):
    def weights(name, pace=PACE, **changes):
        settings = FitSettings(steps=3, **(TINY | changes))
        fit_generator(discs(with_latents=False), settings, folder=tmp_path / name, pace=pace)
        return tensors(tmp_path / name)

    first = weights("a")
    assert same(first, weights("b", FitPace(log_steps=3, picture_steps=1, distance_images=8)))
    assert not same(first, weights("c", seed=1))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"batch": 6}, "was begun with batch 4, now 6; give the old settings, or another", id="batch"),
        pytest.param({"steps": 3, "seed": 2}, "seed 0, now 2; steps 2, now 3", id="two"),
        pytest.param({"objective": "adversarial"}, "objective reconstruction, now adversarial", id="objective"),
        pytest.param({"images": 50}, "pictures [0-9a-f]{16}, now [0-9a-f]{16}", id="other_pictures"),
    ],
)
def test_other_settings_are_refused(tmp_path, changes, told):
    first: dict[str, Any] = dict(objective="reconstruction", steps=2, **TINY)
    fit_generator(discs(), FitSettings(**first), folder=tmp_path, pace=PACE)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    images = discs(changes.pop("images", 60))
    with pytest.raises(WrongUse, match=told):
        fit_generator(images, FitSettings(**(first | changes)), folder=tmp_path, pace=PACE)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.faults
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04cut"])
def test_a_damaged_checkpoint_is_told(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(WrongUse, match=r"checkpoint\.pt: not a whole checkpoint; delete it to begin anew"):
        fit_generator(discs(), FitSettings(steps=2, **TINY), folder=tmp_path, pace=PACE)


@pytest.mark.faults
def test_too_little_memory_is_told_with_the_cure(tmp_path):
    """The kernel really refuses: the process may not grow by more than 300 MB."""
    settings = FitSettings(objective="reconstruction", steps=2, **(TINY | {"batch": 4096, "channel_base": 2048}))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 300 * 2**20, hard))
    try:
        with pytest.raises(WrongUse, match=r"batch 4096 at 32 px does not fit into memory; give a smaller --batch"):
            fit_generator(discs(), settings, folder=tmp_path, pace=PACE)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert not (tmp_path / WEIGHTS).exists()


def test_losses_that_leave_the_numbers_stop_the_run_before_it_is_saved(tmp_path):
    settings = FitSettings(objective="reconstruction", steps=50, learning_rate=1e30, **TINY)
    with pytest.raises(WrongUse, match=r"is no number any more near step .* smaller --learning-rate"):
        fit_generator(discs(), settings, folder=tmp_path, pace=PACE)
    assert not (tmp_path / WEIGHTS).exists()
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["generator"]
    assert all(torch.isfinite(tensor).all() for tensor in saved.values())


def test_half_precision_halves_the_file(tmp_path):
    sizes = {}
    for kind in ("fp32", "fp16"):
        settings = FitSettings(objective="reconstruction", steps=2, weights=kind, **TINY)
        path = fit_generator(discs(), settings, folder=tmp_path / kind, pace=PACE)
        sizes[kind] = sum(tensor.nbytes for tensor in load_file(path).values())
    assert sizes["fp16"] == sizes["fp32"] / 2
    full, half = tensors(tmp_path / "fp32"), tensors(tmp_path / "fp16")
    assert all(torch.allclose(full[name], half[name].float(), rtol=1e-3, atol=1e-6) for name in full)


def test_grids_show_each_picture_above_what_is_made_of_it(tmp_path):
    settings = FitSettings(objective="reconstruction", steps=2, **TINY)
    images = discs()
    fit_generator(images, settings, folder=tmp_path, pace=PACE)
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"grid-pairs-0000002.png", "grid-samples-0000002.png", "curves.png"}
    grid = _png(tmp_path / "grid-pairs-0000002.png")
    assert grid.shape == (256, 256, 3)
    rows = grid.reshape(8, 32, 8, 32, 3).swapaxes(1, 2)
    wanted = images.pictures_NRRC[-32:].reshape(4, 8, 32, 32, 3)
    assert np.array_equal(rows[::2], wanted)
    assert not np.array_equal(rows[1::2], wanted)


def _png(path):
    """Read by the format's own words, without the library that reads anything."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size = 8, b"", (0, 0)
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0]
        size = struct.unpack(">II", body[:8]) if kind == b"IHDR" else size
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(size[1], 1 + 3 * size[0])
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(size[1], size[0], 3)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param({"speed": 3}, "no setting speed; there are objective, ", id="unknown"),
        pytest.param({"batch": "four"}, "batch is 'four'; give a int", id="type"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_read(tmp_path, settings, told):
    np.save(tmp_path / "a.npy", np.zeros((4, 32, 32, 3), np.uint8))
    source = open_source(str(tmp_path / "a.npy"))
    with pytest.raises(WrongUse, match=told):
        fit_pictures(source, output=str(tmp_path / "run"), settings=settings, pace={}, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_corrupt_picture_stops_the_run_before_it_begins(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(BadInput, match=r"a\.png"):
        fit_pictures(open_source(str(tmp_path / "in")), output=str(tmp_path / "run"), settings={}, pace={})
    assert not list((tmp_path / "run").iterdir())


ALONE = """
import sys
for name in ("ray", "decord", "pydantic", "typer", "PIL", "cv2", "scipy", "pyarrow", "yaml"):
    sys.modules[name] = None  # as if it were not installed
from operators.stylegan.training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_packed_file_trains_with_torch_and_numpy_in_two_processes_as_in_one(tmp_path):
    """Two processes with half a batch each, as torchrun starts them, on a machine where nothing else is installed."""
    images = discs()
    np.save(tmp_path / "discs.npy", images.pictures_NRRC)
    np.save(tmp_path / "latents.npy", images.latents_NZ)
    settings: dict[str, Any] = dict(objective="reconstruction", steps=6, **TINY)
    given = [
        str(tmp_path / "discs.npy"),
        "-o",
        str(tmp_path / "two"),
        "--device",
        "cpu",
        "--pace",
        "distance_images=16",
    ]
    given += [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ALONE, *given],
            cwd=REPO,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    assert "Pillow is not installed" in told[0]
    assert "step" not in told[1]  # one of them speaks and writes

    fit_generator(images, FitSettings(**settings), folder=tmp_path / "one", pace=PACE)
    one, two = load_generator(str(tmp_path / "one" / WEIGHTS)), load_generator(str(tmp_path / "two" / WEIGHTS))
    start = new_generator(one.architecture, seed=0, noise=False)
    for (name, was), a, b in zip(start.named_parameters(), one.parameters(), two.parameters(), strict=True):
        # Adam makes rounding errors of slopes near zero as large as slopes: some weights differ, but little as a whole.
        assert (a - b).norm() <= 0.02 * (a - was).norm(), name
