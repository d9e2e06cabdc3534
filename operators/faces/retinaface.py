"""RetinaFace (Deng et al. 2019, arXiv:1905.00641) with MobileNet 0.25, in the network of the face-alignment library.

N frames of height H and width W, C = 3 (RGB), A anchors.

The weights are those of biubug6/Face-Detector-1MB-with-landmark. They load strictly into the library's network and
find nonsense in it, since it was written for weights of the same name and shape that were trained otherwise: with
slopes of 0.1 where these have ReLU, and with anchors 1.6 to 2 times as large. Both are set here. On 20 frames of real
films, longer side 640, and 12 faceless ones, at a score of 0.5: with the library's slopes and anchors, boxes overlap
those of the landmarks by 0.21 (IoU) and 34 faces are seen where none is; with these, by 0.72, and none is seen.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from face_alignment.detection.retinaface import FaceDetector as LibraryDetector
from face_alignment.detection.retinaface.box_utils import decode
from face_alignment.detection.retinaface.net_retinaface import RetinaFace, cfg_mnet
from face_alignment.detection.retinaface.prior_box import PriorBox
from numpy.typing import NDArray
from torch import Tensor, nn

_CONFIG = cfg_mnet | {"min_sizes": [[10, 20], [32, 64], [128, 256]]}  # px, two for each of the strides 8, 16 and 32
_MEANS_BGR = (104.0, 117.0, 123.0)  # of the training; the library takes RGB for BGR
# The faces of 23 frames with one face score 1.00; what else it sees there, in a blurred background, up to 0.82. Small
# faces of a street score less: with 0.5, which its authors take, it finds 19 in three frames, with this 15.
_SCORE_MIN = 0.85


class RetinaFaceDetector:
    """Several frames in one pass -> boxes and scores of each, doubles among them. Finds faces from about 16 px.

    Takes: the path of a state dict, read without executing anything in it.
    """

    box_scale: int = LibraryDetector.reference_scale.fget(None)

    def __init__(self, path: Path, *, device: str) -> None:
        net = RetinaFace(cfg_mnet)
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        for layer in net.modules():
            if isinstance(layer, nn.LeakyReLU):
                layer.negative_slope = 0.0
        self.net = net.to(device).eval()
        self.device = device
        self._anchors: tuple[tuple[int, int], Tensor] | None = None

    @torch.inference_mode()
    def __call__(self, frames: Sequence[NDArray[np.uint8]], /) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        rgb_NHWC = torch.from_numpy(np.stack(frames)).to(self.device)
        means = torch.tensor(_MEANS_BGR, device=self.device)
        bgr_NCHW = (rgb_NHWC.flip(-1).float() - means).permute(0, 3, 1, 2)
        offsets_NA4, probabilities_NA2, _ = self.net(bgr_NCHW)
        height, width, _ = frames[0].shape
        anchors_A4 = self._anchors_of(height, width)
        found = []
        for offsets_A4, scores_A in zip(offsets_NA4, probabilities_NA2[:, :, 1], strict=True):
            enough = scores_A >= _SCORE_MIN
            boxes = decode(offsets_A4[enough], anchors_A4[enough], _CONFIG["variance"]).double().cpu().numpy()
            boxes = boxes * np.array([width, height, width, height]) - 0.5  # from outer edges of 0 to 1
            found.append((boxes, scores_A[enough].double().cpu().numpy()))
        return found

    def _anchors_of(self, height: int, width: int) -> Tensor:
        """Kept for the next frames: the library makes them one by one, 30 ms for a frame of 960 x 540."""
        size = (height, width)
        if self._anchors is None or self._anchors[0] != size:
            self._anchors = (size, PriorBox(_CONFIG, image_size=size).forward().to(self.device))
        return self._anchors[1]
