"""Fixtures for all tests. The folder `shared` beside the checkout holds real clips and networks; it is optional."""

from pathlib import Path

import pytest

from tests.astronaut import write_astronaut_movie
from tests.runs import FAST, Run, run_command

REPO = Path(__file__).resolve().parent.parent

# Each of these starts Ray, with a process for every stage: two of them at once would fight for two cores.
STARTS_RAY = {"test_invert.py", "test_render.py", "test_query.py", "test_kills.py", "test_full_disk.py", "test_run.py"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's own, which reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files stay whole in one of pytest-xdist's processes, and those with Ray in the same one."""
    for item in items:
        name = item.path.name
        item.add_marker(pytest.mark.xdist_group("ray" if name in STARTS_RAY else str(item.path)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, small networks and real latents. Tests that need them skip where the folder is absent."""
    path = REPO.parent / "shared"
    if not (path / "media").is_dir():
        pytest.skip("needs the folder shared beside the checkout")
    return path


@pytest.fixture(scope="session")
def media(shared: Path) -> Path:
    return shared / "media"


@pytest.fixture(scope="session")
def latentreel() -> Run:
    """Runs the command; gives its exit code and what it said."""
    return run_command


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The movie that the project makes itself."""
    path = tmp_path_factory.mktemp("movie") / "astronaut.mp4"
    write_astronaut_movie(path)
    return path


@pytest.fixture(scope="session")
def undisturbed(latentreel: Run, movie: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made by one worker in one go: what every other way of making it has to equal."""
    dataset = tmp_path_factory.mktemp("undisturbed") / "dataset"
    done = latentreel("invert", movie, "-o", dataset, "--workers", "1", *FAST)
    assert done.returncode == 0, done.stderr
    return dataset
