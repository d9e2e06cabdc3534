"""Faces by dlib: HOG detector (Dalal & Triggs 2005) and 68 regression trees (Kazemi & Sullivan 2014).

H, W height and width of a frame, C = 3 (RGB), N boxes. Nothing is downloaded: the package face_recognition_models
brings the predictor that aligned FFHQ itself.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from operators.faces.enlarge import View, views
from operators.faces.face import N_LANDMARKS, Face, faces_of
from operators.faces.suppress import without_doubles
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings

_LANDMARK_PX = 300  # of a face where its points are sought. 400 and 800: a resting quad as still, the chin farther off
_PATCH_MARGIN = 1.0  # of the box's width, around it: beyond what the predictor looks at, also where its guess is off
PREDICTOR = "shape_predictor_68_face_landmarks.dat"


def predictor_path() -> Path:
    """The predictor's file. The package that carries it is located, not imported: its __init__ needs an old setuptools.

    Raises: WrongUse when the package or the file is absent.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        path = Path(folder) / "models" / PREDICTOR
        if path.is_file():
            return path
    raise WrongUse(f"{PREDICTOR} is not installed; run `pip install face_recognition_models`, or use face-alignment")


# Of the box, in which the points are read; their mean counts. The trees branch on differences of single pixels, so a
# read jumps with the noise; with three, a resting quad strays by up to half less (talk_d10: 0.17 instead of 0.34 % of
# its side, once smoothed) and a moving one lies 3 % nearer to the truth, for 3 to 4 ms a face.
_SCALES = (0.96, 1.0, 1.04)


class DlibFinder:
    """FaceFinder on the CPU, one thread. Faces below 80 px in the picture that the detector sees are not found.

    Takes: `settings.detect_px`, to which a larger picture is reduced; `settings.smallest_px`, for which it is enlarged.
    Not promised: profiles (beyond about 45 degrees the detector loses the face; the tracker bridges short losses).
    """

    frames_per_batch = 1

    def __init__(self, settings: FaceSettings):
        self.settings = settings
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(predictor_path()))

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[list[Face]]:
        """One frame after another: equal bits whatever the batch."""
        return [self._faces(np.ascontiguousarray(rgb_HWC)) for rgb_HWC in frames]

    def landmarks(self, rgb_HWC: NDArray[np.uint8], boxes_N4: NDArray[np.floating], /) -> NDArray[np.float32]:
        """Takes boxes of about dlib's own shape: a square from the brows to below the lip, as wide as the face."""
        points = [self._points(rgb_HWC, np.asarray(box_4, np.float64)) for box_4 in boxes_N4]
        return np.array(points, np.float32).reshape(-1, N_LANDMARKS, 2)

    def _faces(self, rgb_HWC: NDArray[np.uint8]) -> list[Face]:
        height, width, _ = rgb_HWC.shape
        found = [self._detect(rgb_HWC, view) for view in views(height, width, self.settings)]
        boxes_N4, scores_N = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = without_doubles(boxes_N4, scores_N)
        return faces_of(boxes_N4[kept], scores_N[kept], self.landmarks(rgb_HWC, boxes_N4[kept]))

    def _detect(self, rgb_HWC: NDArray[np.uint8], view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        picture = view.picture(rgb_HWC)
        found, scores, _ = self.detector.run(picture, 0, self.settings.min_score)
        # dlib's rectangles include their last pixel: right + 1 is the outer edge of the box
        edges_N4 = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found], np.float64)
        boxes_N4 = view.in_frame(edges_N4.reshape(-1, 4), picture.shape)
        whole = view.shows_whole(boxes_N4, rgb_HWC.shape)
        return boxes_N4[whole], np.array(scores, np.float64)[whole]

    def _points(self, rgb_HWC: NDArray[np.uint8], box_4: NDArray[np.float64]) -> NDArray[np.float64]:
        """In an enlarged patch, since dlib gives whole pixels and compares single ones.

        A photograph's face at 32 px: points 0.6 % of its width from those of the same face seen large, in place of
        1.4 % (at 400 px); with the noise of a camera (3 grey levels) a quad that jumps by 0.14 % of its side, in place
        of 0.60 %; at 120 px by 0.10 and 0.23 %.
        """
        size = float(np.max(box_4[2:] - box_4[:2]))
        height, width, _ = rgb_HWC.shape
        low = np.floor(np.clip(box_4[:2] - _PATCH_MARGIN * size, 0, (width - 1, height - 1))).astype(int)
        high = np.ceil(np.clip(box_4[2:] + _PATCH_MARGIN * size + 1, low + 1, (width, height))).astype(int)
        patch = np.ascontiguousarray(rgb_HWC[low[1] : high[1], low[0] : high[0]])
        times = 1.0
        if size < _LANDMARK_PX:
            times = _LANDMARK_PX / max(size, 1.0)
            patch = cv2.resize(patch, None, fx=times, fy=times, interpolation=cv2.INTER_LINEAR)
        edges_4 = (box_4 + 0.5 - np.tile(low, 2)) * times
        points_682 = np.mean([self._read(patch, edges_4, scale) for scale in _SCALES], axis=0)
        in_frame: NDArray[np.float64] = (points_682 + 0.5) / times - 0.5 + low
        return in_frame

    def _read(self, patch: NDArray[np.uint8], edges_4: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
        """The points in a box that is `scale` times as large around the same middle."""
        grown_4 = edges_4 + np.repeat([1, -1], 2) * (1 - scale) / 2 * np.tile(edges_4[2:] - edges_4[:2], 2)
        left, top, right, bottom = np.rint(grown_4).astype(int).tolist()
        shape = self.predictor(patch, dlib.rectangle(left, top, right - 1, bottom - 1))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float64)
