"""Faces by dlib: HOG detector (Dalal & Triggs 2005) and 68 regression trees (Kazemi & Sullivan 2014).

H, W height and width of a frame, C = 3 (RGB), N boxes. Nothing is downloaded: the package face_recognition_models
brings the predictor that aligned FFHQ itself.
"""

import importlib.util
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from operators.faces.face import Face
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

    def __init__(self, settings: FaceSettings):
        self.settings = settings
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(predictor_path()))

    def __call__(self, rgb_HWC: NDArray[np.uint8]) -> list[Face]:
        """Takes (H, W, 3) uint8 RGB; gives faces, best score first."""
        rgb_HWC = np.ascontiguousarray(rgb_HWC)
        boxes_N4, scores_N = self._detect(rgb_HWC)
        large = (boxes_N4[:, 2:] - boxes_N4[:, :2]).min(axis=1, initial=np.inf) >= self.settings.min_face_px
        boxes_N4, scores_N = boxes_N4[large], scores_N[large]
        return [
            Face(
                box=(float(x0), float(y0), float(x1), float(y1)),
                landmarks_682=self._landmarks(rgb_HWC, boxes_N4[i]),
                score=float(scores_N[i]),
            )
            for i in without_doubles(boxes_N4, scores_N)
            for x0, y0, x1, y1 in [boxes_N4[i]]
        ]

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

    def _landmarks(self, rgb_HWC: NDArray[np.uint8], box_4: NDArray[np.float64]) -> NDArray[np.float32]:
        left, top, right, bottom = np.rint(box_4 + 0.5).astype(int)  # edges again, on the full frame
        shape = self.predictor(rgb_HWC, dlib.rectangle(int(left), int(top), int(right) - 1, int(bottom) - 1))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float32)
