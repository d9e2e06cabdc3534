"""Encoders as pSp, e4e and ReStyle publish them: they load and answer as a second implementation, or are refused."""

import argparse
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import encoder_id
from operators.inversion.inverter import make_inverter
from operators.inversion.picture_encoder import first_guess
from operators.inversion.published_encoders.checkpoint import is_of_another, read_published
from operators.inversion.published_encoders.networks import PublishedNetwork
from operators.inversion.published_encoders.published_encoder import PublishedEncoder
from operators.inversion.published_encoders.sizes import PublishedSizes
from operators.inversion.refined_guess import refined_guess
from operators.inversion.tools import inversion_tools
from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.describe import describe_generator
from operators.stylegan.generator import Generator
from schemas.config import InversionSettings
from schemas.errors import WrongUse
from schemas.generators import GeneratorInfo
from tests.reference import published_encoders as reference
from tests.reference.inversion_clips import clip_of, crops_of, known_path

NARROW = dict(width=16, num_ws=8, w_dim=32)  # published: 64, 14 to 18, 512, which is 1 GB
KINDS = [pytest.param(kind, id=kind) for kind in reference.KINDS]


def weights_of(kind: str, *, seed: int = 0, **sizes: Any) -> dict[str, Tensor]:
    named = reference.shapes(kind, **{"channels": reference.KINDS[kind], **NARROW, **sizes})
    return reference.random_weights(named, seed=seed)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return reference.little_generator(w_dim=32)


@pytest.fixture(scope="module")
def mean() -> Tensor:
    """A row per style, and rows that differ: adding any one of them to all would show."""
    return torch.randn(8, 32, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def e4e(mean: Tensor, tmp_path_factory: pytest.TempPathFactory) -> str:
    whole = reference.checkpoint("Encoder4Editing", weights_of("Encoder4Editing"), mean)
    return reference.save(whole, tmp_path_factory.mktemp("e4e") / "e4e.pt")


@pytest.fixture(scope="module")
def restyle(mean: Tensor, tmp_path_factory: pytest.TempPathFactory) -> str:
    weights = weights_of("BackboneEncoder")
    whole = reference.checkpoint("BackboneEncoder", weights, mean)
    del whole["opts"]["start_from_latent_avg"]  # ReStyle's options have no such thing: it always does
    return reference.save(whole, tmp_path_factory.mktemp("restyle") / "restyle.pt")


def pictures(n: int, side: int, *, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_shapes_are_the_published_ones(kind: str) -> None:
    channels = reference.KINDS[kind]
    expected = reference.shapes(kind, channels=channels, width=64, num_ws=18, w_dim=512)
    sizes = PublishedSizes(
        backbone="resnet34" if kind.startswith("ResNet") else "ir-se50",
        pyramid=reference.has_pyramid(kind),
        deltas=reference.has_deltas(kind),
        in_channels=channels,
        width=64,
        num_ws=18,
        w_dim=512,
    )
    with torch.device("meta"):
        network = PublishedNetwork(sizes)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_the_second_implementation(generator: Generator, mean: Tensor, tmp_path: Path, kind: str) -> None:
    weights = weights_of(kind)
    path = reference.save(reference.checkpoint(kind, weights, mean), tmp_path / "e.pt")
    encoder = load_encoder(path, generator)
    assert isinstance(encoder, PublishedEncoder)
    x = pictures(2, 256, channels=reference.KINDS[kind])
    with torch.no_grad():
        expected = reference.answer(kind, weights, x)
        got = encoder.network(x)
    assert float(expected.std(dim=0).mean()) > 0.01, "the encoder does not look at the picture"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "adds"),
    [
        pytest.param(slice(0, 8), True, id="a_row_per_style"),
        pytest.param(slice(0, 1), True, id="one_row_for_all"),
        pytest.param(0, True, id="a_vector"),
        pytest.param(slice(0, 8), False, id="not_to_be_added"),
    ],
)
def test_answers_are_offsets_to_the_files_mean(
    generator: Generator, mean: Tensor, tmp_path: Path, rows: slice | int, adds: bool
) -> None:
    weights, x = weights_of("GradualStyleEncoder"), pictures(1, 256)
    whole = reference.checkpoint("GradualStyleEncoder", weights, mean[rows].clone(), start_from_latent_avg=adds)
    got = first_guess(load_encoder(reference.save(whole, tmp_path / "psp.pt"), generator), x)
    expected = reference.answer("GradualStyleEncoder", weights, x) + (mean[rows] if adds else 0)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [pytest.param(side, id=f"{side}px") for side in (32, 128, 512, 1024)])
