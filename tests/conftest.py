"""Fixtures for all tests. The folder `shared` beside the checkout holds real clips and networks; it is optional."""

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


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
