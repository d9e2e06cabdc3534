"""Aligned crops: against the published recipe written out in numpy, on a ramp whose answer is known, and as laws."""

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.faces.align import align_crop
from operators.faces.quad import quads_from_landmarks

EYES_AND_MOUTH = {"eye_left": (204, 101), "eye_right": (247, 103), "mouth_left": (204, 140), "mouth_right": (244, 142)}


def landmarks(shift=(0, 0)):
    """The astronaut's, read off the photograph; only eyes and mouth corners count."""
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48] = EYES_AND_MOUTH["eye_left"], EYES_AND_MOUTH["eye_right"]
    points[48], points[54] = EYES_AND_MOUTH["mouth_left"], EYES_AND_MOUTH["mouth_right"]
    return points + np.array(shift, np.float32)


def square(centre, side, angle=0.0):
    x = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    y = np.array([-x[1], x[0]])
    c = np.array(centre, float)
    return np.array([c - x - y, c - x + y, c + x + y, c + x - y], np.float32)


def lanczos_reduce(picture, size):
    """To (width, height): each axis a weighted mean under a Lanczos-3 window as wide as the reduction."""
    for axis, n in ((1, size[0]), (0, size[1])):
        n_in = picture.shape[axis]
        ratio = n_in / n
        away = (np.arange(n_in)[None] + 0.5 - (np.arange(n)[:, None] + 0.5) * ratio) / max(ratio, 1)
        weights = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        picture = np.moveaxis(np.tensordot(weights, picture, axes=(1, axis)), 0, axis)
        picture = np.clip(np.rint(picture), 0, 255)  # as an 8-bit picture
    return picture


