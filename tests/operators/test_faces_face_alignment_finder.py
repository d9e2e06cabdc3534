"""The face-alignment finder: how its weights are found and read, with a real detector and a landmark network of ours.

Not shown here: how good 2DFAN-4's landmarks are, because its weights (a download of 100 MB) are on no test machine.
The network below has its architecture and file format and zeros for weights, and so always answers with the first
corner of its window: enough to check every step around it, in exact numbers.
"""

import shutil

import numpy as np
import pytest
import skimage.data
import torch

from schemas.config import FaceSettings
from schemas.errors import WrongUse

BLAZEFACE = FaceSettings(finder="face-alignment", fan_detector="blazeface")
S3FD = FaceSettings(finder="face-alignment", fan_detector="s3fd")
LANDMARK_FILE = "2DFAN4-11f355bf06.pth.tar"


@pytest.fixture(scope="module", autouse=True)
def _without_compiling():
    """The library compiles two small functions with numba for ten seconds, which pays for films, not for two faces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTREEL_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture
def with_detector(models, shared):
    for name in ("blazefaceback.pth", "anchorsback.npy"):
        shutil.copy(shared / "models" / name, models / name)
    return models


@pytest.fixture
def with_landmarks(with_detector):
    from face_alignment.models import FAN

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in FAN(4).state_dict().items()}
    zero = torch.zeros(())  # one number on disk for each of 24 million: the file stays tiny
    torch.save({name: zero.expand(shape) for name, shape in shapes.items()}, with_detector / LANDMARK_FILE)
    return with_detector


def make(settings):
    from operators.faces.finder import make_finder

    return make_finder(settings)


def window_corner(box):
    """Middle of the first of 64 x 64 cells of the library's window: side (w + h) / 195 * 200, moved up by 0.12 h."""
    x0, y0, x1, y1 = box
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.12 * (y1 - y0)])
    return centre + ((x1 - x0) + (y1 - y0)) / 195 * 200 * (0.5 / 64 - 0.5)


def test_real_detector_and_every_step_around_the_landmarks(with_landmarks):
    """A wide frame with two faces, which the library's own middle square would cut off; reduced for the detector."""
    astronaut = skimage.data.astronaut()[:256]
    finder = make(BLAZEFACE.model_copy(update={"detect_px": 512}))
    (faces,) = finder([np.hstack([astronaut, astronaut])])
    assert len(faces) == 2
    for face, shift in zip(sorted(faces, key=lambda f: f.box), (0, 512), strict=True):
        x0, y0, x1, y1 = face.box
        assert x0 < 204 + shift and x1 > 247 + shift  # the eyes
        assert y0 < 101 and y1 > 142  # eyes and mouth
        assert 0.65 <= face.score <= 1
        assert face.landmarks_682.dtype == np.float32
        assert np.abs(face.landmarks_682 - window_corner(face.box)).max() < 1.01  # whole pixels
    assert finder([np.zeros((120, 160, 3), np.uint8)]) == [[]]


def test_unsure_faces_are_left_out(with_landmarks):
    astronaut = skimage.data.astronaut()[:256, 100:356]
    assert make(BLAZEFACE.model_copy(update={"min_score": 0.999}))([astronaut]) == [[]]


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        pytest.param(S3FD, "s3fd-619a316812.pth", id="s3fd"),
        pytest.param(BLAZEFACE, "blazefaceback.pth", id="blazeface"),
    ],
)
def test_a_missing_detector_is_named_and_never_downloaded(models, settings, missing):
    with pytest.raises(WrongUse, match=rf"^{missing} is not in LATENTREEL_MODELS={models}; put it there, or unset"):
        make(settings)


def test_a_missing_landmark_network_is_named(with_detector):
    with pytest.raises(WrongUse, match=f"^{LANDMARK_FILE} is not in LATENTREEL_MODELS="):
        make(BLAZEFACE)


class Runs:
    """Pickled, it would write a file on loading: what a hostile checkpoint does."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: path.write_bytes(b"not weights"), id="text"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: torch.save({"conv1.weight": torch.zeros(1)}, path), id="another_network"),
        pytest.param(lambda path: torch.save({"a": Runs(path.with_name("ran"))}, path), id="carries_code"),
    ],
)
def test_a_file_that_is_not_the_weights_is_refused_and_not_executed(with_landmarks, write):
    write(with_landmarks / LANDMARK_FILE)
    with pytest.raises(WrongUse, match=r"^weights of face-alignment cannot be read: .*fetch the files again$"):
        make(BLAZEFACE)
    assert not (with_landmarks / "ran").exists()
