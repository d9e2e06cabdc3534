"""Real kills. After each, the same command again gives the tables of a run that nobody disturbed."""

import signal
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.tables import Tables
from tests.faults.kill import VICTIMS, Kill, driver_kill, killing, raylet_kill, worker_kill
from tests.ray_cluster import add_node
from tests.runs import FAST, assert_equal_datasets, command, run_here

SEED = 1  # of the moments; benchmarks/kills.py tries many


def _words(films: list[Path], dataset: Path, address: str) -> list[str]:
    return list(map(str, ["invert", *films, "-o", dataset, "--workers", "1", "--address", address, *FAST]))


def _all_done(kills: list[Kill]) -> None:
    assert not [str(kill) for kill in kills if kill.pid is None], "not killed, so this test proved nothing"


@pytest.mark.faults
def test_an_actor_of_every_pool_and_a_finaliser_killed_in_one_run(
    cluster: Any, films: list[Path], undisturbed_films: Path, tmp_path: Path
) -> None:
    """The run itself survives: no second one is needed, and no film has an attempt counted. Lost: time only."""
    random, dataset = Random(SEED), tmp_path / "d"
    kills = [worker_kill(cluster, name, random) for name in VICTIMS]
    with killing(kills, dataset):
        done = run_here(*_words(films, dataset, cluster.address))
    _all_done(kills)
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed_films)


@pytest.mark.slow
@pytest.mark.faults
def test_the_raylet_of_another_node_killed(
    cluster: Any, films: list[Path], undisturbed_films: Path, tmp_path: Path
) -> None:
    """With it go its workers, and what they held in its memory. The run itself survives."""
    dataset, node = tmp_path / "d", add_node(cluster)
    kill = raylet_kill(node, Random(SEED))
    try:
        with killing([kill], dataset):
            done = run_here(*_words(films, dataset, cluster.address))
    finally:
        cluster.remove_node(node, allow_graceful=False)
    _all_done([kill])
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed_films)


@pytest.mark.faults
def test_the_driver_killed_in_the_middle(
    cluster: Any, films: list[Path], undisturbed_films: Path, tmp_path: Path
) -> None:
    """Lost: time only. What is staged is used again."""
    dataset = tmp_path / "d"
    words = _words(films, dataset, cluster.address)
    driver = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kill = driver_kill(driver.pid, Random(SEED))
    with killing([kill], dataset):
        assert driver.wait(300) == -signal.SIGKILL, "the run ended before it could be killed"
    _all_done([kill])
    assert Tables(str(dataset), {}).read("videos").num_rows < len(films), "all films were committed already"
    assert any((dataset / "_staging").rglob("*.parquet")), "nothing is left to be used again"

    done = run_here(*words)
    assert done.returncode == 0, done.stderr
    assert_equal_datasets(dataset, undisturbed_films)
