"""A disk that fills up while a run writes: one line, nothing half-written, and the same command goes on afterwards."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import FAST, Run, assert_equal_datasets

FULL, ROOMY = "160k", "64m"  # the empty tables fit into the first, two tracks of latents do not


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL}", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a tmpfs: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.faults
def test_a_full_disk_blames_no_film_and_is_survived(
    latentreel: Run, movie: Path, undisturbed: Path, small_disk: Path
) -> None:
    dataset = small_disk / "d"
    words: tuple[str | Path, ...] = ("invert", movie, "-o", dataset, "--workers", "1", *FAST)
    failed = latentreel(*words)
    assert failed.returncode == 1, failed.stderr
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("latentreel: ")]
    assert "No space left" in line, "the disk was not full, so this test proved nothing"
    assert "run the same command again" in line
    assert not (dataset / "_attempts").exists(), "the film is not at fault, so no attempt may be counted"

    subprocess.run(["mount", "-o", f"remount,size={ROOMY}", small_disk], check=True)
    done = latentreel(*words)
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed)
