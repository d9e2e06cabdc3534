"""The registry of weights that others publish and latentreel can use: where they come from and how they are told.

None of them is shipped. What data they were trained on is not covered by the licences named here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One published file. `sha256` is what makes it this file: names and addresses are used by others too."""

    name: str  # of the file, in the cache and in a mirror
    url: str
    sha256: str  # 64 hex digits, or as many of the first as are published
    bytes: int | None  # None: not published
    licence: str
    use: str


S3FD = "s3fd-619a316812.pth"
FAN_2D = "2DFAN4-11f355bf06.pth.tar"
BLAZEFACE = "blazefaceback.pth"
BLAZEFACE_ANCHORS = "anchorsback.npy"
RETINAFACE = "mobilenet0.25_Final.pth"
YUNET = "face_detection_yunet_2026may.onnx"

_FILES = (
    # The names of these two carry the first ten digits of their sha256, as torch.hub has it; no more is published.
    ModelFile(
        name=S3FD,
        url="https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
        sha256="619a316812",
        bytes=None,
        licence="BSD-3-Clause",
        use="face detector S3FD of face-alignment",
    ),
    ModelFile(
        name=FAN_2D,
        url="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
        sha256="11f355bf06",
        bytes=None,
        licence="BSD-3-Clause",
        use="68 landmarks, 2DFAN-4 of face-alignment",
    ),
    ModelFile(
        name=BLAZEFACE,
        url="https://github.com/hollance/BlazeFace-PyTorch/raw/master/blazefaceback.pth",
        sha256="e2c03bb3ae45e769eaaa0a7cc7d4f61f54a5e3fbae6367d870166702e7022b11",
        bytes=594_825,
        licence="Apache-2.0",
        use="face detector BlazeFace, back camera",
    ),
    ModelFile(
        name=BLAZEFACE_ANCHORS,
        url="https://github.com/hollance/BlazeFace-PyTorch/raw/master/anchorsback.npy",
        sha256="a10bb2fb93ab54ca426d6c750bfc3aad685028a16dcf231357d03694f261fd95",
        bytes=28_800,
        licence="Apache-2.0",
        use="anchors of BlazeFace, back camera",
    ),
    # Another network is published under the same name, with the slopes and anchors that face-alignment expects. These
    # weights want others (retinaface.py), so the wrong file must not get through: it would load and find nonsense.
    ModelFile(
        name=RETINAFACE,
        url="https://github.com/biubug6/Face-Detector-1MB-with-landmark/raw/master/weights/mobilenet0.25_Final.pth",
        sha256="ed6fa7d45a5179f03cb5ce82c73b0c6711372968e53782e88395acee88d319e1",
        bytes=1_789_735,
        licence="MIT",
        use="face detector RetinaFace with MobileNet 0.25",
    ),
    # The weights of 2023mar with an input of any size, which OpenCV 5 asks for.
    ModelFile(
        name=YUNET,
        url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2026may.onnx",
        sha256="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
        bytes=229_738,
        licence="MIT",
        use="face detector YuNet",
    ),
)

MODEL_FILES: dict[str, ModelFile] = {file.name: file for file in _FILES}
