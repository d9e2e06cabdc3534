"""The face finder that the settings name."""

from operators.faces.face import FaceFinder
from schemas.face_settings import FaceSettings


def make_finder(settings: FaceSettings, *, device: str = "cpu") -> FaceFinder:
    """The finder that the settings name.

    Takes: `device`, a torch device; dlib always runs on the CPU. Raises: WrongUse when weights are missing.
    """
    if settings.finder == "dlib":
        from operators.faces.dlib_finder import DlibFinder  # noqa: PLC0415  # reads 100 MB of predictor

        return DlibFinder(settings)
    from operators.faces.face_alignment_finder import FaceAlignmentFinder  # noqa: PLC0415  # 4 s: torch, numba, skimage

    return FaceAlignmentFinder(settings, device=device)
