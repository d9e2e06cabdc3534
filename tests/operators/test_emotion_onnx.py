"""Expressions: exact numbers through a network made here, faults of its files, and real networks on a real smile."""

import hashlib
import json
import struct

import av
import numpy as np
import pytest

from operators.emotion.manifest import EmotionManifest, emotion_id, read_model
from operators.emotion.onnx_emotion import OnnxEmotion
from operators.faces.dlib_finder import DlibFinder
from operators.faces.find_tracks import FindTracks
from operators.faces.smoothing import smooth_along_time
from schemas.clips import FaceTrack, PartKey, TrackClip
from schemas.config import EmotionSettings
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment, Shot, Video

RAW = EmotionSettings(smooth_s=0)


def message(*fields):
    """A protobuf message from (field number, int | bytes | str | float)."""

    def varint(n):
        out = b""
        while n > 0x7F:
            out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
        return out + bytes([n])

    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(content)) + content
    return out


def network(weights, *, side=8, layout="NCHW"):
    """An ONNX file: the mean of each channel over the picture, times `weights` (channels, outputs)."""
    channels, n_out = weights.shape
    spatial = (2, 3) if layout == "NCHW" else (1, 2)
    dims = {"NCHW": ("N", channels, side, side), "NHWC": ("N", side, side, channels)}[layout]

    def value_info(name, dims):
        shape = message(*((1, message((2, d) if isinstance(d, str) else (1, d))) for d in dims))
        return message((1, name), (2, message((1, message((1, 1), (2, shape))))))

    axes = message((1, "axes"), *((8, a) for a in spatial), (20, 7))  # 20: type, 7: INTS
    keep = message((1, "keepdims"), (3, 0), (20, 2))  # 2: INT
    mean = message((1, "x"), (2, "m"), (4, "ReduceMean"), (5, axes), (5, keep))
    product = message((1, "m"), (1, "w"), (2, "y"), (4, "MatMul"))
    data = struct.pack(f"<{weights.size}f", *weights.ravel())
    initializer = message((1, channels), (1, n_out), (2, 1), (8, "w"), (9, data))  # 2, 1: float
    graph = message(
        (1, mean),
        (1, product),
        (2, "g"),
        (5, initializer),
        (11, value_info("x", dims)),
        (12, value_info("y", ("N", n_out))),
    )
    return message((1, 8), (7, graph), (8, message((1, ""), (2, 13))))  # IR version 8, operator set 13


def manifest_of(model, **changes):
    manifest = {
        "sha256": hashlib.sha256(model).hexdigest(),
        "size_px": 8,
        "layout": "NCHW",
        "colour": "RGB",
        "mean": [100.0, 50.0, 0.0],
        "scale": 0.01,
        "crop_margin": 0.0,
        "labels": list("abcdefg"),
        "to_emopy": [6, 5, 4, 3, 2, 1, 0],
        "output": "logits",
    }
    return manifest | changes


@pytest.fixture
def write(tmp_path):
    def write(model, **changes):
        (tmp_path / "net.onnx").write_bytes(model)
        (tmp_path / "net.json").write_text(json.dumps(manifest_of(model, **changes)))
        return tmp_path / "net.onnx"

    return write


def clip_of(crops_TRRC, *, step_us=40_000, low=20.0, high=40.0):
    """The landmarks fill the square low..high of the crop; the quad is the crop itself, so both share coordinates."""
    n, side = crops_TRRC.shape[:2]
    grid = np.stack(np.meshgrid(np.linspace(low, high, 17), np.linspace(low, high, 4)), axis=-1).reshape(68, 2)
    corners = np.array([(0, 0), (0, side), (side, side), (side, 0)], np.float32) - 0.5
    track = FaceTrack(
        key=PartKey(video_id="v", segment_index=0, shot_index=0, track_index=0, part_index=0),
        frame_index=np.arange(n, dtype=np.int32),
        pts_us=np.arange(n, dtype=np.int64) * step_us,
        landmarks_T682=np.tile(grid.astype(np.float32), (n, 1, 1)),
        quad_T42=np.tile(corners, (n, 1, 1)),
        confidence=np.ones(n, np.float32),
    )
    return TrackClip(track=track, crops_TRRC=crops_TRRC)


def probs_of(reader, clip):
    probs_T7 = reader(clip).track.emotion_probs_T7
    assert probs_T7 is not None
    return probs_T7


WEIGHTS = np.random.default_rng(0).normal(0, 2, (3, 7)).astype(np.float32)


