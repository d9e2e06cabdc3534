"""Real kills. After each, the same command again gives the tables of a run that nobody disturbed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.runs import FAST, Run, assert_equal_datasets, command


def _wait_for(condition, seconds: float, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "what the test waits for never happened"
        time.sleep(0.02)


@pytest.mark.faults
def test_the_driver_killed_in_the_middle(latentreel: Run, movie: Path, undisturbed: Path, tmp_path: Path) -> None:
    """SIGKILL once a part is staged and before the film is committed. Lost: time only."""
    dataset = tmp_path / "d"
    words: tuple[str | Path, ...] = ("invert", movie, "-o", dataset, "--workers", "1", *FAST)
    driver = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    staging = dataset / "_staging"
    _wait_for(lambda: any(staging.rglob("seg*-part*.parquet")), 120, driver)
    os.kill(driver.pid, signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL, "nothing was killed, so this test proved nothing"
    assert not list((dataset / "videos").rglob("*.parquet")), "the film was committed already"
    assert any(staging.rglob("seg*-part*.parquet")), "nothing is left to be used again"

    done = latentreel(*words)
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed)
