"""Sharpness: blur lowers it, size and light do not."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data

from operators.faces.sharpness import sharpness_of

PICTURE = skimage.data.astronaut()
X0, Y0, X1, Y1 = 176, 70, 270, 172  # of the face
CORNERS = np.array([(X0, Y0), (X1, Y1)], np.float32)


def seen(picture, scale=1.0):
    """At another size."""
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    points = np.resize((CORNERS + 0.5) * scale - 0.5, (68, 2)).astype(np.float32)
    return sharpness_of(cv2.resize(picture, size, interpolation=way), points)


def test_blur_lowers_it():
    blurred = [seen(cv2.GaussianBlur(PICTURE, (0, 0), share * (X1 - X0))) for share in (0.01, 0.02, 0.04)]
    values = [seen(PICTURE), *blurred]
    assert all(a > 1.5 * b for a, b in pairwise(values))
    assert values[0] > 0.15 and values[2] < 0.1  # what schemas/config.py says of 0.1


@pytest.mark.parametrize("blur", [0.01, 0.02])
@pytest.mark.parametrize("scale", [0.75, 1.5, 3.0])
def test_size_does_not_matter(scale, blur):
    picture = cv2.GaussianBlur(PICTURE, (0, 0), blur * (X1 - X0))
    assert seen(picture, scale) == pytest.approx(seen(picture), rel=0.2)


def test_light_does_not_matter():
    assert seen((PICTURE * 0.4).astype(np.uint8)) == pytest.approx(seen(PICTURE), rel=0.05)


@pytest.mark.parametrize(
    "picture", [pytest.param(np.full_like(PICTURE, 9), id="one_colour"), pytest.param(PICTURE[:40], id="outside")]
)
def test_nothing_to_see(picture):
    assert sharpness_of(picture, np.resize(CORNERS, (68, 2))) == 0
