"""The pictures that a detector with a window of 80 px is shown: every face of the size asked for is whole in one."""

import numpy as np
import pytest

from operators.faces import enlarge
from operators.faces.enlarge import TILE_PX, WINDOW_PX, View, views
from schemas.face_settings import FaceSettings


def settings(smallest_px, detect_px=960):
    return FaceSettings(smallest_px=smallest_px, detect_px=detect_px)


@pytest.mark.parametrize(
    ("size", "smallest_px", "expected"),
    [
        pytest.param((1080, 1920), None, [0.5], id="reduced"),
        pytest.param((360, 640), None, [1.0], id="as_it_is"),
        pytest.param((1080, 1920), 160, [0.5], id="shown_already"),
        pytest.param((1080, 1920), 80, [1.0], id="not_reduced"),
        pytest.param((360, 640), 20, [4.0], id="enlarged"),
        pytest.param((1080, 1920), 40, [2.0, 2.0, 0.5], id="two_tiles"),
        pytest.param((1080, 1920), 20, 6 * [4.0] + [1.0], id="many_tiles"),
    ],
)
def test_which_pictures(size, smallest_px, expected):
    height, width = size
    assert [view.times for view in views(height, width, settings(smallest_px))] == expected


@pytest.mark.parametrize("size", [(1080, 1920), (1920, 1080), (2160, 3840), (720, 4000), (300, 5000), (3000, 3000)])
@pytest.mark.parametrize("smallest_px", [16, 24, 40, 60])
def test_every_face_is_whole_in_80_px_and_no_tile_is_too_large(size, smallest_px):
    height, width = size
    found = views(height, width, settings(smallest_px))
    for view in found:
        assert max(view.x1 - view.x0, view.y1 - view.y0) * view.times <= TILE_PX + 1
        assert 0 <= view.x0 < view.x1 <= size[1]
        assert 0 <= view.y0 < view.y1 <= size[0]
    rng = np.random.default_rng(0)
    for face_px in np.geomspace(smallest_px, min(size), 12):
        for x, y in rng.uniform(0, (size[1] - face_px, size[0] - face_px), (25, 2)):
            box = np.array([[x, y, x + face_px, y + face_px]]) - 0.5
            assert any(
                view.shows_whole(box, (*size, 3))[0] and face_px * view.times >= WINDOW_PX - 1e-6 for view in found
            ), f"{face_px:.0f} px at {x:.0f}, {y:.0f}"


def test_places_in_a_picture_and_in_the_frame(monkeypatch):
    """A tile of a frame whose pixels tell where they are."""
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[60:70, 120:150] = 255
    view = View(x0=100, y0=50, x1=180, y1=90, times=2.5)
    picture = view.picture(frame)
    assert picture.shape == (100, 200, 3)
    y, x = np.nonzero(picture[..., 0] > 127)
    edges = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], float)
    assert np.abs(view.in_frame(edges, picture.shape) - [[119.5, 59.5, 149.5, 69.5]]).max() < 0.5


@pytest.mark.parametrize(
    ("box", "whole"),
    [
        pytest.param((110, 60, 150, 80), True, id="inside"),
        pytest.param((90, 60, 150, 80), False, id="over_an_inner_edge"),
        pytest.param((110, -30, 150, 80), True, id="over_the_frames_border"),
        pytest.param((110, 60, 250, 80), False, id="over_the_other_inner_edge"),
    ],
)
def test_what_a_tile_cuts_through_is_left_to_its_neighbour(box, whole):
    tile = View(x0=100, y0=0, x1=200, y1=100, times=2.0)
    assert tile.shows_whole(np.array([box], float), (100, 300, 3)).tolist() == [whole]


def test_a_large_frame_is_never_enlarged_as_a_whole(monkeypatch):
    monkeypatch.setattr(enlarge, "TILE_PX", 700)
    found = views(1080, 1920, settings(40))
    assert len(found) > 20
    assert found[-1].times == 0.5  # as detect_px says, however small a tile may be
    assert max((view.x1 - view.x0) * view.times for view in found[:-1]) <= 701