@pytest.mark.parametrize(
    ("layout", "colour", "mean", "weights"),
    [
        pytest.param("NCHW", "RGB", [100.0, 50.0, 0.0], WEIGHTS, id="channels_first"),
        pytest.param("NHWC", "RGB", [100.0], WEIGHTS, id="channels_last_one_mean"),
        pytest.param("NCHW", "grey", [127.5], WEIGHTS[:1], id="grey"),
    ],
)
def test_numbers_worked_out_by_hand(write, layout, colour, mean, weights):
    """Crops of one colour, so the network's answer is softmax(((colour - mean) * scale) @ weights), in EmoPy order."""
    rgb = np.array([(200, 40, 90), (10, 250, 130), (128, 128, 128)], np.uint8)
    crops = np.tile(rgb[:, None, None], (1, 64, 64, 1))
    model = write(network(weights, layout=layout), layout=layout, colour=colour, mean=mean)
    probs = probs_of(OnnxEmotion(model, RAW), clip_of(crops))
    values = rgb.astype(float) if colour == "RGB" else np.rint(rgb @ [0.299, 0.587, 0.114])[:, None]  # ITU-R BT.601
    powers = np.exp((values - mean) * 0.01 @ weights)
    expected = (powers / powers.sum(axis=1, keepdims=True))[:, ::-1]  # to_emopy turns the order round
    np.testing.assert_allclose(probs, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("margin", "box"),
    [
        pytest.param(0.0, (17.5, 15, 42.5, 40), id="tight"),
        pytest.param(1.0, (5, 2.5, 55, 52.5), id="margin_of_the_manifest"),
    ],
)
def test_the_network_sees_the_face_and_only_the_face(write, margin, box):
    """Landmarks from 20 to 40 in both directions; a quarter of their height is added above: 25 px, the longer side."""
    model = OnnxEmotion(write(network(WEIGHTS), crop_margin=margin), RAW)

    def probs_with(grow, outside):
        x0, y0, x1, y1 = (round(v) for v in np.array(box) + np.array([-1, -1, 1, 1]) * grow)
        crops = np.full((1, 64, 64, 3), outside, np.uint8)
        crops[:, max(y0, 0) : y1, max(x0, 0) : x1] = (200, 40, 90)
        return probs_of(model, clip_of(crops))

    touched = 4  # pixels on either side of the square that resizing to 8 px looks at
    np.testing.assert_allclose(probs_with(touched, 0), probs_with(touched, 255), atol=1e-5)
    assert np.abs(probs_with(-touched, 0) - probs_with(-touched, 255)).max() > 0.05


def test_borders_are_repeated_where_the_face_hangs_over(write):
    crops = np.full((2, 32, 32, 3), (200, 40, 90), np.uint8)
    model = write(network(WEIGHTS), crop_margin=1.0)
    inside, over = (
        probs_of(OnnxEmotion(model, RAW), clip_of(crops, low=low, high=high)) for low, high in ((14, 18), (-30, 20))
    )
    np.testing.assert_allclose(over, inside, atol=1e-5)


def test_long_clips_smoothing_and_the_rest_of_the_row(write):
    crops = np.random.default_rng(3).integers(0, 255, (70, 1, 1, 3)).astype(np.uint8) * np.ones(
        (1, 64, 64, 1), np.uint8
    )
    clip, model = clip_of(crops), write(network(WEIGHTS))
    raw = probs_of(OnnxEmotion(model, RAW), clip)
    smooth_clip = OnnxEmotion(model, EmotionSettings(smooth_s=0.1))(clip)
    smooth = smooth_clip.track.emotion_probs_T7
    assert smooth is not None
    np.testing.assert_allclose(smooth, smooth_along_time(raw, clip.track.pts_us, 0.1), atol=1e-5)
    np.testing.assert_allclose(smooth.sum(axis=1), 1, atol=1e-6)
    assert smooth.std(axis=0).mean() < 0.6 * raw.std(axis=0).mean()
    one_by_one = [probs_of(OnnxEmotion(model, RAW), clip_of(crops[i : i + 1]))[0] for i in (0, 31, 32, 69)]
    np.testing.assert_allclose(raw[[0, 31, 32, 69]], one_by_one, atol=1e-6)
    assert smooth_clip.crops_TRRC is clip.crops_TRRC
    assert clip.track.emotion_probs_T7 is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"to_emopy": [0, 0, 1, 2, 3, 4, 5]}, "must name each id once: anger 0", id="doubled_id"),
        pytest.param({"labels": ["a", "b"]}, "give a label for each output", id="two_labels"),
        pytest.param({"to_emopy": [0, None, 1, 2, 3, 4, 5]}, "must name each id once: .*null for others", id="missing"),
        pytest.param({"scale": [1.0, 2.0]}, "scale has 2 values; give 1 or 3 for RGB", id="two_scales"),
        pytest.param(
            {"scale": [1.0, -2.0, 1.0]}, r"scale \(1.0, -2.0, 1.0\); give numbers above 0", id="negative_scale"
        ),
        pytest.param({"mean": [1.0, 2.0]}, "mean has 2 values; give 1 or 3 for RGB", id="two_means"),
        pytest.param({"colour": "BGR"}, "colour: Input should be 'RGB' or 'grey'", id="unknown_colour"),
        pytest.param({"sizepx": 9}, "sizepx: Extra inputs are not permitted", id="misspelt"),
        pytest.param({"sha256": "0" * 64}, "sha256 is .*, its manifest says 000000000000", id="wrong_hash"),
        pytest.param({"size_px": 16}, "does not run: .*give a network that fits", id="wrong_size"),
        pytest.param({"layout": "NHWC"}, "does not run: .*give a network that fits", id="wrong_layout"),
    ],
)
def test_a_manifest_that_does_not_fit(write, changes, told):
    model = write(network(WEIGHTS), **changes)
    with pytest.raises(WrongUse, match=told) as caught:
        OnnxEmotion(model, RAW)
    assert "net" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        pytest.param(b"not a network", "does not run", id="text"),
        pytest.param(b"", "does not run", id="empty"),
        pytest.param(network(WEIGHTS)[:90], "does not run", id="cut_off"),
        pytest.param(network(WEIGHTS[:, :5]), r"gives outputs \(1, 5\), expected \(1, 7\)", id="five_outputs"),
    ],
)
def test_a_model_that_does_not_work(write, model, told):
    path = write(model)
    with pytest.raises(WrongUse, match=told) as caught:
        OnnxEmotion(path, RAW)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(write, tmp_path):
    path = write(network(WEIGHTS))
    with pytest.raises(WrongUse, match=r"other.onnx: No such file or directory; give the path of an .onnx file"):
        OnnxEmotion(tmp_path / "other.onnx", RAW)
    manifest = path.with_suffix(".json")
    manifest.unlink()
    with pytest.raises(WrongUse, match=r"net.onnx has no manifest; write net.json beside it"):
        OnnxEmotion(path, RAW)
    manifest.write_text("{")
    with pytest.raises(WrongUse, match=r"manifest .*net.json for net.onnx: JSONDecodeError"):
        OnnxEmotion(path, RAW)
    manifest.unlink()
    path.with_name("manifest.json").write_text('{"files": []}')
    with pytest.raises(WrongUse, match=r"manifest .*manifest.json for net.onnx: ValueError names net.onnx 0 times"):
        OnnxEmotion(path, RAW)


