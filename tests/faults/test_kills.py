"""Real kills. After each, the same command again gives the tables of a run that nobody disturbed."""

import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.kill import KILLS, kill_driver, kill_raylet, kill_workers
from tests.runs import FAST, assert_equal_datasets, run_here

SEED = 1  # of the moments; benchmarks/kills.py tries many


def _invert(films: list[Path], dataset: Path, address: str) -> "subprocess.CompletedProcess[str]":
    return run_here("invert", *films, "-o", dataset, "--workers", "1", "--address", address, *FAST)


@pytest.mark.faults
def test_an_actor_of_every_pool_and_a_finaliser_killed_in_one_run(
    cluster: Any, films: list[Path], undisturbed_films: Path, tmp_path: Path
) -> None:
    """The run itself survives: no second one is needed, and no film has an attempt counted. Lost: time only."""
    random, dataset = Random(SEED), tmp_path / "d"
    with kill_workers(cluster, dataset, [kill.drawn(random) for kill in KILLS]) as kills:
        done = _invert(films, dataset, cluster.address)
    assert [kill.title for kill in kills if kill.pid is None] == [], "not killed, so this test proved less"
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed_films)
