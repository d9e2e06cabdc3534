"""Training of expression networks: seven drawn faces are told apart, and what is exported runs as it was trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from jobs.emotion import train
from operators.emotion.confusion import confusion_csv, confusion_matrix, confusion_png
from operators.emotion.export_onnx import export_onnx, onnx_bytes
from operators.emotion.expression_net import ExpressionNet
from operators.emotion.labelled_faces import LabelledFaces, read_faces
from operators.emotion.onnx_emotion import OnnxEmotion
from operators.emotion.train_emotion import MODEL_FILE, EmotionTraining, train_emotion
from operators.training.run_folder import CURVE
from schemas.config import EmotionSettings
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from tests.reference.inversion_clips import clip_of
from tests.reference.training_kills import kill_after_first_checkpoint

QUICK = EmotionTraining(steps=30, batch=14, every=5)
MOUTH = (-2, -5, -1, 6, -4, 0, 0)  # px up at its corners, by expression
OPEN = (2, 0, 6, 4, 0, 10, 0)
BROW = (-4, -2, 3, 0, 2, 5, 0)


def face(label: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """A drawn face, (64, 64): brows, eyes and a mouth; light, ink and place vary."""
    skin, ink, (dx, dy) = int(random.integers(170, 250)), int(random.integers(0, 50)), random.integers(-2, 3, 2)
    picture = Image.new("L", (64, 64), int(random.integers(60, 160)))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((8 + dx, 4 + dy, 56 + dx, 60 + dy), fill=skin)
    for x in (21 + dx, 43 + dx):
        pen.line((x - 5, 20 + dy, x + 5, 20 - BROW[label] + dy), fill=ink, width=2)
        pen.ellipse((x - 3, 24 + dy, x + 3, 28 + dy), fill=ink)
    pen.line([(32 + t + dx, 44 + dy - MOUTH[label] * (t / 12) ** 2) for t in range(-12, 13)], fill=ink, width=2)
    pen.ellipse((26 + dx, 44 - OPEN[label] / 2 + dy, 38 + dx, 44 + OPEN[label] / 2 + dy), fill=ink)
    return np.asarray(picture)


def drawn(n: int, *, seed: int = 0, persons: int | None = None) -> LabelledFaces:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 7
    return LabelledFaces(
        faces_NSSC=np.stack([face(label, random) for label in labels.tolist()])[..., None],
        labels=labels.astype(np.int64),
        intensity=np.ones(n, np.float32),
        identity=None if persons is None else np.array([f"p{i // 7 % persons}" for i in range(n)]),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("emotion")
    faces = drawn(350, persons=10)
    assert faces.identity is not None
    np.savez(folder / "faces.npz", images=faces.faces_NSSC[..., 0], labels=faces.labels, identity=faces.identity)
    settings = {"steps": 110, "batch": 28, "every": 55, "degrade": 0.5}
    assert train(str(folder / "faces.npz"), str(folder), settings=settings, crop_margin=0.2, command="as told") == 0
    return folder


def test_it_tells_seven_drawn_faces_of_strangers_apart(trained: Path) -> None:
    lines = (trained / "confusion.csv").read_text().splitlines()
    assert lines[0] == "label," + ",".join(EMOTIONS)
    counts = np.array([[int(v) for v in line.split(",")[1:]] for line in lines[1:]])
    assert counts.sum() == 70  # two of ten persons, 35 faces each
    assert np.trace(counts) >= 63
    with Image.open(trained / "confusion.png") as picture:
        assert min(picture.size) > 400
    for said in ("as told", "other persons", "| label_smoothing | 0.1 |"):
        assert said in (trained / "emotion.md").read_text()


def test_the_exported_network_reads_a_clip(trained: Path) -> None:
    """Through OnnxEmotion, from its own manifest: faces never trained on, shown at twice the size inside crops."""
    reader = OnnxEmotion(trained / MODEL_FILE, EmotionSettings(smooth_s=0))
    assert reader.manifest.crop_margin == 0.2
    assert (trained / MODEL_FILE).stat().st_size < 1_000_000
    random = np.random.default_rng(99)
    crops = []
    for label in range(7):
        small = Image.fromarray(face(label, random)).resize((80, 80), Image.Resampling.BILINEAR).convert("RGB")
        sheet = Image.new("RGB", (128, 128), (90, 90, 90))
        sheet.paste(small, (24, 24))
        crops.append(np.asarray(sheet))
    clip = clip_of(np.stack(crops))
    # The square that is cut is 1.2 times the longer side, a quarter of the height being added above: 80 px, from 24.
    height = 80 / 1.2 / 1.25
    top = 24 + 80 / 2 - 80 / 1.2 / 2 + height * 0.25
    clip.track.quad_T42[:] = np.array([(0, 0), (0, 128), (128, 128), (128, 0)], np.float32) - 0.5  # the crop itself
    clip.track.face_points[:] = np.linspace((24 + 20, top), (24 + 60, top + height), 68) - 0.5
    probs_T7 = reader(clip).track.emotion_probs_T7
    assert probs_T7 is not None
    assert (probs_T7.argmax(axis=1) == np.arange(7)).sum() >= 6


def test_export_is_the_trained_network_and_the_same_bytes(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = ExpressionNet(3)
        net(torch.randn(16, 3, 64, 64))  # moves what normalisation remembers away from 0 and 1
    net.eval()
    export_onnx(net, tmp_path / "net.onnx", crop_margin=0.0)  # compares the two itself
    assert (tmp_path / "net.onnx").read_bytes() == onnx_bytes(net)
    assert json.loads((tmp_path / "net.json").read_text())["colour"] == "RGB"


def test_export_notices_a_network_that_differs(tmp_path: Path) -> None:
    net = ExpressionNet(1)  # in training: normalised by the batch, which no exported network can know
    with torch.no_grad():
        net.fc1.weight.mul_(100)
    with pytest.raises(RuntimeError, match="exported network differs from torch by"):
        export_onnx(net, tmp_path / "net.onnx", crop_margin=0.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
def test_a_kill_changes_no_bit(tmp_path: Path) -> None:
    """What may be lost: the steps since the last checkpoint."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    np.savez(tmp_path / "faces.npz", images=drawn(70).faces_NSSC, labels=drawn(70).labels)
    kill_after_first_checkpoint(
        f"""
from pathlib import Path
from operators.emotion.train_emotion import *
from operators.emotion.labelled_faces import read_faces
train_emotion(read_faces({str(tmp_path / "faces.npz")!r}), {QUICK!r}, Path({str(killed)!r}))
""",
        killed,
    )
    assert not (killed / MODEL_FILE).exists(), "it was killed when all was done"
    train_emotion(drawn(70), QUICK, whole)
    seen: list[float] = []
    train_emotion(drawn(70), QUICK, killed, report=lambda row: seen.append(row["step"]))
    assert seen[0] > QUICK.every, "it began anew"
    for name in (MODEL_FILE, CURVE, "confusion.csv", "emotion.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    with pytest.raises(WrongUse, match=r"other settings \(faces: [0-9a-f]+, not [0-9a-f]+\)"):
        train_emotion(drawn(70, seed=1), QUICK, killed)


def test_classes_are_balanced_and_weak_faces_count_less() -> None:
    from operators.emotion.train_emotion import _chances

    faces = LabelledFaces(
        faces_NSSC=np.zeros((6, 64, 64, 1), np.uint8),
        labels=np.array([0, 0, 0, 3, 6, 6]),
        intensity=np.array([1, 0.5, 0.5, 0.1, 0, 0.2], np.float32),
    )
    chances = _chances(faces, np.array([True, True, True, True, True, False]))
    np.testing.assert_allclose(chances, [0.5, 0.25, 0.25, 1, 1, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        pytest.param({"images": np.zeros((2, 64, 64), np.uint8)}, "holds no labels", id="no_labels"),
        pytest.param(
            {"images": np.zeros((2, 32, 32), np.uint8), "labels": [0, 1]}, r"uint8 \(2, 32, 32, 1\) for 2", id="small"
        ),
        pytest.param({"images": np.zeros((2, 64, 64), np.float32), "labels": [0, 1]}, "faces are float32", id="floats"),
        pytest.param({"images": np.zeros((2, 64, 64), np.uint8), "labels": [0, 7]}, "each from 0 to 6", id="label_7"),
        pytest.param(
            {"images": np.zeros((2, 64, 64), np.uint8), "labels": [0, 1], "intensity": [1, 2]},
            r"intensity must lie in \[0, 1\]",
            id="intensity",
        ),
        pytest.param({"images": np.array([{}], dtype=object), "labels": [0]}, "not a whole .npz", id="pickled"),
    ],
)
def test_packed_faces_that_do_not_fit(tmp_path: Path, arrays: dict, told: str) -> None:
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(WrongUse, match=told) as caught:
        read_faces(tmp_path / "f.npz")
    assert "f.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label, name in enumerate(EMOTIONS[:3]):
        for person in ("ann", "bob"):
            (tmp_path / name / person).mkdir(parents=True)
            Image.fromarray(face(label, random)).resize((100, 100)).save(tmp_path / name / person / "1.png")
    faces = read_faces(tmp_path)
    assert faces.faces_NSSC.shape == (6, 64, 64, 3)
    assert faces.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert faces.identity is not None
    assert faces.identity.tolist() == ["ann", "bob"] * 3
    Image.new("L", (64, 64)).save(tmp_path / "fear" / "unnamed.png")
    assert read_faces(tmp_path).identity is None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(lambda fear: None, "no picture in anger, disgust", id="empty"),
        pytest.param(lambda fear: (fear / "a.png").write_bytes(b"\x89PNG cut"), "not a whole picture", id="corrupt"),
        pytest.param(lambda fear: Image.new("L", (64, 50)).save(fear / "a.png"), "64x50 px; give squares", id="oblong"),
    ],
)
def test_a_folder_that_does_not_fit(tmp_path: Path, make, told: str) -> None:
    (tmp_path / "fear").mkdir()
    make(tmp_path / "fear")
    with pytest.raises(WrongUse, match=told) as caught:
        read_faces(tmp_path)
    assert "\n" not in str(caught.value)


def test_too_few_faces_are_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="2 faces: too few to train on two expressions and hold 1 out; give more"):
        train_emotion(drawn(2), QUICK, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_the_matrix_counts_rows_by_label() -> None:
    counts = confusion_matrix(np.array([0, 0, 6]), np.array([1, 0, 6]))
    assert (counts[0, 0], counts[0, 1], counts[6, 6], counts.sum()) == (1, 1, 1, 3)
    assert confusion_csv(counts).decode().splitlines()[1] == "anger,1,1,0,0,0,0,0"
    assert confusion_png(counts).startswith(b"\x89PNG")
