"""Faces by the networks of the face-alignment library: four detectors, and 2DFAN-4's landmarks.

H, W height and width of a frame, C = 3 (RGB), N boxes of x0, y0, x1, y1. For small faces, profiles and crowds, which
dlib misses; on a CPU the landmarks of a face take 2 s. Weights are state dicts, read with torch's `weights_only=True`:
nothing in them is executed. They are looked for, and fetched once, by operators/models.
"""

import pickle
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from operators.faces.face import Face, faces_of
from operators.faces.fan_detectors import GetFile, make_detector
from operators.faces.fan_landmarks import FanLandmarks
from operators.faces.suppress import without_doubles
from operators.models.model_file import model_file
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings
from schemas.model_files import FAN_2D

_FRAMES_PER_PASS = 16  # on a GPU; 16 frames of 960 x 540 take S3FD 3 GB


class FaceAlignmentFinder:
    """FaceFinder, on a CPU or a GPU.

    Takes: `settings.fan_detector`; `settings.min_score` counts where it is stricter than the detector's own threshold;
    `frames_per_batch`, None: what is worth while on the device; `get_file`, where the file of a name lies.
    Raises: WrongUse when a weight file is missing, cannot be fetched, or is not what its name says.
    Not promised: equal bits on another device, or in another `frames_per_batch`.
    """

    def __init__(
        self,
        settings: FaceSettings,
        *,
        device: str = "cpu",
        frames_per_batch: int | None = None,
        get_file: GetFile = model_file,
    ):
        self.settings = settings
        # On a CPU a batch takes as long as its frames one by one, and alone their bits are exact.
        self.frames_per_batch = frames_per_batch or (1 if device == "cpu" else _FRAMES_PER_PASS)
        try:
            self.detector = make_detector(settings.fan_detector, device=device, get_file=get_file)
            self.fan = FanLandmarks(
                get_file(FAN_2D),
                box_scale=self.detector.box_scale,
                faces_per_pass=self.frames_per_batch,
                device=device,
            )
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, cv2.error) as err:
            reason = " ".join(str(err).split())[:200]
            raise WrongUse(f"weights of face-alignment cannot be read: {reason}; fetch the files again") from err

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[list[Face]]:
        found: list[list[Face]] = []
        for start in range(0, len(frames), self.frames_per_batch):
            found += self._batch(frames[start : start + self.frames_per_batch])
        return found

    def landmarks(self, rgb_HWC: NDArray[np.uint8], boxes_N4: NDArray[np.floating], /) -> NDArray[np.float32]:
        """Takes boxes as the detector of the settings draws them: each has its own idea of how large a face is."""
        return self.fan([rgb_HWC], [boxes_N4])[0]

    def _batch(self, frames: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        boxes, scores = [], []
        for boxes_N4, scores_N in self._detect(frames):
            kept = [i for i in without_doubles(boxes_N4, scores_N) if scores_N[i] >= self.settings.min_score]
            boxes.append(boxes_N4[kept])
            scores.append(scores_N[kept])
        return [faces_of(*of_frame) for of_frame in zip(boxes, scores, self.fan(frames, boxes), strict=True)]

    def _detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        height, width, _ = frames[0].shape
        shrink = max(1.0, max(height, width) / self.settings.detect_px)
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        if shrink > 1:
            frames = [cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA) for rgb_HWC in frames]
        per_pixel = np.array([width / size[0], height / size[1]] * 2)
        return [((boxes_N4 + 0.5) * per_pixel - 0.5, scores_N) for boxes_N4, scores_N in self.detector(frames)]
