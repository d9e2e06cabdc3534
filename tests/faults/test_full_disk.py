"""A disk that takes no more while a run writes: one line, nothing half-written, and the same command goes on later."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.kill import LOOK_EVERY_S, PART
from tests.runs import FAST, assert_equal_datasets, run_here

FULL, ROOMY = "160k", "64m"  # the empty tables fit into the first, two tracks of latents do not


def _remount(disk: Path, how: str) -> bool:
    done = subprocess.run(["mount", "-o", f"remount,{how}", disk], capture_output=True, text=True, check=False)
    return done.returncode == 0


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


@contextmanager
def _read_only_once_a_part_is_staged(disk: Path, dataset: Path) -> Iterator[threading.Event]:
    """Gives what is set when it has happened."""
    over, happened = threading.Event(), threading.Event()

    def watch() -> None:
        # Refused as long as any file is open for writing: then it is tried again.
        while not over.wait(LOOK_EVERY_S) and not happened.is_set():
            if any(dataset.glob(PART)) and _remount(disk, "ro"):
                happened.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield happened
    finally:
        over.set()
        watcher.join()


def _assert_blames_no_film(failed: "subprocess.CompletedProcess[str]", dataset: Path, why: str) -> None:
    assert failed.returncode == 1, failed.stderr
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("latentreel: ")]
    assert why in line, "the disk took all of it, so this test proved nothing"
    assert "run the same command again" in line
    assert "Traceback" not in failed.stderr
    assert not (dataset / "_attempts").exists(), "the film is not at fault, so no attempt may be counted"


@pytest.mark.slow
@pytest.mark.faults
def test_a_full_disk_blames_no_film_and_is_survived(
    movie: Path, undisturbed: Path, small_disk: Path, ray_address: str
) -> None:
    dataset = small_disk / "d"
    words: list[str | Path] = ["invert", movie, "-o", dataset, "--workers", "1", "--address", ray_address, *FAST]
    _assert_blames_no_film(run_here(*words), dataset, "No space left")

    assert _remount(small_disk, f"size={ROOMY}")
    done = run_here(*words)
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed)


@pytest.mark.faults
def test_a_disk_that_becomes_read_only_blames_no_film_and_is_survived(
    films: list[Path], undisturbed_films: Path, small_disk: Path, ray_address: str
) -> None:
    """As a disk does after an error of its own, or a share whose rights are taken away."""
    assert _remount(small_disk, f"size={ROOMY}")
    dataset = small_disk / "d"
    words: list[str | Path] = ["invert", *films, "-o", dataset, "--workers", "1", "--address", ray_address, *FAST]
    with _read_only_once_a_part_is_staged(small_disk, dataset) as happened:
        failed = run_here(*words)
    assert happened.is_set()
    _assert_blames_no_film(failed, dataset, "Read-only file system")

    assert _remount(small_disk, "rw")
    done = run_here(*words)
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed_films)
