"""The network in torch against dlib itself, on a photograph that is always there; and files that are not it."""

from pathlib import Path

import dlib
import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.faces.align import align_crop
from operators.faces.dlib_embedder import DlibEmbedder, chip_places, cut_chips
from operators.faces.dlib_finder import DlibFinder
from operators.faces.dlib_network_file import network_path, read_dlib_layers
from operators.faces.quad import into_crop, quads_from_landmarks
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings

ASTRONAUT = skimage.data.astronaut()
ANOTHER_PERSON = 0.6  # the distance that the network was trained to put between two people


@pytest.fixture(scope="module")
def embedder() -> DlibEmbedder:
    return DlibEmbedder()


@pytest.fixture(scope="module")
def oracle() -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(str(network_path()))


@pytest.fixture(scope="module")
def landmarks_682() -> NDArray[np.float32]:
    ((face,),) = DlibFinder(FaceSettings())([ASTRONAUT])
    return face.landmarks_682


@pytest.fixture(scope="module")
def chip(landmarks_682):
    """As dlib cuts it."""
    points = [dlib.point(int(x), int(y)) for x, y in landmarks_682]
    return dlib.get_face_chip(ASTRONAUT, dlib.full_object_detection(dlib.rectangle(0, 0, 9, 9), points), 150, 0.25)


def tensor(picture: NDArray[np.uint8]) -> Tensor:
    return torch.tensor(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float() / 127.5 - 1  # R R C -> 1 C R R


def aligned(landmarks_682: NDArray[np.float32], crop_px: int) -> tuple[Tensor, NDArray[np.float32]]:
    quad = quads_from_landmarks(landmarks_682[None])
    crop = align_crop(ASTRONAUT, quad[0], crop_px=crop_px, supersample=4)
    return tensor(crop), into_crop(landmarks_682[None], quad, crop_px)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda chip: chip, id="face"),
        pytest.param(lambda chip: chip[:, ::-1], id="mirrored"),
        pytest.param(lambda chip: chip // 3, id="dark"),
        pytest.param(np.zeros_like, id="black"),
        pytest.param(lambda chip: np.random.default_rng(0).integers(0, 256, chip.shape, np.uint8), id="noise"),
    ],
)
def test_gives_what_dlib_gives(embedder, oracle, chip, change):
    picture = np.ascontiguousarray(change(chip))
    ours = embedder(tensor(picture))[0].numpy()
    np.testing.assert_allclose(ours, np.array(oracle.compute_face_descriptor(picture)), atol=1e-5)


def test_a_face_is_itself_beside_any_neighbour(embedder, chip):
    face, other = tensor(chip), tensor(chip[::-1])
    torch.testing.assert_close(embedder(torch.cat([face, other]))[0], embedder(torch.cat([face, face]))[1])


def test_chips_are_cut_where_dlib_cuts_them(landmarks_682, chip):
    places = chip_places(landmarks_682[None], crop_px=512)
    ours = (cut_chips(tensor(ASTRONAUT), places)[0].movedim(0, -1).numpy() + 1) * 127.5
    shifted = np.abs(ours[1:] - chip[:-1]).mean()
    assert np.abs(ours - chip).mean() < 1.5 < shifted / 3, "grey levels"


@pytest.mark.parametrize("turn", [-0.6, 0.4], ids=["left", "right"])
def test_a_turned_face_is_cut_upright(landmarks_682, turn):
    """The place of turned landmarks, seen from the crop's centre, is the turned place of the landmarks."""
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = 255.5  # of a picture of 512 px
    turned = ((landmarks_682 - middle) @ rotation.T + middle).astype(np.float32)
    straight, found = chip_places(np.stack([landmarks_682, turned]), crop_px=512).numpy()
    np.testing.assert_allclose(found, rotation @ straight, atol=2e-4)


@pytest.mark.parametrize(
    ("crop_px", "distance_max"),
    [
        pytest.param(128, 0.2, id="128"),
        pytest.param(256, 0.1, id="256"),
    ],
)
def test_an_aligned_crop_keeps_the_identity(embedder, oracle, chip, landmarks_682, crop_px, distance_max):
    """Fewer pixels, other interpolation; the limits are far below what separates two people."""
    crop, points = aligned(landmarks_682, crop_px)
    ours = embedder(cut_chips(crop, chip_places(points, crop_px=crop_px)))[0].numpy()
    assert np.linalg.norm(ours - np.array(oracle.compute_face_descriptor(chip))) < distance_max < ANOTHER_PERSON


def test_likeness_has_a_slope_in_every_pixel_of_the_face(embedder, landmarks_682):
    crop, points = aligned(landmarks_682, 128)
    places = chip_places(points, crop_px=128)
    wanted = embedder(cut_chips(crop, places))
    x = (crop * 0.9).requires_grad_(True)
    (slope,) = torch.autograd.grad((embedder(cut_chips(x, places)) - wanted).square().sum(), x)
    assert slope.isfinite().all()
    assert (slope[0, :, 40:100, 40:90].abs().sum(dim=0) > 0).all()


def at(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda c: b"", r"byte 0: 1 bytes wanted, 0 are left", id="empty"),
        pytest.param(lambda c: c[:9_000_000], r"bytes wanted, \d+ are left", id="cut_off"),
        pytest.param(lambda c: at(c, 4, b"L"), r"loss 'Loss_metric_2', expected 'loss_metric_2'", id="another_loss"),
        pytest.param(lambda c: at(c, 0, b"\x7f"), r"whole number of 127 bytes, expected 1 to 8", id="a_huge_number"),
        pytest.param(lambda c: at(c, 2, b"\x81"), r"byte 4: -13 bytes wanted", id="a_negative_length"),
        pytest.param(lambda c: at(c, 336, b"cont4"), r"layer 'cont4', expected one of con_4", id="another_layer"),
        pytest.param(lambda c: at(c, 347, b"\xff\x01\xff"), r"bytes wanted, \d+ are left", id="a_huge_tensor"),
        pytest.param(lambda c: at(c, 21, b"\x02\xff\xff"), r"exponent 65535, expected -900", id="a_huge_float"),
        pytest.param(lambda c: at(c, 352, b"\0\0\xc0\x7f"), r"layer 0 holds NaN", id="not_a_number"),
        pytest.param(lambda c: at(c, 19299, b"\x09"), r"layer 0 is \('con_4', \(32, 9, 7", id="other_sizes"),
        pytest.param(lambda c: c[:22334843], r"106 layers, expected 108", id="the_last_two_layers_missing"),
    ],
)
def test_what_is_not_the_network_is_refused(tmp_path: Path, damage, message):
    path = tmp_path / "network.dat"
    path.write_bytes(damage(network_path().read_bytes()))
    with pytest.raises(WrongUse, match=message) as refused:
        DlibEmbedder(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_the_file_holds_29_convolutions_and_5_6_million_numbers():
    layers = read_dlib_layers(network_path())
    assert sum(layer.kind == "con_4" for layer in layers) == 29
    assert sum(layer.parameters.size for layer in layers if layer.kind in {"con_4", "fc_2"}) == 5_607_488
