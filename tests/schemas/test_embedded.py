"""What is shipped: by name, whole, small enough, and with a card that says how it was made."""

from pathlib import Path

import pytest

from operators.emotion.manifest import read_model
from operators.inversion.encoder import Encoder
from operators.inversion.encoder_file import load_encoder
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.describe import describe_generator
from schemas.embedded import EMBEDDED, asset_path, weights_path

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("name", "bytes_max"),
    [
        pytest.param("puppet-128", 8 * MEGABYTE, id="generator"),
        pytest.param("puppet-128-encoder", 4 * MEGABYTE, id="encoder"),
        pytest.param("puppet-emotion", 1 * MEGABYTE, id="emotion"),
    ],
)
def test_weights_are_small_and_have_a_card(name: str, bytes_max: int) -> None:
    path = Path(weights_path(name))
    assert 0 < path.stat().st_size <= bytes_max
    card = path.with_suffix(".md").read_text()
    assert "latentreel" in card or "operators.stylegan.training" in card, "the card does not say the command"
    assert "| step |" in card, "the card has no log"


def test_all_of_it_is_at_most_15_megabytes() -> None:
    folder = Path(asset_path(""))
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 15 * MEGABYTE
    assert set(EMBEDDED.values()) <= {file.name for file in folder.iterdir()}


def test_the_parts_of_the_family_belong_together() -> None:
    generator = load_generator("puppet-128")
    assert (generator.resolution, describe_generator("puppet-128", seed=0).resolution) == (128, 128)
    encoder = load_encoder("puppet-128-encoder", generator)
    assert isinstance(encoder, Encoder)
    assert encoder.shape.resolution == 128
    _, manifest = read_model("puppet-emotion")
    assert manifest.size_px == 64


def test_any_other_name_is_a_path() -> None:
    assert weights_path("film/ffhq.safetensors") == "film/ffhq.safetensors"
