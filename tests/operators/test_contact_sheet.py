"""The contact sheet: what is where, how large it may grow, and what it says about what is missing."""

import numpy as np
import pytest
from PIL import Image

from operators.latents.contact_sheet import HEIGHT_MAX_PX, THUMB_PX, SheetEntry, contact_sheet, shown_frames

RED, BLUE = (250, 20, 20), (20, 20, 250)


def entry(i=0, *, n=3, emotion="happiness", side=32, **changes):
    """Crops are red, reconstructions blue."""
    values = {
        "track_id": f"track-{i}",
        "shot_index": 2,
        "frame_index": tuple(range(10, 10 + n)),
        "crops_NRRC": np.full((n, side, side, 3), RED, np.uint8),
        "reconstructions_NSSC": np.full((n, 64, 64, 3), BLUE, np.uint8),
        "emotion": emotion,
        "psnr": 27.3,
    }
    return SheetEntry(**(values | changes))


def patches(sheet, colour):
    """Upper left corners of the squares of that colour, row by row."""
    mask = (np.asarray(sheet) == colour).all(axis=2)
    above, left = np.roll(mask, 1, axis=0), np.roll(mask, 1, axis=1)
    return [(int(x), int(y)) for y, x in np.argwhere(mask & ~above & ~left)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_face_stands_above_its_reconstruction(n):
    sheet = contact_sheet([entry(n=n)])
    films, pictures = patches(sheet, RED), patches(sheet, BLUE)
    assert len(films) == len(pictures) == n
    for (x, y), (x_below, y_below) in zip(films, pictures, strict=True):
        assert x == x_below
        assert y + THUMB_PX <= y_below <= y + THUMB_PX + 10
    mask = (np.asarray(sheet) == RED).all(axis=2)
    assert mask.sum() == n * THUMB_PX**2  # nothing is drawn over a face


@pytest.mark.parametrize(
    ("n_tracks", "columns"),
    [pytest.param(2, 2, id="two"), pytest.param(4, 4, id="a_row"), pytest.param(9, 4, id="three_rows")],
)
def test_many_tracks_share_rows(n_tracks, columns):
    corners = patches(contact_sheet([entry(i) for i in range(n_tracks)]), RED)
    assert len({x for x, _ in corners}) == 3 * columns
    assert len({y for _, y in corners}) == -(-n_tracks // columns)


def test_too_many_are_left_out_and_the_sheet_says_so():
    entries = [entry(i) for i in range(200)]
    sheet = contact_sheet(entries)
    assert sheet.height <= HEIGHT_MAX_PX
    n_shown = len(patches(sheet, RED)) // 3
    assert 36 <= n_shown < 200
    complete = contact_sheet(entries[:n_shown])
    assert complete.size == sheet.size
    changed = (np.asarray(sheet) != np.asarray(complete)).any(axis=2)
    assert changed.any()  # the title: the number of tracks, and how many did not fit
    assert changed[60:].sum() == 0


def test_nothing_to_show_is_a_picture_too():
    sheet = contact_sheet([])
    assert sheet.mode == "RGB"
    assert patches(sheet, RED) == []


def test_labels_change_the_picture_and_long_names_stay_inside():
    def pixels(**changes):
        return np.asarray(contact_sheet([entry(**changes)])).astype(int)

    plain = pixels()
    for changes in (
        {"emotion": None},
        {"emotion": "anger"},
        {"psnr": 31.0},
        {"shot_index": 3},
        {"frame_index": (7, 8, 9)},
        {"track_id": "x"},
    ):
        assert np.abs(pixels(**changes) - plain).sum() > 0, changes
    long = pixels(track_id="0123456789abcdef" * 9)
    edge = THUMB_PX * 3 + 12 + 28 + 16  # right edge of the pictures: beyond it stands only the card
    assert np.array_equal(long[:, edge:], plain[:, edge:])


def test_crops_of_any_side_are_shown_at_one_size():
    assert contact_sheet([entry(side=16)]).size == contact_sheet([entry(side=300)]).size


@pytest.mark.parametrize(
    ("n_frames", "expected"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (100, [0, 50, 99])],
)
def test_first_middle_last(n_frames, expected):
    assert shown_frames(n_frames) == expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"frame_index": (1, 2)}, r"\[2, 3, 3\] frames, crops and pictures; give 1 to 3", id="counts"),
        pytest.param({"n": 4}, r"\[4, 4, 4\] frames", id="too_many"),
        pytest.param({"crops_NRRC": np.zeros((3, 8, 8, 3))}, "float64 .*give uint8", id="floats"),
        pytest.param({"crops_NRRC": np.zeros((3, 8, 9, 3), np.uint8)}, "give uint8", id="not_square"),
        pytest.param({"emotion": "joy"}, "emotion 'joy'; give one of anger", id="unknown_emotion"),
    ],
)
def test_wrong_entries_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        entry(**changes)


def test_colours_are_kept():
    """uint8 in, the same uint8 out: no gamma, no palette, when nothing has to be resized."""
    ramp = np.random.default_rng(0).integers(0, 255, (1, THUMB_PX, THUMB_PX, 3)).astype(np.uint8)
    sheet = contact_sheet([entry(n=1, crops_NRRC=ramp, reconstructions_NSSC=ramp)])
    wanted, pixels = ramp[0], np.asarray(sheet)
    places = np.argwhere((pixels[:-THUMB_PX, :-THUMB_PX] == wanted[0, 0]).all(axis=2))
    found = [(y, x) for y, x in places if np.array_equal(pixels[y : y + THUMB_PX, x : x + THUMB_PX], wanted)]
    assert len(found) == 2
    assert isinstance(sheet, Image.Image)
