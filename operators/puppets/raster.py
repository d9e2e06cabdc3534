"""Draw triangles into a z-buffer: which triangle each pixel sees, and where in it.

N vertices, M triangles, H, W height and width of the picture, P pixels that see something, A attributes of a vertex.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

_NO_AREA = 1e-6  # px^2: seen edge-on, no pixel centre lies inside


SeenFrom = Literal["outside", "inside", "both"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """Triangles with values at their corners."""

    triangles_M3: Ints
    attributes_NA: Floats
    seen_from: SeenFrom = "outside"
    there_N: Floats | None = None  # where it mixes to less than 0 there is a hole


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the pixels see that see anything."""

    pixel_P: Ints  # flat index into H x W, each at most once
    depth_P: Floats
    attributes_PA: Floats


@cache
def grid_triangles(n_rows: int, n_columns: int, *, closed: bool) -> Ints:
    """Two triangles for each cell of a grid of vertices; `closed` joins the last column to the first."""
    row, column = np.meshgrid(np.arange(n_rows - 1), np.arange(n_columns - (not closed)), indexing="ij")
    a = (row * n_columns + column).ravel()
    b = (row * n_columns + (column + 1) % n_columns).ravel()
    c, d = a + n_columns, b + n_columns
    return np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)]).astype(np.int32)


def rasterise(mesh: Mesh, xy_N2: Floats, depth_N: Floats, *, height: int, width: int) -> Seen:
    """The nearest triangle in each pixel, its corners' attributes mixed by the pixel centre's place in it.

    Takes: `xy_N2` the vertices in pixels (centres whole), `depth_N` their distance from the camera. Corners that
    follow each other clockwise on the screen are the inside. Attributes are mixed linearly on the screen: triangles
    are too small for the difference to show.
    """
    front = _turned(mesh, xy_N2)
    x_3M, y_3M = (np.ascontiguousarray(xy_N2[:, axis])[front.T] for axis in (0, 1))
    first_x, end_x = _range(x_3M, width)
    first_y, end_y = _range(y_3M, height)
    kept = np.flatnonzero((end_x > first_x) & (end_y > first_y))
    front = front[kept]
    (ax, bx, cx), (ay, by, cy) = x_3M[:, kept], y_3M[:, kept]
    first_x, first_y = first_x[kept], first_y[kept]
    wide, tall = end_x[kept] - first_x, end_y[kept] - first_y
    # every pixel of every triangle's rectangle, one after the other
    counts = wide * tall
    triangle = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    within = np.arange(len(triangle), dtype=np.int32) - (np.cumsum(counts, dtype=np.int32) - counts)[triangle]
    dy = within // wide[triangle]
    dx = within - dy * wide[triangle]
    # barycentric shares of b and c, as linear functions of the place in the rectangle
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    b_x, b_y, c_x, c_y = (cy - ay) / area, (ax - cx) / area, (ay - by) / area, (bx - ax) / area
    to_x, to_y = first_x.astype(np.float32) - ax, first_y.astype(np.float32) - ay
    b_0, c_0 = to_x * b_x + to_y * b_y, to_x * c_x + to_y * c_y
    x, y = dx.astype(np.float32), dy.astype(np.float32)
    b = b_0[triangle] + b_x[triangle] * x + b_y[triangle] * y
    c = c_0[triangle] + c_x[triangle] * x + c_y[triangle] * y
    inside = np.flatnonzero((b >= 0) & (c >= 0) & (b + c <= 1))
    if mesh.there_N is not None:
        at_a, at_b, at_c = (corner[triangle[inside]] for corner in mesh.there_N[front.T])
        inside = inside[at_a + b[inside] * (at_b - at_a) + c[inside] * (at_c - at_a) >= 0]
    b, c, triangle = b[inside], c[inside], triangle[inside]
    pixel = (first_y[triangle] + dy[inside]) * width + first_x[triangle] + dx[inside]
    depth_a, depth_b, depth_c = depth_N[front.T]
    depth = depth_a[triangle] + b * (depth_b - depth_a)[triangle] + c * (depth_c - depth_a)[triangle]
    nearest = np.full(height * width, np.inf, np.float32)
    np.minimum.at(nearest, pixel, depth)
    won = np.flatnonzero(depth == nearest[pixel])
    winner = np.full(height * width, -1, np.int32)
    winner[pixel[won]] = won  # equal depths on a shared edge: the later triangle, always the same one
    pixel_P = np.flatnonzero(winner >= 0).astype(np.int32)
    w = winner[pixel_P]
    corner_P3 = front[triangle[w]]
    b, c = b[w, None], c[w, None]
    values = mesh.attributes_NA
    mixed = values[corner_P3[:, 0]] * (1 - b - c) + values[corner_P3[:, 1]] * b + values[corner_P3[:, 2]] * c
    return Seen(pixel_P=pixel_P, depth_P=depth[w], attributes_PA=mixed)


def _turned(mesh: Mesh, xy_N2: Floats) -> Ints:
    """The triangles that turn the right side to the camera and are not edge-on."""
    a, b, c = mesh.triangles_M3.T
    x, y = np.ascontiguousarray(xy_N2.T)
    area_M = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
    shown_M = np.zeros(len(area_M), bool)
    if mesh.seen_from != "inside":
        shown_M |= area_M < -_NO_AREA
    if mesh.seen_from != "outside":
        shown_M |= area_M > _NO_AREA
    if mesh.there_N is not None:
        shown_M &= (mesh.there_N >= 0)[mesh.triangles_M3].any(axis=1)
    return mesh.triangles_M3[shown_M]


def _range(values_3M: Floats, size: int) -> tuple[Ints, Ints]:
    """First pixel and end along one side of the triangles' rectangles, inside the picture."""
    a, b, c = values_3M
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    first = np.clip(np.ceil(low), 0, size).astype(np.int32)
    return first, np.clip(np.floor(high) + 1, 0, size).astype(np.int32)
