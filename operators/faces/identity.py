"""Who faces are, read by dlib itself from whole frames. No torch: importing it costs a face worker seconds and 300 MB.

H, W height and width of a frame, C = 3 (RGB), N faces of 68 landmarks, 128 numbers of an identity.
Network: see `operators.faces.dlib_embedder`, which is the same one in torch, for gradients.
"""

import dlib
import numpy as np
from numpy.typing import NDArray

from operators.faces.dlib_network_file import network_path

N_IDENTITY = 128


class IdentityReader:
    """Faces of one frame -> identities, on the CPU. Two pictures of one person lie less than 0.6 apart (King 2017).

    Takes: (H, W, 3) uint8 RGB; (N, 68, 2) landmarks in pixels of the frame, iBUG order, which may lie outside it.
    Gives: (N, 128) float32, in the order of the landmarks; none for none. dlib cuts its own chips of 150 px, out of the
        frame with what is around the face.
    Raises: WrongUse when the network's file is absent.
    Not promised: sense where a landmark is filled in or a face is turned far: average over a track. That a landmark is
        kept to less than a pixel: dlib's points are whole numbers.
    """

    def __init__(self) -> None:
        self._network = dlib.face_recognition_model_v1(str(network_path()))

    def __call__(self, rgb_HWC: NDArray[np.uint8], landmarks_N682: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(landmarks_N682):
            return np.empty((0, N_IDENTITY), np.float32)
        shapes = dlib.full_object_detections([_shape(points_682) for points_682 in landmarks_N682])
        found = self._network.compute_face_descriptor(np.ascontiguousarray(rgb_HWC), shapes)
        return np.array(found, np.float32)


def _shape(points_682: NDArray[np.float32]) -> dlib.full_object_detection:
    points = [dlib.point(*point) for point in np.rint(points_682).astype(int).tolist()]
    return dlib.full_object_detection(dlib.rectangle(), points)  # chips are cut by the points alone
