"""The face-alignment finder: real detectors, and a landmark network of ours in the library's own architecture.

Not shown here: how good 2DFAN-4's landmarks are, nor what S3FD finds, because their weights (downloads of 100 MB) are
on no test machine. The landmark network below has its architecture and file format and zeros for weights, and so always
answers with the first corner of its window: enough to check every step around it, in exact numbers.
"""

import hashlib
import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch

from operators.faces import fan_landmarks
from operators.faces.face_alignment_finder import FaceAlignmentFinder
from operators.faces.fan_detectors import make_detector
from operators.models.model_file import model_file
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings
from schemas.model_files import FAN_2D, MODEL_FILES, S3FD

BLAZEFACE = FaceSettings(finder="face-alignment", fan_detector="blazeface")
RETINAFACE = FaceSettings(finder="face-alignment", fan_detector="retinaface")


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
def publish(monkeypatch):
    """Makes a file of ours the one that the registry knows."""

    def known(path):
        entry = replace(MODEL_FILES[path.name], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setitem(MODEL_FILES, path.name, entry)

    return known


@pytest.fixture
def with_detector(models, shared):
    for name in ("blazefaceback.pth", "anchorsback.npy", "mobilenet0.25_Final.pth"):
        shutil.copy(shared / "models" / name, models / name)
    return models


def write_landmark_network(folder, modules):
    from face_alignment.models import FAN

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in FAN(modules).state_dict().items()}
    zero = torch.zeros(())  # one number on disk for each of 24 million: the file stays tiny
    torch.save({name: zero.expand(shape) for name, shape in shapes.items()}, folder / FAN_2D)


@pytest.fixture
def with_landmarks(with_detector, publish):
    write_landmark_network(with_detector, 4)
    publish(with_detector / FAN_2D)
    return with_detector


@pytest.fixture
def with_short_landmarks(with_detector, publish, monkeypatch):
    """One hourglass in place of four: a quarter of the time."""
    monkeypatch.setattr(fan_landmarks, "FAN_MODULES", 1)
    write_landmark_network(with_detector, 1)
    publish(with_detector / FAN_2D)
    return with_detector


def make(settings):
    from operators.faces.finder import make_finder

    return make_finder(settings)


def window_corner(box, box_scale):
    """Middle of the first of 64 x 64 cells of the library's window: side (w + h) / box_scale * 200, up by 0.12 h."""
    x0, y0, x1, y1 = box
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.12 * (y1 - y0)])
    return centre + ((x1 - x0) + (y1 - y0)) / box_scale * 200 * (0.5 / 64 - 0.5)


def test_the_landmark_network_has_four_hourglasses(with_landmarks):
    """As published: the other tests do with one."""
    astronaut = skimage.data.astronaut()[:256, 100:356]
    ((face,),) = make(BLAZEFACE)([astronaut])
    assert np.abs(face.landmarks_682 - window_corner(face.box, 195)).max() < 1.01


@pytest.mark.parametrize(
    ("settings", "box_scale"), [(BLAZEFACE, 195), (RETINAFACE, 165)], ids=["blazeface", "retinaface"]
)
def test_real_detector_and_every_step_around_the_landmarks(with_short_landmarks, settings, box_scale):
    """A wide frame with two faces, which the library's own middle square would cut off; reduced for the detector."""
    astronaut = skimage.data.astronaut()[:256]
    finder = make(settings.model_copy(update={"detect_px": 512}))
    wide = np.hstack([astronaut, astronaut])
    (faces,) = finder([wide])
    assert len(faces) == 2
    for face, shift in zip(sorted(faces, key=lambda f: f.box), (0, 512), strict=True):
        x0, y0, x1, y1 = face.box
        assert 160 < x0 - shift < 204 and 247 < x1 - shift < 290  # the eyes
        assert 40 < y0 < 101 and 142 < y1 < 190  # eyes and mouth
        assert 0.5 <= face.score <= 1
        assert face.landmarks_682.dtype == np.float32
        assert (
            np.abs(face.landmarks_682 - window_corner(face.box, box_scale)).max() < 1.01
        )  # the library's whole pixels
        assert np.ptp(face.landmarks_682, axis=0).max() == 0
    boxes_N4 = np.array([face.box for face in faces])
    assert np.array_equal(finder.landmarks(wide, boxes_N4), [face.landmarks_682 for face in faces])
    assert finder([np.zeros((120, 160, 3), np.uint8)]) == [[]]


@pytest.mark.parametrize("outside", [(-300, -300, -200, -200), (900, 10, 990, 100), (10, 10, 10.5, 10.5)])
def test_landmarks_of_a_box_that_shows_nothing(with_short_landmarks, outside):
    """A tracker asks for what moved out of the picture; the library raises there."""
    finder = make(BLAZEFACE)
    assert np.isfinite(finder.landmarks(skimage.data.astronaut(), np.array([outside], float))).all()


