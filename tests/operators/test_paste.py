"""PasteCrop: the inverse of align_crop, within its mask and nowhere else."""

import numpy as np
import pytest
import skimage.data
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators.faces.align import align_crop
from operators.faces.paste import PasteCrop

ASTRONAUT = skimage.data.astronaut()  # 512 x 512
SHAPES = ["ellipse", "square"]


def _square(centre: tuple[float, float], side: float, angle_deg: float = 0.0) -> np.ndarray:
    """Corners TL, BL, BR, TR."""
    turn = np.deg2rad(angle_deg)
    right, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    corners = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
    return np.array([np.array(centre) + side / 2 * (x * right + y * down) for x, y in corners], np.float32)


def _landmarks(centre: tuple[float, float], side: float) -> np.ndarray:
    """An oval of 68 points whose brows, eyes and nose are where a face has them."""
    angle = np.linspace(0, np.pi, 17)
    points = np.tile(np.array([[0.0, 0.05]]), (68, 1))
    points[:17] = np.stack([-0.25 * np.cos(angle), 0.33 * np.sin(angle)], 1)  # the jaw
    points[17:27] = np.stack([np.linspace(-0.22, 0.22, 10), np.full(10, -0.1)], 1)
    points[36:42], points[42:48] = (-0.12, -0.04), (0.12, -0.04)
    return (np.array(centre) + side * points).astype(np.float32)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


@pytest.mark.parametrize(
    ("side", "crop_px", "angle_deg", "psnr_db"),
    [
        # what is lost is what cutting loses: it samples bilinearly, and a crop coarser than the frame has less to say
        pytest.param(120, 480, 0, 37, id="crop_four_times_finer"),
        pytest.param(120, 256, 17, 37, id="twice_finer_and_turned"),
        pytest.param(128, 128, 0, 37, id="as_fine"),
        pytest.param(200, 128, -30, 33.5, id="coarser_and_turned"),
    ],
)
def test_unmodified_crops_hardly_change_the_frame(side, crop_px, angle_deg, psnr_db):
    quad = _square((223.3, 111.7), side, angle_deg)
    crop = align_crop(ASTRONAUT, quad, crop_px=crop_px, supersample=4)
    paste = PasteCrop(shape="square", feather=0.05)
    region = paste.mask(quad, ASTRONAUT.shape[:2]) > 0
    assert _psnr(paste(ASTRONAUT, crop, quad)[region], ASTRONAUT[region]) > psnr_db


@settings(deadline=None, max_examples=40)
@example(x=55.0, y=55.25, side=30.0, angle=0.0, crop_px=200)
@given(
    x=st.floats(55, 65), y=st.floats(55, 65), side=st.floats(30, 50), angle=st.floats(-180, 180),
    crop_px=st.sampled_from([32, 64, 200]),
)  # fmt: skip
def test_no_part_of_a_pixel_is_lost_in_the_round_trip(x, y, side, angle, crop_px):
    """On a ramp a pixel of shift is two grey levels, of other sign in red and blue; blur is none.

    Pillow's bilinear sampling, of which crops are cut, drops what is behind the point. Noise on the ramp makes that
    half a level in all channels, also where a quad lies as the pixels do and would be rounded alike everywhere.
    """
    row, column = np.mgrid[:120, :120]
    even = np.stack([2 * column, 2 * row, 250 - 2 * column], axis=-1)
    ramp = np.clip(even + np.random.default_rng(0).integers(-2, 3, even.shape), 0, 255).astype(np.uint8)
    quad = _square((x, y), side, angle)
    paste = PasteCrop(shape="ellipse", feather=0.1)
    crop = align_crop(ramp, quad, crop_px=crop_px, supersample=2)
    weight = paste.mask(quad, ramp.shape[:2])[..., None]
    away = paste(ramp, crop, quad).astype(float) - ramp
    clean = even.astype(np.uint8)
    clean_crop = align_crop(clean, quad, crop_px=crop_px, supersample=2)
    assert np.abs(paste(clean, clean_crop, quad).astype(float) - clean).max() <= 2
    red, green, blue = (away * weight).sum((0, 1)) / weight.sum()
    assert abs(red - blue) / 4 < 0.25 and abs(green - (red + blue) / 2) / 2 < 0.25, "pixels, to the right and down"


@pytest.mark.parametrize("shape", [*SHAPES, "face"])
@pytest.mark.parametrize(
    "centre", [pytest.param((250.0, 250.0), id="inside"), pytest.param((20.0, 490.0), id="over_the_border")]
)
def test_the_mask_is_soft_and_nothing_beside_it_changes(shape, centre):
    quad, landmarks = _square(centre, 140, 12), _landmarks(centre, 140)
    paste = PasteCrop(shape=shape, feather=0.08)
    mask = paste.mask(quad, ASTRONAUT.shape[:2], landmarks)
    assert mask.min() == 0 and 0.99 < mask.max() <= 1
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2  # no step: the feather is eleven pixels wide
    pasted = paste(ASTRONAUT, np.full((64, 64, 3), 255, np.uint8), quad, landmarks)
    np.testing.assert_array_equal(pasted[mask == 0], ASTRONAUT[mask == 0])
    assert (pasted[mask > 0.999] == 255).all() and (mask > 0.999).sum() > 500
    assert not np.array_equal(pasted, ASTRONAUT) and pasted is not ASTRONAUT


def test_the_mask_of_a_face_leaves_hair_and_corners():
    quad, landmarks = _square((250, 250), 200), _landmarks((250, 250), 200)
    mask = PasteCrop(shape="face", feather=0.05).mask(quad, ASTRONAUT.shape[:2], landmarks)
    assert mask[250, 250] == 1  # between the eyes
    assert mask[160, 250] == 0 and mask[340, 170] == 0  # hair above the forehead, a shoulder


def test_a_quad_beside_the_frame_changes_nothing():
    pasted = PasteCrop(shape="square")(ASTRONAUT, np.zeros((8, 8, 3), np.uint8), _square((-100, 50), 40))
    np.testing.assert_array_equal(pasted, ASTRONAUT)


def test_a_whole_frame_without_feather_is_the_crop():
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    crop = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    pasted = PasteCrop(shape="square", feather=0.0)(picture, crop, _square((23.5, 15.5), 32))
    np.testing.assert_array_equal(pasted[:, 8:40], crop)
    np.testing.assert_array_equal(pasted[:, :8], picture[:, :8])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: PasteCrop(feather=0.6), "give 0 to 0.5", id="feather"),
        pytest.param(
            lambda: PasteCrop()(ASTRONAUT, np.zeros((8, 8, 3), np.uint8), _square((99, 99), 40)),
            "take ellipse or square",
            id="no_landmarks",
        ),
    ],
)
def test_what_cannot_be(make, says):
    with pytest.raises(ValueError, match=says):
        make()
