"""Landmarks out of heat maps: where the library puts them, finer than it does, and the same in a batch."""

import face_alignment
import numpy as np
import pytest
import skimage.data
import torch
from face_alignment.models import FAN
from face_alignment.utils import get_preds_fromhm

from operators.faces import fan_landmarks
from operators.faces.fan_landmarks import FanLandmarks, peaks

ASTRONAUT = skimage.data.astronaut()
BOXES = np.array([[170, 55, 270, 185], [175.3, 60.2, 268.7, 170.4], [-20, 80, 60, 190], [460, 400, 540, 530]])


@pytest.fixture(scope="module", autouse=True)
def _one_hourglass():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fan_landmarks, "FAN_MODULES", 1)
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random ones: their heat maps have a peak each, anywhere."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("fan") / "fan.pth"
    torch.save(FAN(1).state_dict(), path)
    return path


def gaussians(x, y, sigma):
    at = np.arange(64)
    return np.exp(
        -((at[None, None, :] - x[:, None, None]) ** 2 + (at[None, :, None] - y[:, None, None]) ** 2) / (2 * sigma**2)
    )


@pytest.mark.parametrize(
    ("noise", "ours_at_most"), [pytest.param(0.0, 1e-5, id="clean"), pytest.param(0.01, 0.08, id="noise_of_1_percent")]
)
def test_peaks_are_finer_than_the_librarys(noise, ours_at_most):
    """Drawn by hand, at known places: sigma 2 cells."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(4, 59, (2, 100))
    heat = (gaussians(x, y, 2.0) + noise * rng.standard_normal((100, 64, 64))).astype(np.float32)[None]
    ours = peaks(heat)[0]
    library = get_preds_fromhm(heat)[0][0] - 0.5  # it gives outer edges
    truth = np.stack([x, y], axis=1)
    assert np.abs(library - truth).mean() > 0.1
    assert np.sqrt(((ours - truth) ** 2).mean()) < ours_at_most


@pytest.mark.parametrize(
    ("x", "y"), [pytest.param(0, 30, id="left"), pytest.param(63, 0, id="corner"), pytest.param(1, 62, id="near")]
)
def test_peaks_at_the_border_stay_in_their_cell(x, y):
    heat = np.zeros((1, 1, 64, 64), np.float32)
    heat[0, 0, y, x] = 1
    assert peaks(heat)[0, 0].tolist() == [x, y]


@pytest.mark.parametrize("level", [0.0, -1.0, 3.0])
def test_a_flat_map_has_a_peak_too(level):
    assert peaks(np.full((1, 1, 64, 64), level, np.float32)).tolist() == [[[0, 0]]]


def test_the_same_places_as_the_library(weights):
    """Its own pipeline on the same weights and boxes. It rounds down to whole pixels and to quarters of a cell."""

    class Library(face_alignment.FaceAlignment):  # type: ignore[misc]  # the library has no types
        def __init__(self):  # without its detector and downloads
            self.device, self.flip_input, self.dtype, self.max_batch_size = "cpu", True, torch.float32, 1
            self.landmarks_type = face_alignment.LandmarksType.TWO_D
            self.face_detector = type("Scale", (), {"reference_scale": 195})
            self.face_alignment_net = FAN(1).eval()
            self.face_alignment_net.load_state_dict(torch.load(weights, weights_only=True))

    theirs = np.array(Library().get_landmarks_from_image(ASTRONAUT, detected_faces=list(BOXES)))
    (ours,) = FanLandmarks(weights, box_scale=195, faces_per_pass=1, device="cpu")([ASTRONAUT], [BOXES])
    assert ours.shape == theirs.shape == (4, 68, 2)
    cells_px = (BOXES[:, 2:] - BOXES[:, :2]).sum(axis=1) / 195 * 200 / 64
    apart = ours - theirs
    assert np.abs(apart).max() < 1 + 0.8 * cells_px.max()
    assert np.abs(apart.mean(axis=(0, 1))).max() < 0.3  # px; neither lies to one side of the other


def test_faces_of_several_frames_in_passes_of_any_size(weights):
    frames, boxes = [ASTRONAUT, ASTRONAUT[::-1].copy(), ASTRONAUT], [BOXES[:2], BOXES[:0], BOXES[1:]]
    one, three = (FanLandmarks(weights, box_scale=195, faces_per_pass=n, device="cpu")(frames, boxes) for n in (1, 3))
    assert [points.shape for points in one] == [(2, 68, 2), (0, 68, 2), (3, 68, 2)]
    for a, b in zip(one, three, strict=True):
        assert np.abs(a - b).max(initial=0) < 1e-3
    assert np.array_equal(one[0][1], one[2][0])  # the same box of the same picture
