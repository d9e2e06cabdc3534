"""What stands behind the actors: rooms out of focus, and a landscape for shots without a face. H, W of the picture."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.puppets.light import GAMMA

Floats = NDArray[np.float32]

_MARGIN = 1.5  # a set is so much larger than the picture: the camera moves over it


@lru_cache(maxsize=4)  # a scene is drawn frame by frame, and two sets may alternate
def room(seed: int, height: int, width: int) -> Floats:
    """Linear RGB of a wall with furniture, blurred as by a portrait lens; larger than the picture."""
    chance = np.random.default_rng([seed, 7])
    tall, wide = round(height * _MARGIN), round(width * _MARGIN)
    wall = chance.uniform(0.25, 0.6) + chance.uniform(-0.08, 0.08, 3)
    picture = np.ones((tall, wide, 3), np.float32) * wall.astype(np.float32)
    picture *= np.linspace(1.15, 0.7, tall, dtype=np.float32)[:, None, None]
    for _ in range(9):
        x, w = chance.uniform(-0.1, 1.0) * wide, chance.uniform(0.06, 0.22) * wide
        y, h = chance.uniform(-0.1, 0.9) * tall, chance.uniform(0.15, 0.6) * tall
        colour = np.clip(wall * chance.uniform(0.4, 1.5) + chance.uniform(-0.07, 0.07, 3), 0.02, 0.95)
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour.tolist(), -1)
    for _ in range(3):
        place = (int(chance.uniform(0, 1) * wide), int(chance.uniform(0, 0.5) * tall))
        cv2.circle(picture, place, int(chance.uniform(0.02, 0.05) * wide), (0.95, 0.88, 0.7), -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.011 * wide) ** np.float32(GAMMA), np.float32)


def room_seen(seed: int, height: int, width: int, *, dx: float, dy: float, zoom: float) -> Floats:
    """(H, W, 3) linear RGB: the room shifted by dx, dy pixels and enlarged about the picture's middle."""
    picture = room(seed, height, width)
    middle = (picture.shape[1] / 2 - 0.5, picture.shape[0] / 2 - 0.5)
    matrix = np.array(
        [[zoom, 0, width / 2 - 0.5 + dx - zoom * middle[0]], [0, zoom, height / 2 - 0.5 + dy - zoom * middle[1]]]
    )
    seen: Floats = cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return seen


def landscape_seen(seed: int, height: int, width: int, *, dx: float) -> Floats:
    """(H, W, 3) linear RGB: sky, sun and hills; the near ones move by dx pixels, the far ones less."""
    chance = np.random.default_rng([seed, 8])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    sky = np.array([0.25, 0.38, 0.62], np.float32) + y[..., None] * np.array([0.75, 0.42, 0.05], np.float32)
    sun = np.exp(-((np.hypot(x - 1.15 - 0.05 * dx / height, y - 0.36) / 0.10) ** 4))[..., None]
    picture = sky + sun * np.array([0.4, 0.4, 0.3], np.float32)
    for layer in range(4):
        near = (layer + 1) / 4
        along = x - near * dx / height
        phase, rate = chance.uniform(0, 6.28, 4), chance.uniform(2, 4, 4) * np.array([1, 2.1, 4.3, 9.0])
        ridge = 0.42 + 0.13 * layer
        for p, r, size in zip(phase, rate, (0.07, 0.035, 0.014, 0.006), strict=True):
            ridge = ridge + size * np.sin(r * along + p)
        cover = np.clip((y - ridge) * height / 1.5 + 0.5, 0, 1)[..., None]
        hill = np.array([0.30, 0.36, 0.42]) * (1 - near) + np.array([0.06, 0.12, 0.07]) * near
        picture = picture + cover * (hill.astype(np.float32) - picture)
    return np.asarray(np.clip(picture, 0, 1).astype(np.float32) ** np.float32(GAMMA), np.float32)
