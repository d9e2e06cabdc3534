"""Fixtures for all tests. The folder `shared` beside the checkout holds real clips and networks; it is optional."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ray_cluster
from tests.astronaut import write_astronaut_movie, write_short_take
from tests.runs import Run, make_undisturbed, run_command
from tests.s3_server import S3Server, s3_server, without_aws

REPO = Path(__file__).resolve().parent.parent

# What needs Ray, with a process for every stage: two of them at once would fight for two cores. And what compares with
# a dataset that these need too: it is made once a process.
_NEEDS_RAY = re.compile(r"\bundisturbed(_films)?\b|\bray_address\b|\bengine\(")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files stay whole in one of pytest-xdist's processes, and those with Ray in the same one.

    Not by its marks: `--dist loadgroup` writes names into a field that pytest 9.2 no longer reads, and then groups
    nothing, in silence.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    with_ray = {path.name for path in (REPO / "tests").rglob("test_*.py") if _NEEDS_RAY.search(path.read_text())}

    class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "ray" if Path(file).name in with_ray else file

    return WholeFiles(config, log)


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
def noisy_32(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A generator whose noise maps count: they are found by Adam, whose steps are as large as one asks."""
    import torch

    from operators.stylegan.checkpoint import save_generator
    from operators.stylegan.random_weights import random_generator

    generator = random_generator(32, seed=0, channel_base=64, channel_max=8)
    with torch.no_grad():
        for conv in generator.synthesis.convs:
            conv.noise_strength.fill_(0.2)
    path = tmp_path_factory.mktemp("generator") / "noisy.safetensors"
    save_generator(generator, str(path))
    return str(path)


@pytest.fixture(scope="session")
def undisturbed(movie: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_undisturbed([movie], tmp_path_factory.mktemp("undisturbed") / "dataset")


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three short films, a face in each. Where more than one is at work, a worker that dies costs none an attempt."""
    folder = tmp_path_factory.mktemp("films")
    found = [folder / f"{name}.mp4" for name in "abc"]
    for i, path in enumerate(found):
        write_short_take(path, first_frame=12 * i)
    return found


@pytest.fixture(scope="session")
def undisturbed_films(films: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_undisturbed(films, tmp_path_factory.mktemp("undisturbed") / "films")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Ray, for all tests of this process."""
    with ray_cluster.cluster() as found:
        yield found


@pytest.fixture(scope="session")
def ray_address(cluster: Any) -> str:
    """For `--address`."""
    return str(cluster.address)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An object store for as long as the tests run."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that leads to no object store."""
    for name in os.environ.keys() | without_aws({}).keys():
        if name.startswith("AWS_"):
            monkeypatch.delenv(name, raising=False)
    for name, value in without_aws({}).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3: S3Server, nowhere: None, request: pytest.FixtureRequest) -> str:
    """Of this test alone."""
    return s3.make_bucket(f"b{abs(hash(request.node.nodeid)):x}")
