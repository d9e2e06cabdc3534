"""Where a head stands, how it is turned, and where its points fall in the picture.

World coordinates: millimetres, x right, y down, z towards the camera, which looks along -z from (0, 0, distance).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.puppets.parameters import Pose

Floats = NDArray[np.float32]

PIVOT = np.array([0.0, 70.0, -12.0], np.float32)  # in the head: the neck's upper end, about which heads turn


def rotation_of(pose: Pose) -> Floats:
    """(3, 3) head to world: nod, then turn, then tilt."""
    yaw, pitch, roll = np.deg2rad([pose.yaw, pose.pitch, pose.roll])
    nod = [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    turn = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    tilt = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    return np.asarray(np.array(tilt) @ np.array(turn) @ np.array(nod), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stand:
    """A rigid thing's place in the world."""

    rotation_33: Floats
    pivot_3: Floats  # in the thing's own coordinates
    place_3: Floats  # of the pivot, in the world

    def to_world(self, xyz_N3: Floats) -> Floats:
        return np.asarray((xyz_N3 - self.pivot_3) @ self.rotation_33.T + self.place_3, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A pinhole, and a similarity that lays its picture into pixels (centres whole)."""

    distance_mm: float
    to_pixels_23: Floats  # takes (x / depth, y / depth, 1)

    @staticmethod
    def straight(*, distance_mm: float, focal_px: float, centre: tuple[float, float]) -> "Camera":
        """Upright, the axis at pixel `centre`."""
        matrix = np.array([[focal_px, 0, centre[0]], [0, focal_px, centre[1]]], np.float32)
        return Camera(distance_mm=distance_mm, to_pixels_23=matrix)

    def project(self, world_N3: Floats) -> tuple[Floats, Floats]:
        """Pixels (N, 2) and depth (N,) of points."""
        depth_N = np.float32(self.distance_mm) - world_N3[:, 2]
        plane_N2 = world_N3[:, :2] / depth_N[:, None]
        return plane_N2 @ self.to_pixels_23[:, :2].T + self.to_pixels_23[:, 2], depth_N

    def enlarged(self, times: int) -> "Camera":
        """The same view in a picture `times` as fine: pixels keep their outer edges, not their centres."""
        matrix = self.to_pixels_23 * np.float32(times)
        matrix[:, 2] += (times - 1) / 2
        return Camera(distance_mm=self.distance_mm, to_pixels_23=matrix)

    @property
    def px_per_mm(self) -> float:
        """Of a thing at the world's origin."""
        return float(np.hypot(*self.to_pixels_23[:, 0])) / self.distance_mm
