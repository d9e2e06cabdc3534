"""Encoders: what they owe the descent, their files, and files and generators that do not fit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from operators.inversion.encoder import Encoder, new_encoder
from operators.inversion.encoder_file import encoder_bytes, load_encoder, weights_hash
from operators.inversion.encoder_header import FILE_FORMAT, encoder_id, encoder_of, read_header
from operators.inversion.inverter import make_inverter
from operators.inversion.picture_encoder import first_guess
from operators.stylegan.checkpoint import save_generator
from operators.stylegan.describe import describe_generator
from operators.stylegan.generator import Architecture, Generator
from operators.stylegan.random_weights import random_generator
from schemas.clips import LatentClip
from schemas.config import Config, InversionSettings, LossSettings, SceneSettings, config_id, load_config
from schemas.errors import WrongUse
from schemas.generators import GeneratorInfo
from tests.reference.inversion_clips import clip_of, crops_of, known_path

SIZES = dict(resolution=32, num_ws=8, w_dim=512, width=8, hidden=16)
METHODS = [pytest.param("naive", id="naive"), pytest.param("sequential", id="sequential")]


def info(generator_id: str) -> GeneratorInfo:
    return GeneratorInfo(name="g", generator_id=generator_id, content_id="0", resolution=32, num_ws=8, w_dim=512)


@pytest.fixture(scope="module")
def small() -> Generator:
    return random_generator(32, seed=0, channel_base=64, channel_max=16)


@pytest.fixture(scope="module")
def encoder(small: Generator) -> Encoder:
    """Untrained, but for a last layer that answers something."""
    found = new_encoder(small, spread=0.5, width=8, hidden=16, seed=3)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if name.startswith("heads") and ".3." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.1)
    return found.eval().requires_grad_(False)


@pytest.fixture
def path(small: Generator, encoder: Encoder, tmp_path: Path) -> str:
    (tmp_path / "e.safetensors").write_bytes(encoder_bytes(encoder, small, generator_id="tiny-0123456789abcdef"))
    return str(tmp_path / "e.safetensors")


@pytest.mark.parametrize("resolution", [pytest.param(r, id=f"{r}px") for r in (32, 64, 128, 512)])
def test_an_untrained_encoder_answers_the_mean_for_every_size(resolution: int) -> None:
    levels = resolution.bit_length() - 2
    generator = Generator(Architecture(resolution=resolution, channels=(4,) * levels, z_dim=4, w_dim=12))
    generator.mapping.w_avg.copy_(torch.arange(12.0))
    pictures = torch.rand(2, 3, resolution, resolution)
    w_NLD = new_encoder(generator, spread=1.0, width=8, hidden=16, seed=0)(pictures)
    assert w_NLD.shape == (2, generator.num_ws, 12)
    torch.testing.assert_close(w_NLD, generator.mapping.w_avg.expand_as(w_NLD), rtol=0, atol=0)


def test_one_picture_is_encoded_as_in_company(encoder: Encoder) -> None:
    pictures = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    alone = torch.cat([encoder(x[None]) for x in pictures])
    assert float(alone.std(dim=0).mean()) > 0.01, "the encoder does not look at the picture"
    torch.testing.assert_close(encoder(pictures), alone, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(first_guess(encoder, pictures)[3], first_guess(encoder, pictures[3:4])[0])


@pytest.mark.parametrize("method", [*METHODS, pytest.param("scene", id="scene")])
def test_an_inversion_starts_where_the_encoder_says(small: Generator, path: str, method: str) -> None:
    """A rate of nearly nothing, a price on moving, or one look from where the path is keep the start: the guess of
    every frame, of the head, or of both ends.
    """
    prices = dict.fromkeys(("coarse_weight", "middle_weight", "fine_weight"), 1e6)
    still = InversionSettings(
        method=method,
        encoder=path,
        encoder_steps=1,
        next_steps=3,
        prior_samples=1000,
        **prices,
    )
    clip = clip_of(crops_of(small, known_path(small, 3, seed=1, step=0.4)))
    guess = first_guess(load_encoder(path, small), torch.from_numpy(clip.crops_TRRC).movedim(-1, 1) / 127.5 - 1)
    expected = {
        "naive": guess,
        "sequential": guess[:1].expand(3, -1, -1),
        "scene": torch.stack([torch.lerp(guess[0], guess[2], share) for share in (0, 0.5, 1)]),
    }
    one_look = SceneSettings(round_evaluations=1, evaluations=1, probe_evaluations=1)
    latents = make_inverter(small, still, scene=one_look)([clip])[0]
    np.testing.assert_allclose(latents.w_TLD, expected[method], atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_bits_depend_on_the_frame_alone(small: Generator, path: str, method: str) -> None:
    inverter = make_inverter(small, InversionSettings(method=method, encoder=path, encoder_steps=8, prior_samples=1000))
    crops = crops_of(small, known_path(small, 5, seed=2, step=0.3))
    many = inverter([clip_of(crops, track_index=0), clip_of(crops[1:4], track_index=1)])
    np.testing.assert_array_equal(many[0].w_TLD[0], inverter([clip_of(crops[:1])])[0].w_TLD[0])
    np.testing.assert_array_equal(many[1].w_TLD, inverter([clip_of(crops[1:4])])[0].w_TLD)


def test_a_file_gives_the_encoder_back_to_half_precision(small: Generator, encoder: Encoder, path: str) -> None:
    loaded = load_encoder(path, small)
    assert isinstance(loaded, Encoder)
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    np.testing.assert_array_equal(loaded.mean_D, encoder.mean_D)
    assert float((loaded(pictures) - encoder(pictures)).abs().max()) < 0.01 * encoder.shape.spread
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_an_encoder_of_128_px_takes_less_than_four_megabytes() -> None:
    generator = Generator(Architecture(resolution=128, channels=(8,) * 6, z_dim=96, w_dim=256))
    whole = encoder_bytes(new_encoder(generator, spread=1.0, width=32, hidden=192, seed=0), generator, generator_id="g")
    assert 3e6 < len(whole) < 4e6


def test_another_generators_encoder_is_refused(path: str) -> None:
    other = random_generator(32, seed=1, channel_base=64, channel_max=16)
    settings = InversionSettings(encoder=path)
    with pytest.raises(
        WrongUse, match="made for generator tiny-0123456789abcdef, and this one has other weights"
    ) as told:
        make_inverter(other, settings)
    assert "\n" not in str(told.value)


def test_the_hash_of_weights_knows_a_generator_frozen_or_not(small: Generator) -> None:
    before = weights_hash(small)
    assert weights_hash(small.unfreeze()) == before
    assert weights_hash(small.freeze()) == before


@pytest.mark.parametrize(
    ("generator_id", "fits"),
    [
        pytest.param("tiny-0123456789abcdef", True, id="the_same"),
        pytest.param("renamed-0123456789abcdef", True, id="the_same_under_another_name"),
        pytest.param("tiny-fedcba9876543210", False, id="another_of_this_name"),
        pytest.param("random-32-seed0", False, id="a_random_one"),
    ],
)
def test_the_id_needs_the_generator_that_it_was_made_for(path: str, generator_id: str, fits: bool) -> None:
    if fits:
        assert len(encoder_id(path, info(generator_id))) == 16
    else:
        with pytest.raises(WrongUse, match=f"made for generator tiny-0123456789abcdef, not {generator_id}"):
            encoder_id(path, info(generator_id))


def test_the_id_follows_the_bytes_and_not_the_name(path: str, tmp_path: Path) -> None:
    first = encoder_id(path, info("tiny-0123456789abcdef"))
    (tmp_path / "other.safetensors").write_bytes(Path(path).read_bytes())
    assert encoder_id(str(tmp_path / "other.safetensors"), info("tiny-0123456789abcdef")) == first
    content = bytearray(Path(path).read_bytes())
    content[-1] ^= 1
    Path(path).write_bytes(content)
    assert encoder_id(path, info("tiny-0123456789abcdef")) != first


def test_the_settings_id_follows_the_encoders_content(path: str) -> None:
    def canonical(name: str | None, encoder_id: str | None) -> str:
        config = Config(inversion=InversionSettings(encoder=name))
        return config_id(config.canonical(generator_id="g", emotion_id=None, encoder_id=encoder_id))

    assert canonical("a.safetensors", "1") == canonical("b.safetensors", "1")
    assert len({canonical(None, None), canonical("a.safetensors", "1"), canonical("a.safetensors", "2")}) == 3


def test_a_job_names_its_encoder_by_content(path: str, small: Generator, encoder: Encoder, tmp_path: Path) -> None:
    from jobs.describe_job import describe_job

    generator = str(tmp_path / "g.safetensors")
    save_generator(small, generator)
    made_for = describe_generator(generator, seed=0).generator_id
    Path(path).write_bytes(encoder_bytes(encoder, small, generator_id=made_for))
    wanted = {"generator": generator, "inversion.encoder": path}
    _, canonical = describe_job(load_config(None, wanted), "d")
    assert canonical["inversion"]["encoder"] == encoder_id(path, info(made_for))
    with pytest.raises(WrongUse, match="not random-64-seed0; give that generator's encoder, or none"):
        describe_job(load_config(None, wanted | {"generator": "random-64"}), "d")


@pytest.mark.parametrize(
    ("generator", "wanted", "found"),
    [
        pytest.param("puppet-128", None, "puppet-128-encoder", id="shipped_with_the_generator"),
        pytest.param("puppet-128", "none", None, id="none_was_asked_for"),
        pytest.param("puppet-128", "e.safetensors", "e.safetensors", id="another_was_asked_for"),
        pytest.param("random-64", None, None, id="random_weights_have_none"),
        pytest.param("{}/g.safetensors", None, "{}/g-encoder.safetensors", id="beside_the_file"),
        pytest.param("{}/g.pkl", None, "{}/g-encoder.safetensors", id="beside_a_pickle"),
        pytest.param("{}/h.safetensors", None, None, id="none_beside_the_file"),
        pytest.param("{}/g", None, None, id="not_a_generator"),
    ],
)
def test_which_encoder_starts_an_inversion(
    tmp_path: Path, generator: str, wanted: str | None, found: str | None
) -> None:
    (tmp_path / "g-encoder.safetensors").touch()
    expected = None if found is None else found.format(tmp_path)
    assert encoder_of(generator.format(tmp_path), wanted) == expected


def test_a_refined_guess_is_never_worse_and_still_depends_on_the_picture_alone(small: Generator, path: str) -> None:
    """The encoder is not trained: three looks take it anywhere, and what is worse must not be kept."""
    clip = clip_of(crops_of(small, known_path(small, 4, seed=1, step=0.4)))

    def inverted(refinements: int | None, frames: slice = slice(None)) -> LatentClip:
        settings = InversionSettings(
            method="naive",
            encoder=path,
            encoder_steps=1,
            encoder_refinements=refinements,
            prior_weight=0,
            prior_samples=1000,
        )
        loss = LossSettings(perceptual="pyramid", pyramid_weight=0)
        return make_inverter(small, settings, loss=loss)([clip_of(clip.crops_TRRC[frames])])[0]

    plain, refined = inverted(None), inverted(3)
    np.testing.assert_array_equal(inverted(0).w_TLD, plain.w_TLD)
    assert (refined.psnr >= plain.psnr - 0.01).all()
    assert (refined.psnr > plain.psnr + 0.01).any()
    np.testing.assert_array_equal(inverted(3, slice(2, 3)).w_TLD[0], refined.w_TLD[2])


def header(**changes: object) -> dict[str, str]:
    whole = SIZES | dict(format=FILE_FORMAT, spread=0.5, generator_id="g", generator_weights="0") | changes
    return {"encoder": json.dumps({k: v for k, v in whole.items() if v is not None})}


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        pytest.param(None, "format None, expected latentreel-encoder-1", id="no_header"),
        pytest.param({"format": "latentreel-stylegan2-1"}, "give an encoder, not another network", id="a_generator"),
        pytest.param({"encoder": "{"}, "is not JSON", id="not_json"),
        pytest.param({"encoder": "[]"}, "format None", id="a_list"),
        pytest.param(header(format="x"), "format x, expected", id="another_format"),
        pytest.param(header(w_dim=None), "must give .*w_dim", id="a_size_missing"),
        pytest.param(header(more=1), "must give", id="a_field_too_many"),
        pytest.param(header(w_dim=10**9), "whole numbers from 1 to 4096", id="size_of_a_bomb"),
        pytest.param(header(hidden=True), "whole numbers from 1 to 4096", id="a_size_that_is_true"),
        pytest.param(header(spread=-1.0), "spread -1.0; give a positive number", id="negative_spread"),
    ],
)
def test_a_header_that_does_not_fit(tmp_path: Path, metadata: dict[str, str] | None, told: str) -> None:
    path = str(tmp_path / "e.safetensors")
    save_file({"x": np.zeros(1, np.float32)}, path, metadata=metadata)
    with pytest.raises(WrongUse, match=told) as caught:
        read_header(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_whole(small: Generator, encoder: Encoder, path: str, tmp_path: Path) -> None:
    whole = Path(path).read_bytes()
    with pytest.raises(WrongUse, match="no such file"):
        load_encoder(str(tmp_path / "none.safetensors"), small)
    Path(path).write_bytes(whole[:-2])
    with pytest.raises(WrongUse, match=r"not a whole \.safetensors file"):
        load_encoder(path, small)
    metadata = header(**asdict(encoder.shape), generator_weights=weights_hash(small))
    tensors = {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}
    save_file({k: v for k, v in tensors.items() if k != "mean_D"}, path, metadata=metadata)
    with pytest.raises(WrongUse, match="1 tensors do not fit, first mean_D"):
        load_encoder(path, small)
    save_file(tensors | {"mean_D": np.full(512, np.nan, np.float32)}, path, metadata=metadata)
    with pytest.raises(WrongUse, match="mean_D holds NaN or infinity"):
        load_encoder(path, small)
