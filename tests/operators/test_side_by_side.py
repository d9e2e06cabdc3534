"""Side by side: what is where at every size, what the difference shows, and that text never hides a face."""

from typing import Any

import numpy as np
import pytest

from operators.latents.side_by_side import DIFFERENCE_GAIN, ComparedFrame, SideBySide
from schemas.generators import RESOLUTIONS

ID = "0123456789abcdef0123456789abcdef-00003-001"


def frame(side=64, *, crop=(200, 120, 40), reconstruction=(190, 130, 40), **changes):
    values: dict[str, Any] = {
        "frame_index": 130,
        "pts_us": 5_416_667,
        "crop_RRC": np.full((side, side, 3), crop, np.uint8),
        "reconstruction_RRC": np.full((side, side, 3), reconstruction, np.uint8),
        "psnr": 27.3,
        "emotion": "happiness",
        "emotion_probability": 0.87,
    }
    return ComparedFrame(**(values | changes))


def drawn(shown, **caption):
    values: dict[str, Any] = {"track_id": ID, "shot_index": 3, "crop_px": len(shown.crop_RRC)}
    return SideBySide(**(values | caption))(shown)


def panels(side, shown):
    """The three pictures cut out of the whole one."""
    draw = SideBySide(track_id=ID, shot_index=3, crop_px=side)
    picture, y, px = draw(shown), draw.panels_y, draw.panel_px
    return [picture[y : y + px, x : x + px] for x in draw.panels_x]


@pytest.mark.parametrize("side", RESOLUTIONS)
def test_every_size_is_legible_and_can_be_encoded(side):
    height, width, _ = drawn(frame(side)).shape
    assert (height % 2, width % 2) == (0, 0)
    (film, *_) = panels(side, frame(side))
    assert film.shape == (512, 512, 3) if side >= 512 else film.shape == (256, 256, 3)
    assert width <= 1650


@pytest.mark.parametrize("side", [33, 257, 700], ids=["enlarged", "as_it_is", "reduced"])
def test_odd_sizes_can_be_encoded_too(side):
    height, width, _ = drawn(frame(side)).shape
    assert (height % 2, width % 2) == (0, 0)


def test_faces_stand_unchanged_in_whole_squares():
    rng = np.random.default_rng(0)
    crop, made = rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    film, reconstruction, _ = panels(64, frame(64, crop_RRC=crop, reconstruction_RRC=made))
    for panel, face in ((film, crop), (reconstruction, made)):
        np.testing.assert_array_equal(
            panel.reshape(64, 4, 64, 4, 3), np.broadcast_to(face[:, None, :, None], (64, 4, 64, 4, 3))
        )


@pytest.mark.parametrize(
    ("crop", "reconstruction", "shown"),
    [
        pytest.param((200, 120, 40), (200, 120, 40), (0, 0, 0), id="equal"),
        pytest.param((200, 120, 40), (190, 130, 40), (40, 40, 0), id="darker_and_brighter"),
        pytest.param((255, 0, 100), (0, 255, 160), (255, 255, 240), id="large_ones_saturate"),
    ],
)
def test_the_difference_is_amplified(crop, reconstruction, shown):
    assert DIFFERENCE_GAIN == 4
    assert (panels(64, frame(crop=crop, reconstruction=reconstruction))[2] == shown).all()


@pytest.mark.parametrize(
    ("changes", "below"),
    [
        pytest.param({"psnr": 31.0}, True, id="psnr"),
        pytest.param({"emotion": "anger"}, True, id="emotion"),
        pytest.param({"emotion_probability": 0.42}, True, id="probability"),
        pytest.param({"emotion": None, "emotion_probability": None}, True, id="emotion_not_read"),
        pytest.param({"frame_index": 131}, True, id="frame"),
        pytest.param({"pts_us": 5_417_667}, True, id="a_millisecond"),
        pytest.param({"track_id": ID[::-1]}, False, id="track"),
        pytest.param({"shot_index": 4}, False, id="shot"),
    ],
)
def test_each_text_is_there_and_hides_no_face(changes, below):
    caption = {key: changes.pop(key) for key in ("track_id", "shot_index") if key in changes}
    plain, other = drawn(frame()), drawn(frame(**changes), **caption)
    assert plain.shape == other.shape
    (rows,) = np.nonzero((plain != other).any(axis=(1, 2)))
    draw = SideBySide(track_id=ID, shot_index=3, crop_px=64)
    top, bottom = draw.panels_y, draw.panels_y + draw.panel_px
    assert len(rows) > 0
    assert rows.min() >= bottom if below else rows.max() < top


def test_the_longest_numbers_do_not_touch():
    """Of a film of ten hours: columns of background stay between frame, time, PSNR and expression."""
    draw = SideBySide(track_id=ID, shot_index=3, crop_px=64)
    shown = frame(frame_index=999_999, pts_us=36_000_000_000, psnr=100.0, emotion="happiness", emotion_probability=1.0)
    line = draw(shown)[draw.panels_y + draw.panel_px :]
    inked = (line != line[-1, -1]).any(axis=(0, 2))
    gaps = np.diff(np.flatnonzero(inked))
    assert (gaps > 8).sum() == 3, "between the four of them; letters and words stand closer"
    assert not inked[-12:].any(), "inside the margin"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"crop_RRC": np.zeros((8, 9, 3), np.uint8)}, r"give \(R, R, 3\)", id="not_square"),
        pytest.param({"reconstruction_RRC": np.zeros((32, 32, 3), np.uint8)}, r"\(64, 64, 3\) and", id="other_side"),
        pytest.param({"crop_RRC": np.zeros((64, 64, 3))}, "float64 and uint8; give uint8", id="floats"),
        pytest.param({"emotion": "joy"}, "emotion 'joy'; give one of anger", id="unknown_emotion"),
        pytest.param({"emotion": None}, "or neither", id="probability_of_nothing"),
    ],
)
def test_wrong_frames_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        frame(**changes)


def test_a_frame_of_another_size_is_refused():
    draw = SideBySide(track_id=ID, shot_index=3, crop_px=64)
    with pytest.raises(ValueError, match="32 px, the track has 64"):
        draw(frame(32))
