"""Two runs at once on one dataset, which know nothing of each other."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.runs import FAST, assert_equal_datasets, command


@pytest.mark.slow
@pytest.mark.faults
def test_two_drivers_at_once_commit_every_film_once(
    films: list[Path], undisturbed_films: Path, tmp_path: Path, ray_address: str
) -> None:
    """Lost: the time of the one that was later with a film."""
    dataset = tmp_path / "d"
    drivers = [
        subprocess.Popen(
            command("invert", *order, "-o", dataset, "--workers", "1", "--address", ray_address, *FAST),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"COLUMNS": "300"},
        )
        for order in (films, films[::-1])
    ]
    said = [driver.communicate(timeout=300)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    for text in said:
        assert f"{len(films)} films in " in text, "one began when the other was done, so this test proved nothing"
        assert f"{len(films)} committed" in text
    assert_equal_datasets(dataset, undisturbed_films)
