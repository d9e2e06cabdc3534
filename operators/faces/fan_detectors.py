"""The detectors of the face-alignment library, each from several frames to boxes and scores.

H, W height and width of the frames, C = 3 (RGB), N boxes of x0, y0, x1, y1 in pixels, as `Face.box`.

The library's own batch functions are used where they do in one pass what they promise: S3FD's and BlazeFace's do.
RetinaFace's looks at one frame after another, and YuNet's too, which runs in OpenCV on the CPU wherever the rest runs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from face_alignment.detection.blazeface import FaceDetector as BlazeFaceDetector
from face_alignment.detection.sfd import FaceDetector as SfdDetector
from face_alignment.detection.yunet import FaceDetector as YuNetDetector
from numpy.typing import NDArray

from operators.faces.retinaface import RetinaFaceDetector
from schemas.model_files import BLAZEFACE, BLAZEFACE_ANCHORS, RETINAFACE, S3FD, YUNET

Found = tuple[NDArray[np.float64], NDArray[np.float64]]  # (N, 4) boxes, (N,) scores in [0, 1]
GetFile = Callable[[str], Path]

_S3FD_SCORE_MIN = 0.5  # the library's own
_BLAZEFACE_SCORE_MIN = 0.65  # of the back-camera model's authors; the library's 0.5 is meant for the front camera's
# The faces of 23 frames with one face score 0.91 and more; with 0.5 nothing else is seen there nor on 12 faceless
# frames. Small faces of a street score less: with 0.8 it finds 13 in three frames, with this 20.
_YUNET_SCORE_MIN = 0.6
_NMS_MAX = 0.3  # of YuNet, the library's own; `without_doubles` is stricter only about boxes inside others


class Detector(Protocol):
    """What finds boxes. Raises, when it is made, whatever reading its weights raises."""

    box_scale: int  # a window of 200 for the landmarks is `width + height` over this: boxes differ in what they take in

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[Found]:
        """Takes frames of one size, (H, W, 3) uint8 RGB, in one pass."""


def make_detector(name: str, *, device: str, get_file: GetFile) -> Detector:
    """The detector `name` of `FaceSettings.fan_detector`, its weights where `get_file` says."""
    if name == "s3fd":
        return _S3fd(get_file(S3FD), device=device)
    if name == "blazeface":
        return _BlazeFace(get_file(BLAZEFACE), get_file(BLAZEFACE_ANCHORS), device=device)
    if name == "retinaface":
        return RetinaFaceDetector(get_file(RETINAFACE), device=device)
    return _YuNet(get_file(YUNET))


class _S3fd:
    """Zhang et al. 2017, arXiv:1708.05237. Finds faces from about 16 px; 5 s a frame on a CPU."""

    def __init__(self, path: Path, *, device: str) -> None:
        self.library = SfdDetector(device, path_to_detector=str(path), filter_threshold=_S3FD_SCORE_MIN)
        self.box_scale: int = self.library.reference_scale

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[Found]:
        batch_NCHW = torch.from_numpy(np.stack(frames).transpose(0, 3, 1, 2))
        return [_found(rows) for rows in self.library.detect_from_batch(batch_NCHW)]


class _BlazeFace:
    """Bazarevsky et al. 2019, arXiv:1907.05047. The back-camera model: it sees 256 px."""

    def __init__(self, path: Path, anchors: Path, *, device: str) -> None:
        self.library = BlazeFaceDetector(
            device,
            back_model=True,
            path_to_detector=str(path),
            path_to_anchor=str(anchors),
            min_score_thresh=_BLAZEFACE_SCORE_MIN,
        )
        self.box_scale: int = self.library.reference_scale

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[Found]:
        batch_NCHW = np.stack([_squared(rgb_HWC) for rgb_HWC in frames]).transpose(0, 3, 1, 2)
        return [_found(rows) for rows in self.library.detect_from_batch(batch_NCHW)]


class _YuNet:
    """Wu et al. 2023, doi:10.1007/s11633-023-1423-y. Finds faces from about 10 px."""

    def __init__(self, path: Path) -> None:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns that targets are not supported yet
        try:
            self.library: Any = YuNetDetector(
                "cpu", path_to_detector=str(path), score_threshold=_YUNET_SCORE_MIN, nms_threshold=_NMS_MAX
            )
        finally:
            cv2.utils.logging.setLogLevel(level)
        self.box_scale: int = self.library.reference_scale

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[Found]:
        return [_found(self.library.detect_from_image(rgb_HWC)) for rgb_HWC in frames]


def _found(rows: Any) -> Found:
    """Rows of x0, y0, x1, y1, score from outer edge to outer edge; the library has none as a list or an array."""
    rows_N5 = np.array(rows, np.float64).reshape(-1, 5)
    return rows_N5[:, :4] - 0.5, rows_N5[:, 4]


def _squared(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With black at the right or below: the library looks only at the middle square of a wide picture."""
    height, width, _ = rgb_HWC.shape
    square = np.zeros((max(height, width), max(height, width), 3), np.uint8)
    square[:height, :width] = rgb_HWC
    return square
