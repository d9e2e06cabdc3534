"""Faces in the frames between two detections.

H, W height and width of a frame, C = 3 (RGB), K frames from a detection to the next, both included.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from operators.faces.face import Face, FaceFinder, faces_of
from operators.faces.flow import Place, moved_on, patch_of
from operators.faces.nearness import FORBIDDEN, nearness
from operators.faces.sighting import landmark_box
from operators.faces.suppress import without_doubles

# A face that was carried, not detected, is half as sure as the less sure of the detections that it hangs on.
CARRIED = 0.5
ALIKE_MIN = 0.7  # correlation with the face where it was detected; 0.9 and more while it speaks, below 0.5 once covered


def carried_between(
    finder: FaceFinder, frames: Sequence[NDArray[np.uint8]], first: Sequence[Face], last: Sequence[Face]
) -> list[list[Face]]:
    """The faces of the frames between, best score first.

    Takes: K frames of one shot, and the faces detected in the first and the last of them. A face of the first is moved
    on by optical flow, frame by frame. Where it arrives at a face of the last, it is confirmed: what it is off by is
    taken out evenly on the way. Where it does not, it ends with the last frame in which it still looks like itself; a
    face of the last that nobody arrives at is followed back to its first frame in the same way. Landmarks are read anew
    in each frame, so errors do not add up. Gives: K - 2 lists; scores are those of the detections, times CARRIED.
    """
    n = len(frames)
    onwards = [_path(_place(face), frames) for face in first]
    backwards: dict[int, list[Place]] = {}
    arrived = _arrivals(onwards, last, n)
    found: list[list[tuple[NDArray[np.float64], float]]] = [[] for _ in range(n)]
    for i, (face, path) in enumerate(zip(first, onwards, strict=True)):
        if i in arrived:
            goal = last[arrived[i]]
            off_4 = np.array(goal.box) - path[-1].box_4
            for k in range(1, n - 1):
                found[k].append((path[k].box_4 + off_4 * k / (n - 1), CARRIED * min(face.score, goal.score)))
        else:
            for k in range(1, _alike(path, frames)):
                found[k].append((path[k].box_4, CARRIED * face.score))
    for j, face in enumerate(last):
        if j not in arrived.values():
            backwards[j] = _path(_place(face), frames[::-1])
            for k in range(1, _alike(backwards[j], frames[::-1])):
                found[n - 1 - k].append((backwards[j][k].box_4, CARRIED * face.score))
    return [_faces_in(finder, frame, boxes) for frame, boxes in zip(frames[1:-1], found[1:-1], strict=True)]


def _place(face: Face) -> Place:
    return Place(points_682=face.landmarks_682, box_4=np.array(face.box, np.float64))


def _path(start: Place, frames: Sequence[NDArray[np.uint8]]) -> list[Place]:
    """From the first frame on, as far as the flow is sure."""
    path = [start]
    for before, after in pairwise(frames):
        following = moved_on(path[-1], before, after)
        if following is None:
            break
        path.append(following)
    return path


def _arrivals(paths: Sequence[list[Place]], last: Sequence[Face], n: int) -> dict[int, int]:
    """For each path that ends at a face of the last frame, that face."""
    whole = [i for i, path in enumerate(paths) if len(path) == n]
    if not whole or not last:
        return {}
    boxes = [landmark_box(face.landmarks_682) for face in last]
    cost = np.array([[nearness(landmark_box(paths[i][-1].points_682), box) for box in boxes] for i in whole])
    pairs = zip(*linear_sum_assignment(cost), strict=True)
    return {whole[a]: int(j) for a, j in pairs if cost[a, j] < FORBIDDEN}


def _alike(path: list[Place], frames: Sequence[NDArray[np.uint8]]) -> int:
    """How many places from the first on still look like the first."""
    itself = patch_of(frames[0], path[0].points_682)
    for k, (place, frame) in enumerate(zip(path, frames, strict=False)):
        if float(itself @ patch_of(frame, place.points_682)) < ALIKE_MIN:
            return k
    return len(path)


def _faces_in(
    finder: FaceFinder, rgb_HWC: NDArray[np.uint8], found: Sequence[tuple[NDArray[np.float64], float]]
) -> list[Face]:
    boxes_N4 = np.array([box for box, _ in found], np.float64).reshape(-1, 4)
    scores_N = np.array([score for _, score in found], np.float64)
    kept = without_doubles(boxes_N4, scores_N)
    return faces_of(boxes_N4[kept], scores_N[kept], finder.landmarks(rgb_HWC, boxes_N4[kept]))
