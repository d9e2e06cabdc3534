"""Faces by the face-alignment library: S3FD or BlazeFace boxes, 2DFAN-4 landmarks (Bulat & Tzimiropoulos 2017).

H, W height and width of a frame, C = 3 (RGB), N boxes of x0, y0, x1, y1. For small faces and profiles, which dlib
misses; on a CPU a face takes 2 s, and S3FD another 5 s a frame. Weights are state dicts, read with torch's
`weights_only=True`: nothing in them is executed. They come from the folder LATENTREEL_MODELS; where that is not set,
from the cache of torch.hub, which the library fills by a download.
"""

import os
import pickle
import urllib.error
from collections.abc import Sequence
from pathlib import Path

import cv2
import face_alignment
import face_alignment.api
import numpy as np
import torch
from face_alignment.detection.blazeface import blazeface_detector
from face_alignment.detection.sfd import sfd_detector
from face_alignment.models import FAN
from face_alignment.utils import load_file_from_url
from numpy.typing import NDArray

from operators.faces.face import N_LANDMARKS, Face, faces_of
from operators.faces.suppress import without_doubles
from schemas.config import FaceSettings
from schemas.embedded import MODELS
from schemas.errors import WrongUse

S3FD_SCORE_MIN = 0.5  # the library's own
BLAZEFACE_SCORE_MIN = 0.65  # of the back-camera model's authors; the library's 0.5 is meant for the front camera's
FAN_MODULES = 4  # 2DFAN-4: the number of stacked hourglasses


def weight_file(url: str) -> Path:
    """Where the weights lie that the library would load from `url`.

    Raises: WrongUse when LATENTREEL_MODELS does not hold the file, or when it is not set and cannot be downloaded.
    """
    name = Path(url.partition("?")[0]).name
    if folder := os.environ.get(MODELS):
        path = Path(folder) / name
        if not path.is_file():
            raise WrongUse(f"{name} is not in {MODELS}={folder}; put it there, or unset {MODELS} to download it")
        return path
    try:
        return Path(load_file_from_url(url))
    except (urllib.error.URLError, TimeoutError) as err:
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        raise WrongUse(
            f"{name} is not in {cache} and cannot be downloaded ({err}); put it into a folder and set {MODELS} to it"
        ) from err


class _LocalFaceAlignment(face_alignment.FaceAlignment):  # type: ignore[misc]  # the library has no types
    """The library's pipeline, except that the landmark network is read from where `weight_file` says."""

    def _load_native(self, network_name: str, network_size: int, device: str, dtype: torch.dtype) -> torch.nn.Module:
        path = weight_file(face_alignment.api.models_urls[network_name])
        net: torch.nn.Module = FAN(network_size)
        net.load_state_dict(torch.load(path, map_location=device, weights_only=True))
        return net.to(device, dtype=dtype).eval()


class FaceAlignmentFinder:
    """FaceFinder, on a CPU or a GPU.

    Takes: `settings.fan_detector`; `settings.min_score` counts where it is stricter than the detector's own threshold.
    Raises: WrongUse when a weight file is missing or is not what its name says.
    Not promised: landmarks finer than whole pixels (the library rounds them); equal bits on another device.
    """

    frames_per_batch = 1

    def __init__(self, settings: FaceSettings, *, device: str = "cpu"):
        self.settings = settings
        detector_kwargs = _blazeface_files() if settings.fan_detector == "blazeface" else _s3fd_files()
        try:
            self.library = _LocalFaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                network_size=FAN_MODULES,
                device=device,
                face_detector="blazeface" if settings.fan_detector == "blazeface" else "sfd",
                face_detector_kwargs=detector_kwargs,
                compile=False,  # needs a C++ compiler on the worker and minutes on the first frame
            )
        except (RuntimeError, pickle.UnpicklingError, EOFError) as err:
            reason = " ".join(str(err).split())[:200]
            raise WrongUse(f"weights of face-alignment cannot be read: {reason}; fetch the files again") from err

    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[list[Face]]:
        return [self._faces(rgb_HWC) for rgb_HWC in frames]

    def landmarks(self, rgb_HWC: NDArray[np.uint8], boxes_N4: NDArray[np.floating], /) -> NDArray[np.float32]:
        """Takes boxes as the detector of the settings draws them: each has its own idea of how large a face is."""
        if len(boxes_N4) == 0:  # the library warns and gives None
            return np.empty((0, N_LANDMARKS, 2), np.float32)
        return np.array(self.library.get_landmarks_from_image(rgb_HWC, detected_faces=list(boxes_N4)), np.float32)

    def _faces(self, rgb_HWC: NDArray[np.uint8]) -> list[Face]:
        boxes_N4, scores_N = self._detect(rgb_HWC)
        enough = scores_N >= self.settings.min_score
        boxes_N4, scores_N = boxes_N4[enough], scores_N[enough]
        kept = without_doubles(boxes_N4, scores_N)
        return faces_of(boxes_N4[kept], scores_N[kept], self.landmarks(rgb_HWC, boxes_N4[kept]))

    def _detect(self, rgb_HWC: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        height, width, _ = rgb_HWC.shape
        shrink = max(1.0, max(height, width) / self.settings.detect_px)
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        small_HWC = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA) if shrink > 1 else rgb_HWC
        if self.settings.fan_detector == "blazeface":
            small_HWC = _squared(small_HWC)
        found = np.array(self.library.face_detector.detect_from_image(small_HWC), np.float64).reshape(-1, 5)
        per_pixel = np.array([width / size[0], height / size[1]] * 2)
        return (found[:, :4] + 0.5) * per_pixel - 0.5, found[:, 4]


def _s3fd_files() -> dict[str, object]:
    path = weight_file(sfd_detector.models_urls["s3fd"])
    return {"path_to_detector": str(path), "filter_threshold": S3FD_SCORE_MIN}


def _blazeface_files() -> dict[str, object]:
    """The back-camera model: 256 px, so faces may be half as large as for the front-camera one."""
    weights = weight_file(blazeface_detector.models_urls["blazeface_back_weights"])
    anchors = weight_file(blazeface_detector.models_urls["blazeface_back_anchors"])
    return {
        "path_to_detector": str(weights),
        "path_to_anchor": str(anchors),
        "back_model": True,
        "min_score_thresh": BLAZEFACE_SCORE_MIN,
    }


def _squared(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With black at the right or below: the library looks only at the middle square of a wide picture."""
    height, width, _ = rgb_HWC.shape
    square = np.zeros((max(height, width), max(height, width), 3), np.uint8)
    square[:height, :width] = rgb_HWC
    return square