def test_pictures_of_every_size_are_seen_at_256_px(generator: Generator, e4e: str, side: int) -> None:
    x = pictures(1, 32)
    at_256, shown = (x.repeat_interleave(n // 32, dim=2).repeat_interleave(n // 32, dim=3) for n in (256, side))
    encoder = load_encoder(e4e, generator)
    if side > 256:  # grain that every mean over two by two pixels takes away, and no picking of pixels does
        sign = (-1.0) ** torch.arange(side)
        shown = shown + 0.2 * sign[:, None] * sign
        torch.testing.assert_close(first_guess(encoder, shown), first_guess(encoder, at_256), rtol=0, atol=1e-4)
    else:
        smooth = torch.nn.functional.interpolate(shown, size=(256, 256), mode="bilinear", align_corners=False)
        torch.testing.assert_close(first_guess(encoder, shown), first_guess(encoder, smooth), rtol=0, atol=1e-4)


def test_it_is_frozen_and_its_statistics_stand_still(generator: Generator, e4e: str) -> None:
    encoder = load_encoder(e4e, generator)
    assert isinstance(encoder, PublishedEncoder)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    guess = first_guess(encoder, pictures(3, 256))
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, equal_nan=True)
    np.testing.assert_array_equal(first_guess(encoder, pictures(3, 256)[2:])[0], guess[2])


def test_restyle_starts_at_the_mean_and_adds_what_it_sees(generator: Generator, restyle: str, mean: Tensor) -> None:
    """Alaluf et al. 2021: the average image first, then its own reconstruction, averaged down to its input's size."""
    encoder, weights = load_encoder(restyle, generator), weights_of("BackboneEncoder")
    assert encoder.refinements == 5
    target = torch.from_numpy(crops_of(generator, known_path(generator, 1, seed=3))).movedim(-1, 1) / 127.5 - 1
    large = torch.nn.functional.interpolate(target, size=(256, 256), mode="bilinear", align_corners=False)
    w_NLD = mean[None]
    torch.testing.assert_close(encoder.first(target), w_NLD, rtol=0, atol=0)
    for _ in range(2):
        with torch.no_grad():
            shown = generator.synthesis(w_NLD)
            beside = torch.nn.functional.interpolate(shown, size=(256, 256), mode="bilinear", align_corners=False)
            got = encoder.again(target, shown, w_NLD)
            w_NLD = w_NLD + reference.answer("BackboneEncoder", weights, torch.cat((large, beside), dim=1))
        torch.testing.assert_close(got, w_NLD, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("which", ["e4e", "restyle"])
def test_the_best_of_all_guesses_is_taken_and_depends_on_the_picture_alone(
    generator: Generator, which: str, request: pytest.FixtureRequest
) -> None:
    settings = InversionSettings(encoder=request.getfixturevalue(which), prior_samples=1000)
    tools = inversion_tools(generator, settings)
    assert tools.encoder is not None
    crops = torch.from_numpy(crops_of(generator, known_path(generator, 3, seed=3, step=0.3))).movedim(-1, 1)
    targets = tools.loss.targets(crops / 127.5 - 1)
    losses = []
    for n in range(4):
        w_NLD = refined_guess(tools, tools.encoder, targets, refinements=n)
        losses.append(tools.look(w_NLD, targets)[1])
        np.testing.assert_array_equal(
            refined_guess(tools, tools.encoder, targets.rows(slice(1, 2)), refinements=n)[0], w_NLD[1]
        )
    for less, more in pairwise(losses):
        assert bool((more <= less * (1 + 1e-5)).all())


def test_an_inversion_starts_from_it(generator: Generator, e4e: str) -> None:
    clip = clip_of(crops_of(generator, known_path(generator, 2, seed=1)))
    settings = InversionSettings(method="naive", encoder=e4e, encoder_steps=1, prior_samples=1000)
    guess = first_guess(load_encoder(e4e, generator), torch.from_numpy(clip.crops_TRRC).movedim(-1, 1) / 127.5 - 1)
    np.testing.assert_allclose(make_inverter(generator, settings)([clip])[0].w_TLD, guess, rtol=2e-3, atol=2e-3)


def info(generator: Generator, **changes: Any) -> GeneratorInfo:
    sizes = dict(resolution=32, num_ws=generator.num_ws, w_dim=generator.w_dim)
    return GeneratorInfo(**{"name": "g", "generator_id": "g", "content_id": "g", **sizes, **changes})


def test_its_id_follows_from_the_files_bytes(generator: Generator, e4e: str, tmp_path: Path) -> None:
    (tmp_path / "copy.pt").write_bytes(Path(e4e).read_bytes())
    assert encoder_id(str(tmp_path / "copy.pt"), info(generator)) == encoder_id(e4e, info(generator))
    with pytest.raises(WrongUse, match="makes 8 styles of 32, and the generator takes 18 of 512; give an encoder of"):
        encoder_id(e4e, info(generator, num_ws=18, w_dim=512))


@pytest.mark.parametrize(
    ("seed", "half", "other"),
    [
        pytest.param(0, False, False, id="the_same"),
        pytest.param(0, True, False, id="the_same_in_half_precision"),
        pytest.param(1, False, True, id="another"),
    ],
)
def test_a_file_tells_whose_encoder_it_is(
    generator: Generator, mean: Tensor, tmp_path: Path, seed: int, half: bool, other: bool
) -> None:
    decoder = reference.decoder_weights(reference.little_generator(w_dim=32, seed=seed))
    decoder = {name: values.half() if half else values for name, values in decoder.items()}
    whole = reference.checkpoint("Encoder4Editing", weights_of("Encoder4Editing"), mean, decoder=decoder)
    path = reference.save(whole, tmp_path / "e4e.pt")
    save_generator(generator, str(tmp_path / "g.safetensors"))
    described = describe_generator(str(tmp_path / "g.safetensors"), seed=0)
    assert is_of_another(read_published(path), described) is other
    if not other and not half:  # and its decoder is a generator that can be named
        own = load_generator(path)
        w_NLD = known_path(generator, 1, seed=2)
        torch.testing.assert_close(own.synthesis(w_NLD), generator.synthesis(w_NLD), rtol=0, atol=1e-4)


class Running:
    """What a whole module's pickle comes to: a call, made when the file is opened by torch."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_code_in_a_file_does_not_run(generator: Generator, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = reference.save(Running(mark), tmp_path / "module.pt")
    torch.load(path, weights_only=False)
    assert mark.exists(), "the file runs nothing, so this test proves nothing"
    mark.unlink()
    with pytest.raises(WrongUse, match=r"asks for .* when it is opened, and nothing .* executed here; .* torch\.save"):
        load_encoder(path, generator)
    assert not mark.exists()


def changed(weights: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    named = {name.replace("__", "."): values for name, values in changes.items()}
    return {name: values for name, values in (weights | named).items() if values is not None}


REFUSED = [
    pytest.param(dict(opts=None), "without opts.encoder_type: the weights of pSp and e4e have the same", id="no_opts"),
    pytest.param(dict(encoder_type="ViT"), "a ViT, which latentreel does not run; give a Gradual", id="unknown_kind"),
    pytest.param(dict(learn_in_w=True), "with learn_in_w, one style for all layers; give one of W", id="in_w"),
    pytest.param(dict(dataset_type="cars_encode"), "256 by 192 px, and crops are square", id="cars"),
    pytest.param(dict(encoder_type="BackboneEncoder"), "are none of its, first latlayer1.bias", id="another_kind"),
    pytest.param(dict(encoder_type="ResNetBackboneEncoder"), "its conv1.weight is missing", id="another_backbone"),
    pytest.param(dict(channels=19), "of 19 input channels; give one of pictures, of 3 or 6", id="not_of_pictures"),
    pytest.param(dict(num_ws=10), "makes 10 styles of 32, and the generator takes 8 of 32; give", id="styles"),
    pytest.param(dict(w_dim=48), "makes 8 styles of 48, and the generator takes 8 of 32; give", id="w_dim"),
    pytest.param(dict(mean=None), "and it has no latent_avg; take a whole file", id="no_mean"),
    pytest.param(dict(mean=torch.zeros(9, 32)), r"its latent_avg is shaped \(9, 32\); take", id="mean_of_others"),
    pytest.param(dict(mean=torch.full((8, 32), float("nan"))), "latent_avg holds NaN or infinity", id="nan_mean"),
    pytest.param(
        dict(body__3__res_layer__1__weight=None),
        "Encoder4Editing, and 1 of its tensors are missing, first body.3.res_layer.1.weight; take a whole file",
        id="missing",
    ),
    pytest.param(dict(fc__weight=torch.zeros(1)), "and 1 tensors are none of its, first fc.weight", id="foreign"),
    pytest.param(
        dict(latlayer1__bias=torch.zeros(5)), r"its latlayer1.bias is \(5,\), not \(128,\)", id="another_shape"
    ),
    pytest.param(
        dict(latlayer1__bias=torch.full((128,), float("inf"))), "latlayer1.bias holds NaN or infinity", id="infinity"
    ),
]


@pytest.mark.parametrize(("change", "told"), REFUSED)
def test_what_does_not_fit_is_told_in_one_line(
    generator: Generator, mean: Tensor, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    sizes = {name: change[name] for name in ("channels", "num_ws", "w_dim") if name in change}
    tensors = {name: values for name, values in change.items() if "__" in name}
    opts = {name: change[name] for name in ("encoder_type", "learn_in_w", "dataset_type") if name in change}
    rows = torch.zeros(sizes.get("num_ws", 8), sizes.get("w_dim", 32))
    whole = reference.checkpoint(
        "Encoder4Editing", changed(weights_of("Encoder4Editing", **sizes), **tensors), rows, **opts
    )
    if "mean" in change:
        whole["latent_avg"] = change["mean"]
    if change.get("opts", "") is None:
        del whole["opts"]
    path = reference.save(whole, tmp_path / "e.pt")
    with pytest.raises(WrongUse, match=told) as caught:
        load_encoder(path, generator)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(lambda path: path.unlink(), "no such file; give an encoder's .safetensors", id="absent"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:-4000]), "not a whole checkpoint", id="truncated"
        ),
        pytest.param(lambda path: path.write_bytes(b""), "an empty file, not a checkpoint; give", id="empty"),
        pytest.param(lambda path: path.write_text("<!DOCTYPE html>"), "a web page: the server sent", id="web_page"),
        pytest.param(lambda path: path.write_bytes(pickle.dumps([1])), "a pickle of a list, and no enc", id="a_list"),
        pytest.param(
            lambda path: torch.save({"g_ema": {}, "latent_avg": torch.zeros(1)}, path),
            r"a checkpoint of 2 entries \(g_ema, latent_avg\), and no encoder; give",
            id="a_generator",
        ),
    ],
)
def test_files_of_other_kinds(generator: Generator, e4e: str, tmp_path: Path, make: Any, told: str) -> None:
    path = tmp_path / "e.pt"
    path.write_bytes(Path(e4e).read_bytes())
    make(path)
    with pytest.raises(WrongUse, match=told) as caught:
        load_encoder(str(path), generator)
    assert "\n" not in str(caught.value)


def test_options_may_be_a_namespace(generator: Generator, e4e: str, mean: Tensor, tmp_path: Path) -> None:
    """Files that were saved again by other programs have them as they came from the command line."""
    whole = reference.checkpoint("Encoder4Editing", weights_of("Encoder4Editing"), mean)
    whole["opts"] = argparse.Namespace(**whole["opts"])
    x = pictures(1, 256)
    got = first_guess(load_encoder(reference.save(whole, tmp_path / "n.pt"), generator), x)
    torch.testing.assert_close(got, first_guess(load_encoder(e4e, generator), x), rtol=0, atol=0)
