"""The loss of a frame: LPIPS against the package's own forward, the pyramid, the mask, identity, and their laws.

No backbone is shipped or downloaded: the files here hold seeded random weights, named by their own hash, as torchvision
names its files.
"""

import hashlib
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import lpips
import numpy as np
import pytest
import skimage.data
import torch
import torchvision  # type: ignore[import-untyped]
from torch import Tensor

from operators.faces.align import align_crop
from operators.faces.dlib_finder import DlibFinder
from operators.faces.quad import into_crop, quads_from_landmarks
from operators.inversion.face_mask import face_mask
from operators.inversion.frame_loss import FrameLoss, Targets
from operators.inversion.perceptual import Lpips
from operators.inversion.perceptual_weights import perceptual_id, perceptual_name
from operators.inversion.reconstruction_loss import reconstruction_loss
from operators.models import download
from operators.models.model_file import cache_folder
from schemas.config import LossSettings
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings
from schemas.model_files import MODEL_FILES
from tests.conftest import REPO
from tests.model_server import ModelServer

NETWORKS = {
    "lpips-vgg": ("vgg16", torchvision.models.vgg16, "vgg"),
    "lpips-alex": ("alexnet-owt", torchvision.models.alexnet, "alex"),
    "lpips-squeeze": ("squeezenet1_1", torchvision.models.squeezenet1_1, "squeeze"),
}


def random_weights(name: str) -> dict[str, Tensor]:
    """Features alone: the classifier, 90 % of the published file, is not looked at."""
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in NETWORKS[name][1](weights=None).state_dict().items()}
    source = torch.Generator().manual_seed(1)
    return {
        key: torch.randn(shape, generator=source) * (2 / max(1, shape[1:].numel())) ** 0.5
        for key, shape in shapes.items()
        if key.startswith("features.")
    }


def write(folder: Path, name: str, content: object) -> Path:
    """Under the name that torchvision would give these bytes."""
    draft = folder / "draft"
    torch.save(content, draft)
    digits = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    return draft.rename(folder / f"{NETWORKS[name][0]}-{digits}.pth")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in NETWORKS:
        write(folder, name, random_weights(name))
    return folder


@pytest.fixture
def present(models, monkeypatch, tmp_path):
    """A machine with all backbones in LATENTREEL_MODELS."""
    monkeypatch.setenv("LATENTREEL_MODELS", str(models))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return models