@pytest.mark.parametrize("settings", [BLAZEFACE, RETINAFACE], ids=["blazeface", "retinaface"])
def test_a_batch_finds_what_its_frames_find_alone(with_short_landmarks, settings):
    """Five frames of one size, two of them without a face, in passes of 1, 2 and 5."""
    astronaut = skimage.data.astronaut()[:300, 80:380]
    frames = [astronaut, np.zeros_like(astronaut), np.roll(astronaut, 7, axis=1), astronaut[:, ::-1], astronaut * 0 + 9]
    alone, *others = (FaceAlignmentFinder(settings, frames_per_batch=n)(frames) for n in (1, 2, 5))
    assert [len(faces) for faces in alone] == [1, 0, 1, 1, 0]
    for together in others:
        assert [len(faces) for faces in together] == [1, 0, 1, 1, 0]
        for one, other in zip(itertools.chain(*alone), itertools.chain(*together), strict=True):
            assert np.abs(np.subtract(one.box, other.box)).max() < 1e-3
            assert np.abs(one.landmarks_682 - other.landmarks_682).max() < 1e-3
            assert abs(one.score - other.score) < 1e-5


def test_s3fd_reads_its_file_and_a_batch_finds_what_its_frames_find_alone(models, publish):
    """Random weights, and a bias at which six places of the picture look like faces."""
    from face_alignment.detection.sfd.net_s3fd import s3fd

    torch.manual_seed(0)
    net = s3fd()
    picture = np.ascontiguousarray(skimage.data.astronaut()[60:188, 160:288])
    with torch.no_grad():
        x_HWC = torch.from_numpy(picture[..., ::-1].copy()) - torch.tensor([104.0, 117.0, 123.0])
        scores = net(x_HWC.permute(2, 0, 1)[None])[4]  # of the third level, 8 x 8 cells of 16 px: background, face
        margins = (scores[:, 1] - scores[:, 0]).flatten().sort().values
        for name, layer in net.named_modules():
            if name.endswith("mbox_conf") and name != "conv5_3_norm_mbox_conf":
                layer.weight.zero_()
                layer.bias[:] = 20.0  # the first level has three backgrounds
                layer.bias[-1] = 0.0
        net.conv5_3_norm_mbox_conf.bias[0] += (margins[-7] + margins[-6]) / 2
    torch.save(net.state_dict(), models / S3FD)
    publish(models / S3FD)
    detect = make_detector("s3fd", device="cpu", get_file=model_file)
    frames = [picture, np.zeros_like(picture), picture[::-1].copy()]
    alone, together = [detect([frame])[0] for frame in frames], detect(frames)
    assert 1 <= len(alone[0][0]) <= 6  # less what overlaps
    for (boxes, scores), (boxes_too, scores_too) in zip(alone, together, strict=True):
        assert boxes.shape == boxes_too.shape
        assert np.abs(boxes - boxes_too).max(initial=0) < 1e-3
        assert np.abs(scores - scores_too).max(initial=0) < 1e-5
        assert (scores > 0.5).all()
    x0, _, x1, _ = alone[0][0][0]
    assert 32 < x1 - x0 < 128  # anchors of that level are 64 px


def test_unsure_faces_are_left_out(with_short_landmarks):
    astronaut = skimage.data.astronaut()[:256, 100:356]
    assert make(BLAZEFACE.model_copy(update={"min_score": 0.999}))([astronaut]) == [[]]


@pytest.mark.parametrize(
    ("detector", "missing"),
    [
        pytest.param("s3fd", "s3fd-619a316812.pth", id="s3fd"),
        pytest.param("blazeface", "blazefaceback.pth", id="blazeface"),
        pytest.param("retinaface", "mobilenet0.25_Final.pth", id="retinaface"),
        pytest.param("yunet", "face_detection_yunet_2026may.onnx", id="yunet"),
    ],
)
def test_a_missing_detector_is_named_and_never_downloaded(models, detector, missing):
    settings = FaceSettings(finder="face-alignment", fan_detector=detector)
    with pytest.raises(WrongUse, match=rf"^{missing} is not in LATENTREEL_MODELS={models}; put it there .*unset"):
        make(settings)


def test_a_missing_landmark_network_is_named(with_detector):
    with pytest.raises(WrongUse, match=f"^{FAN_2D} is not in LATENTREEL_MODELS="):
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
def test_a_file_that_is_not_the_weights_is_refused_and_not_executed(with_landmarks, publish, write):
    write(with_landmarks / FAN_2D)
    with pytest.raises(WrongUse, match=r"its sha256 begins with \w{10}, that of the published file with"):
        make(BLAZEFACE)
    publish(with_landmarks / FAN_2D)  # as if it had been published so
    with pytest.raises(WrongUse, match=r"^weights of face-alignment cannot be read: .*fetch the files again$"):
        make(BLAZEFACE)
    assert not (with_landmarks / "ran").exists()


def test_an_onnx_file_that_is_none_is_refused(with_landmarks, publish):
    path = with_landmarks / "face_detection_yunet_2026may.onnx"
    path.write_bytes(b"not a network")
    publish(path)
    with pytest.raises(WrongUse, match=r"^weights of face-alignment cannot be read: .*fetch the files again$"):
        make(FaceSettings(finder="face-alignment", fan_detector="yunet"))