def test_the_id_follows_the_bytes_and_the_manifest_and_not_the_name(write, tmp_path):
    path = write(network(WEIGHTS))
    first = emotion_id(path)
    for name in ("net.onnx", "net.json"):
        (tmp_path / name).rename(tmp_path / name.replace("net", "other"))
    assert emotion_id(tmp_path / "other.onnx") == first
    assert len(first) == 16
    assert emotion_id(write(network(WEIGHTS), crop_margin=0.1)) != first
    assert emotion_id(write(network(2 * WEIGHTS))) != first


NETWORKS = pytest.mark.parametrize("name", ["emotion_faceapi.onnx", "emotion_minixception.onnx"])


@NETWORKS
def test_a_collections_manifest_is_read(shared, name):
    _, manifest = read_model(shared / "models" / name)
    assert isinstance(manifest, EmotionManifest)
    assert [EMOTIONS[i][:3] for i in manifest.to_emopy if i is not None] == [
        {"calm": "neu", "happy": "hap", "fearful": "fea", "angry": "ang"}.get(label, label[:3])
        for label in manifest.labels
    ]
    assert (manifest.size_px, manifest.colour) == ((112, "RGB") if "faceapi" in name else (64, "grey"))


@pytest.fixture(scope="module")
def smile(media):
    """talk_d0: neutral, a broad smile, neutral again. Every second frame, as the generator of 64 px sees it."""
    with av.open(str(media / "talk_d0.mp4")) as container:
        frames = [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)][::2]
    pts_us = 80_000 * np.arange(len(frames), dtype=np.int64)
    shot = Shot(shot_index=0, first_frame=0, n_frames=len(frames), start_us=0, end_us=int(pts_us[-1]) + 80_000)
    video = Video(
        video_id="v", uri="d0", bytes=1, codec="h264", fps=12.5, width=512, height=512, decoder="pyav", pts_us=pts_us
    )
    segment = Segment(video=video, segment_index=0, n_segments=1, shots=(shot,), first_frame=0, n_frames=len(frames))
    found = FindTracks(DlibFinder(FaceSettings()), FaceSettings(), crop_px=64)(
        segment, lambda: (Frame(frame_index=i, pts_us=80_000 * i, rgb_HWC=rgb) for i, rgb in enumerate(frames))
    )
    (clip,) = found.clips
    return clip


@NETWORKS
def test_a_real_smile_is_read(shared, smile, name):
    probs = probs_of(OnnxEmotion(shared / "models" / name, EmotionSettings()), smile)
    read = [EMOTIONS[i] for i in probs.argmax(axis=1)]
    assert read[:4] == ["neutral"] * 4
    assert read[18:28] == ["happiness"] * 10
    assert read[-1] == "neutral"
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