def published_crop(rgb, points, *, crop_px, supersample):
    """download_ffhq.py, one formula after the other, all in double precision except where it has 8-bit pictures."""
    eye_left, eye_right = points[36:42].mean(0, float), points[42:48].mean(0, float)
    eye_avg, eye_to_eye = (eye_left + eye_right) / 2, eye_right - eye_left
    eye_to_mouth = (points[48].astype(float) + points[54]) / 2 - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    quad, qsize, img = np.stack([c - x - y, c - x + y, c + x + y, c + x - y]), np.hypot(*x) * 2, rgb.astype(float)
    shrink = int(np.floor(qsize / crop_px * 0.5))
    if shrink > 1:
        img = lanczos_reduce(img, [round(n / shrink) for n in (img.shape[1], img.shape[0])])
        quad, qsize = quad / shrink, qsize / shrink
    border = max(round(qsize * 0.1), 3)
    low = np.maximum(np.floor(quad.min(0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + border, img.shape[1::-1])
    img, quad = img[low[1] : high[1], low[0] : high[0]], quad - low
    pad_low = np.maximum(-np.floor(quad.min(0)).astype(int) + border, 0)
    pad_high = np.maximum(np.ceil(quad.max(0)).astype(int) - img.shape[1::-1] + border, 0)
    if max(*pad_low, *pad_high) > border - 4:
        pad_low, pad_high = (np.maximum(p, round(qsize * 0.3)) for p in (pad_low, pad_high))
        img = np.pad(img, ((pad_low[1], pad_high[1]), (pad_low[0], pad_high[0]), (0, 0)), "reflect")
        h, w, _ = img.shape
        v, u, _ = np.ogrid[:h, :w, :1]
        mask = np.maximum(
            1 - np.minimum(u / pad_low[0], (w - 1 - u) / pad_high[0]),
            1 - np.minimum(v / pad_low[1], (h - 1 - v) / pad_high[1]),
        )
        blur = qsize * 0.02
        img = img + (scipy.ndimage.gaussian_filter(img, [blur, blur, 0]) - img) * np.clip(mask * 3 + 1, 0, 1)
        img = img + (np.median(img, axis=(0, 1)) - img) * np.clip(mask, 0, 1)
        img, quad = np.clip(np.rint(img), 0, 255), quad + pad_low
    wide = crop_px * supersample
    t = (np.arange(wide) + 0.5) / wide
    u, v = t[None, :, None], t[:, None, None]
    tl, bl, br, tr = quad
    at = tl * (1 - u) * (1 - v) + bl * (1 - u) * v + br * u * v + tr * u * (1 - v)
    channels = [scipy.ndimage.map_coordinates(img[..., k], (at[..., 1], at[..., 0]), order=1) for k in range(3)]
    sampled = np.floor(np.stack(channels, axis=-1) + 1e-6)  # PIL's transform cuts the decimals off
    return lanczos_reduce(sampled, (crop_px, crop_px))


@pytest.mark.parametrize(
    ("shift", "crop_px", "mean_error", "worst_error"),
    [
        pytest.param((0, 0), 64, 0.05, 2, id="inside"),
        pytest.param((-150, -60), 64, 0.05, 2, id="over_the_corner"),
        pytest.param((-220, 100), 64, 0.05, 2, id="half_over_the_left_side"),
        # Reduced first: the published step moves the picture by 1/4 and 1/3 of a reduced pixel, ours does not
        pytest.param((0, 0), 36, 5, 50, id="reduced_by_2"),
        pytest.param((0, 0), 24, 5, 50, id="reduced_by_3"),
    ],
)
def test_equals_the_published_recipe(shift, crop_px, mean_error, worst_error):
    picture = np.roll(skimage.data.astronaut(), shift, axis=(1, 0))
    points = landmarks(shift)
    ours = align_crop(picture, quads_from_landmarks(points[None])[0], crop_px=crop_px, supersample=4)
    theirs = published_crop(picture, points, crop_px=crop_px, supersample=4)
    error = np.abs(ours - theirs)
    assert error.mean() < mean_error
    assert error.max() < worst_error


@pytest.mark.parametrize(
    ("side", "angle", "crop_px", "supersample"),
    [
        pytest.param(64, 0.1, 64, 4, id="pixel_for_pixel"),
        pytest.param(100, 0.4, 64, 4, id="turned"),
        pytest.param(30, -0.7, 64, 2, id="enlarged"),
        pytest.param(140, 0.3, 32, 4, id="reduced_by_2"),
        pytest.param(140, 2.8, 20, 1, id="reduced_by_3_upside_down"),
    ],
)
def test_every_pixel_shows_its_place_in_the_quad(side, angle, crop_px, supersample):
    """The picture's red grows with x and its green with y, so a crop's values tell where they were taken from."""
    y, x = np.mgrid[:250, :250]
    picture = np.rint(5 + 0.9 * np.stack([x, y, np.zeros_like(x)], axis=-1)).astype(np.uint8)
    quad = square((124.3, 126.8), side, angle)
    crop = align_crop(picture, quad, crop_px=crop_px, supersample=supersample).astype(float)
    t = (np.arange(crop_px) + 0.5) / crop_px
    expected = quad[0] + t[None, :, None] * (quad[3] - quad[0]) + t[:, None, None] * (quad[1] - quad[0])
    # + 0.5: PIL's transform cuts the decimals off. The outermost pixels of a Lanczos reduction see the crop's end.
    error = ((crop[..., :2] + 0.5 - 5) / 0.9 - expected)[2:-2, 2:-2]
    assert np.abs(error).max() < 1.5
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.15  # pixels of the frame; the published reduction is 0.5 off


@given(dx=st.integers(-60, 60), dy=st.integers(-30, 60), angle=st.floats(-0.5, 0.5))
@settings(max_examples=20, deadline=None)
def test_shifting_picture_and_quad_together_changes_nothing(dx, dy, angle):
    picture = skimage.data.astronaut()
    quad = square((225, 140), 100, angle)
    moved = np.roll(picture, (dx, dy), axis=(1, 0))
    crop = align_crop(picture, quad, crop_px=64, supersample=2).astype(int)
    again = align_crop(moved, quad + np.array([dx, dy], np.float32), crop_px=64, supersample=2)
    assert np.abs(again - crop).max() <= 1  # 1: the moved quad is rounded to float32 again


@given(
    centre=st.tuples(st.floats(-900, 1100), st.floats(-900, 1100)),
    side=st.floats(30, 400),
    angle=st.floats(-3, 3),
    crop_px=st.sampled_from([16, 64]),
)
@settings(max_examples=60, deadline=None)
def test_a_quad_anywhere_shows_only_colours_of_the_picture(centre, side, angle, crop_px):
    """Also with the frame wholly elsewhere: no black, no garbage, no error."""
    picture = np.full((120, 200, 3), (90, 140, 200), np.uint8)
    crop = align_crop(picture, square(centre, side, angle), crop_px=crop_px, supersample=2)
    assert crop.shape == (crop_px, crop_px, 3)
    assert crop.dtype == np.uint8
    assert np.abs(crop.astype(int) - (90, 140, 200)).max() <= 1


def test_over_the_border_the_picture_fades_without_an_edge():
    """Published: mirror, blur, median. Each row of the crop goes on over the border (column 32) without a step."""
    picture = skimage.data.astronaut()
    crop = align_crop(picture, square((-0.5, 200), 128), crop_px=64, supersample=4).astype(float)
    steps = np.abs(np.diff(crop.mean(axis=2), axis=1)).mean(axis=0)
    assert steps[30:33].max() < 2 * steps[34:].max()
    assert np.ptp(crop[:, 0].mean(axis=1)) < 0.5 * np.ptp(crop[:, 40].mean(axis=1))  # far out: nearly one colour