@pytest.fixture
def absent(monkeypatch, tmp_path):
    """A machine without any, and the folder where torch.hub would keep them."""
    monkeypatch.delenv("LATENTREEL_MODELS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (hub := tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return hub


@pytest.fixture(scope="module")
def face() -> tuple[Tensor, np.ndarray]:
    """The astronaut's face as a crop of 64 px, (1, 3, 64, 64), and its landmarks."""
    picture = skimage.data.astronaut()
    ((found,),) = DlibFinder(FaceSettings())([picture])
    points = found.landmarks_682[None]
    quad = quads_from_landmarks(points)
    crop = align_crop(picture, quad[0], crop_px=64, supersample=4)
    return torch.tensor(crop).movedim(-1, 0)[None].float() / 127.5 - 1, into_crop(points, quad, 64)


def pictures(n: int, px: int, *, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, px, px, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(
    ("name", "px"),
    [
        pytest.param("lpips-vgg", 64, id="vgg"),
        pytest.param("lpips-alex", 64, id="alex"),
        pytest.param("lpips-squeeze", 64, id="squeeze"),
        pytest.param("lpips-alex", 32, id="alex_at_the_smallest_size"),
        pytest.param("lpips-squeeze", 512, id="larger_pictures_are_averaged_to_256"),
    ],
)
def test_cached_features_give_what_the_package_gives(present, name, px):
    ours = Lpips(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = lpips.LPIPS(net=NETWORKS[name][2], pnet_rand=True, verbose=False)
    own.net.load_state_dict(ours.backbone.state_dict())
    x, y = pictures(2, px), pictures(2, px, seed=1)
    seen = [torch.nn.functional.interpolate(p, size=min(px, 256), mode="area") for p in (x, y)]
    with torch.no_grad():
        wanted, found = own(*seen).flatten(), ours(x, ours.features(y))
    assert wanted.min() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_gives_the_distances_that_the_package_gives_of_it(present, models, name):
    """The file is read by torchvision's own network, whose layers become the package's one after the other."""
    with torch.device("meta"):  # no random start of 138 million numbers
        published = NETWORKS[name][1](weights=None)
    (path,) = models.glob(f"{NETWORKS[name][0]}-*.pth")
    published.load_state_dict(torch.load(path, weights_only=True), strict=False, assign=True)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        own = lpips.LPIPS(net=NETWORKS[name][2], pnet_rand=True, pretrained=False, verbose=False)
    heads = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{NETWORKS[name][2]}.pth"
    own.load_state_dict(torch.load(heads, map_location="cpu", weights_only=True), strict=False, assign=True)
    own.scaling_layer = lpips.ScalingLayer()
    layers, theirs = (
        [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)] for network in (published.features, own.net)
    )
    assert len(layers) >= len(theirs) >= 5
    for layer, empty in zip(layers, theirs, strict=False):
        assert layer.weight.shape == empty.weight.shape
        empty.weight, empty.bias = layer.weight, layer.bias
    ours = Lpips(name)
    x, y = pictures(2, 64), pictures(2, 64, seed=1)
    with torch.no_grad():
        wanted = own.eval()(x, y).flatten()
        torch.testing.assert_close(ours(x, ours.features(y)), wanted, atol=1e-5, rtol=1e-5)
    assert wanted.min() > 0.01


def test_the_backbone_is_the_file(present):
    weights = random_weights("lpips-alex")
    layers = [m for m in Lpips("lpips-alex").backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    torch.testing.assert_close(
        [layer.weight for layer in layers], [weights[f"features.{i}.weight"] for i in (0, 3, 6, 8, 10)]
    )


def test_loading_leaves_the_random_numbers_of_the_process_alone(present):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Lpips("lpips-squeeze")
    assert torch.equal(torch.rand(4), expected)


def settings(perceptual: str, **changes: float) -> LossSettings:
    return LossSettings(perceptual=perceptual, **changes)


LOSSES = [
    pytest.param(settings("pyramid"), id="pyramid"),
    pytest.param(settings("pyramid", outside_weight=0.1), id="pyramid_mask"),
    pytest.param(settings("pyramid", gradient_weight=0.1, outside_weight=0.1), id="gradient_mask"),
    pytest.param(settings("pyramid", identity_weight=0.1), id="pyramid_identity"),
    pytest.param(settings("lpips-squeeze"), id="squeeze"),
    pytest.param(settings("lpips-alex", outside_weight=0.1, identity_weight=0.1), id="alex_mask_identity"),
    pytest.param(settings("pyramid", pixel_weight=0.0), id="pyramid_alone"),
]


@pytest.mark.parametrize("chosen", LOSSES)
def test_a_loss_knows_only_its_own_frame(present, face, chosen):
    """Neighbours change nothing, and rows() of targets are the targets of rows."""
    crop, points = face
    loss = FrameLoss(chosen, resolution=64)
    frames, x = torch.cat([crop, crop.flip(3), crop * 0.5]), torch.cat([crop * 0.9, crop, crop.flip(2)])
    landmarks = np.repeat(points, 3, axis=0) + np.array([0, 1, 2], np.float32)[:, None, None]
    targets = loss.targets(frames, landmarks)
    together = loss(x, targets)
    assert together.shape == (3,)
    assert together.min() > 1e-3
    order = torch.tensor([2, 0, 0])
    torch.testing.assert_close(loss(x[order], targets.rows(order)), together[order], rtol=1e-5, atol=1e-7)
    for i in range(3):
        alone = loss.targets(frames[i : i + 1], landmarks[i : i + 1])
        torch.testing.assert_close(loss(x[i : i + 1], alone)[0], together[i], rtol=1e-5, atol=1e-7)
        assert len(targets.rows(slice(i, i + 1))) == 1


@pytest.mark.parametrize("chosen", LOSSES)
@pytest.mark.parametrize(
    ("x", "same"),
    [
        pytest.param(lambda face: face, True, id="match"),
        pytest.param(lambda face: face * 0.8, False, id="near"),
        pytest.param(lambda face: torch.full_like(face, -1.0), False, id="black"),
    ],
)
@pytest.mark.parametrize("frame", ["face", "black"])
def test_slopes_are_numbers_and_a_match_has_none(present, face, chosen, x, same, frame):
    crop, points = face
    target = crop if frame == "face" else torch.full_like(crop, -1.0)
    loss = FrameLoss(chosen, resolution=64)
    shown = (target.clone() if same else x(crop)).requires_grad_(True)
    value = loss(shown, loss.targets(target, points))
    (slope,) = torch.autograd.grad(value.sum(), shown)
    assert slope.isfinite().all()
    if torch.equal(shown, target):
        assert value.item() == pytest.approx(0, abs=1e-9)
        assert slope.abs().max() < 1e-5
    else:
        assert value.item() > 1e-4
        assert slope.abs().max() > 1e-7


@pytest.mark.parametrize("weight", [0.0, 0.05, 1.0])
def test_without_weights_it_is_the_loss_of_before_to_the_bit(absent, weight):
    loss = FrameLoss(LossSettings(pyramid_weight=weight), resolution=32)
    x, y = pictures(3, 32), pictures(3, 32, seed=1)
    assert loss.name == "pyramid"
    assert loss.lpips is None
    assert torch.equal(loss(x, loss.targets(y)), reconstruction_loss(x, y, pyramid_weight=weight))


def test_nothing_heavy_is_imported_for_the_pyramid(absent):
    code = (
        "import sys; from operators.inversion.frame_loss import FrameLoss\n"
        "from schemas.config import LossSettings as S\n"
        "FrameLoss(S(), resolution=32); print(sorted({'lpips', 'torchvision', 'skimage'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_are_told_without_torch(absent):
    module = "operators.inversion.perceptual_weights"
    code = f"import sys, {module} as p; print(p.perceptual_name('auto'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pyramid", "False"]


@pytest.mark.parametrize("perceptual", ["pyramid", "lpips-alex"])
def test_errors_outside_the_face_count_as_much_as_they_are_told_to(present, face, perceptual):
    crop, points = face
    mask = torch.tensor(face_mask(points[0], 64))
    away = (mask < 1e-3).float()  # beyond the soft edge
    assert 0.1 < away.mean() < 0.9

    def error(outside_weight: float, where: Tensor) -> float:
        chosen = LossSettings(perceptual=perceptual, outside_weight=outside_weight)
        loss = FrameLoss(chosen, resolution=64)
        return loss(crop + 0.3 * where, loss.targets(crop, points)).item()

    inside = (mask > 0.999).float()
    assert error(0.01, away) < error(0.1, away) < error(1.0, away)
    assert error(0.01, inside) > error(0.1, inside) > error(1.0, inside)
    assert error(0.01, torch.ones(64, 64)) == pytest.approx(error(1.0, torch.ones(64, 64)), rel=0.25), "same scale"


def test_the_weighted_square_is_the_weighted_mean(absent, face):
    """Only the pixel term: checked by hand."""
    crop, points = face
    loss = FrameLoss(LossSettings(pyramid_weight=0.0, outside_weight=0.25), resolution=64)
    x = crop + pictures(1, 64)
    weight = 0.25 + 0.75 * face_mask(points[0], 64)
    expected = np.average((x - crop).square().mean(dim=1)[0].numpy(), weights=weight)
    assert loss(x, loss.targets(crop, points)).item() == pytest.approx(expected, rel=1e-5)


def test_gradients_ask_for_steps_and_not_for_levels(absent):
    """A brighter picture has the same steps; a step of height h on a plain differs by h per pixel of its edge."""
    loss = FrameLoss(LossSettings(pixel_weight=0, pyramid_weight=0, gradient_weight=1), resolution=32)
    targets = loss.targets(torch.zeros(2, 3, 32, 32))
    x = torch.full((2, 3, 32, 32), 0.5)
    x[1, :, :, 16:] = 1.0
    brighter, step = loss(x, targets).tolist()
    assert brighter == 0
    one_grey_level = 1 / 127.5  # up to there the error is a square, which costs half a level
    assert step == pytest.approx((0.5 - one_grey_level / 2) * (1 / 31 + 1 / 15 + 1 / 7), rel=1e-5)


def test_the_mask_shows_the_face_and_not_what_is_around_it(face):
    mask = face_mask(face[1][0], 64)
    eyes, mouth = face[1][0][36:48].mean(axis=0), face[1][0][48:68].mean(axis=0)
    for x, y in (eyes, mouth, eyes * 1.6 - mouth * 0.6):  # the last: the forehead
        assert mask[round(y), round(x)] > 0.95
    assert max(mask[:, 0].max(), mask[:, -1].max(), mask[0].max()) < 0.05
    assert ((mask > 0.1) & (mask < 0.9)).mean() > 0.03, "a soft edge"


@pytest.mark.parametrize("shift", [-500.0, 500.0])
def test_a_face_outside_of_its_crop_leaves_a_plain_loss(absent, face, shift):
    crop, points = face
    masked, plain = (FrameLoss(LossSettings(outside_weight=w), resolution=64) for w in (0.1, 1.0))
    away = masked.targets(crop, points + np.float32(shift))
    torch.testing.assert_close(masked(crop * 0.5, away), plain(crop * 0.5, plain.targets(crop)))


def test_another_face_is_further_away(absent, face):
    crop, points = face
    loss = FrameLoss(LossSettings(pixel_weight=0, pyramid_weight=0, identity_weight=1), resolution=64)
    targets = loss.targets(crop, points)
    dimmer, upside_down = loss(crop * 0.9, targets), loss(crop.flip(2), targets)
    another_person = 0.6**2
    assert dimmer < another_person / 10
    assert upside_down > another_person


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        pytest.param(None, r"landmarks of targets: none given, expected \(2, 68, 2\)", id="none"),
        pytest.param(np.zeros((1, 68, 2), np.float32), r"\(1, 68, 2\) given, expected \(2, 68, 2\)", id="too_few"),
    ],
)
@pytest.mark.parametrize("changes", [{"outside_weight": 0.5}, {"identity_weight": 1.0}], ids=["mask", "identity"])
def test_landmarks_are_asked_for_where_they_are_needed(absent, landmarks, message, changes):
    loss = FrameLoss(LossSettings(**changes), resolution=32)
    with pytest.raises(ValueError, match=message):
        loss.targets(pictures(2, 32), landmarks)


@pytest.mark.parametrize(
    "changes",
    [{"outside_weight": 0.0}, {"outside_weight": 1.5}, {"lpips_weight": -1.0}, {"pixel_weight": float("nan")}],
    ids=str,
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        LossSettings(**changes)


def test_auto_is_vgg_where_its_file_is(present, absent, models):
    assert perceptual_name("auto") == "pyramid"
    (vgg,) = models.glob("vgg16-*.pth")
    (absent / vgg.name).symlink_to(vgg)
    assert perceptual_name("auto") == "lpips-vgg", "from the folder of torch.hub"
    assert perceptual_id("lpips-vgg") == f"lpips-vgg-{hashlib.sha256(vgg.read_bytes()).hexdigest()[:16]}"
    assert perceptual_id("pyramid") == "pyramid"


def test_the_folder_of_the_user_comes_first(present, absent, models, monkeypatch):
    monkeypatch.setenv("LATENTREEL_MODELS", str(models))
    write(absent, "lpips-squeeze", {"other": torch.zeros(1)})
    (squeeze,) = models.glob("squeezenet1_1-*.pth")
    assert perceptual_id("lpips-squeeze")[14:22] == squeeze.stem[-8:]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "lpips-alex",
            r"^lpips-alex: alexnet-owt-7be5be79.pth is not in .*mirror or .*checkpoints or .*; where .*unset "
            r"LATENTREEL_MODELS, run `latentreel models fetch lpips-alex` .* or choose pyramid$",
            id="absent",
        ),
        pytest.param("lpips", r"^perceptual loss lpips: .*choose auto, pyramid, lpips-vgg", id="unknown"),
    ],
)
def test_what_is_not_there_is_said(absent, name, message, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTREEL_MODELS", str(tmp_path / "mirror"))
    for ask in (perceptual_name, perceptual_id, Lpips):
        with pytest.raises(WrongUse, match=message):
            ask(name)


@pytest.fixture
def offered(models, monkeypatch):
    """A server of lpips-squeeze's backbone, which is random here, at the registry's address."""
    monkeypatch.setattr(download, "_PAUSE_S", 0.001)
    (squeeze,) = models.glob("squeezenet1_1-*.pth")
    content = squeeze.read_bytes()
    server = ModelServer(content, "good")
    published = MODEL_FILES.pop("squeezenet1_1-b8a52dc0.pth")
    sha256 = hashlib.sha256(content).hexdigest()
    file = replace(published, name=squeeze.name, url=server.url(squeeze.name), sha256=sha256, bytes=len(content))
    MODEL_FILES[file.name] = file
    yield server
    del MODEL_FILES[file.name]
    MODEL_FILES[published.name] = published
    server.close()


def test_a_backbone_that_is_asked_for_is_fetched_once(absent, offered):
    for ask in (perceptual_name, perceptual_id, Lpips):
        ask("lpips-squeeze")
    assert offered.asked == [None]
    assert [path.suffix for path in cache_folder().glob("*.pth")] == [".pth"]


def test_auto_fetches_nothing(absent, monkeypatch):
    server = ModelServer(b"", "good")
    vgg = MODEL_FILES["vgg16-397923af.pth"]
    monkeypatch.setitem(MODEL_FILES, vgg.name, replace(vgg, url=server.url(vgg.name)))
    assert perceptual_name("auto") == "pyramid"
    server.close()
    assert server.asked == []


def test_a_machine_without_a_network_is_told_what_to_do(absent, offered):
    offered.close()
    with pytest.raises(WrongUse, match=r"cannot be fetched \(.*`latentreel models fetch lpips-squeeze`.*or choose pyr"):
        perceptual_name("lpips-squeeze")


def changed(**tensors: Tensor | None) -> dict[str, Tensor]:
    weights = random_weights("lpips-squeeze") | {key.replace("_", "."): value for key, value in tensors.items()}
    return {key: value for key, value in weights.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(changed(features_0_bias=None), r"features.0.bias is absent, expected finite", id="missing"),
        pytest.param(changed(features_0_bias=torch.zeros(3)), r"is torch.float32 \(3,\), expected finite", id="shape"),
        pytest.param(changed(features_0_bias=torch.zeros(64).half()), r"is torch.float16 \(64,\)", id="half"),
        pytest.param(changed(features_0_bias=torch.full((64,), torch.nan)), r"expected finite torch.float32", id="nan"),
        pytest.param([1, 2], r"features.0.weight is absent", id="a_list"),
        pytest.param(Path("code"), r"not a file of weights \(Weights only load failed", id="code"),
    ],
)
def test_files_that_are_not_the_backbone_are_refused(absent, content, message):
    path = write(absent, "lpips-squeeze", content)
    with pytest.raises(WrongUse, match=message) as refused:
        Lpips("lpips-squeeze")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_must_have_the_hash_in_its_name(absent):
    path = write(absent, "lpips-squeeze", random_weights("lpips-squeeze"))
    moved = path.rename(absent / "squeezenet1_1-b8a52dc0.pth")
    for ask in (perceptual_id, Lpips):
        with pytest.raises(
            WrongUse, match=rf"^{moved}: its sha256 begins with {path.stem[-8:]}, its name promises b8a52dc0"
        ):
            ask("lpips-squeeze")


def test_targets_are_computed_without_a_tape(present):
    loss = FrameLoss(settings("lpips-squeeze"), resolution=32)
    targets = loss.targets(pictures(1, 32).requires_grad_(True))
    assert isinstance(targets, Targets)
    assert not any(layer.requires_grad for layer in targets.features)
