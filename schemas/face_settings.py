"""Settings of the faces: how they are found, followed, steadied, left out and cut."""

from typing import Literal

from pydantic import Field

from schemas.frozen_settings import FrozenSettings


class FaceSettings(FrozenSettings):
    """How faces are found, followed and aligned."""

    finder: Literal["dlib", "face-alignment"] = "dlib"  # dlib: no download, and the predictor that aligned FFHQ
    detect_px: int = Field(960, ge=80)  # longer side dlib sees; a face needs 80 px of it. 640: half the time
    min_score: float = 0.1  # of dlib's margin: most folds of cloth and drawings stay below, faces that last above
    # Enlarges the picture for dlib, so that its 80 px show faces of this size; None: what detect_px shows. It takes
    # 94 ms for a million pixels of it: 0.05 s a frame of 1080p with None, 0.4 s with 60, 1.1 s with 40, 4 s with 24.
    smallest_px: int | None = Field(None, ge=16)
    # Of face-alignment. On a CPU s3fd takes 5 s a frame, retinaface 0.05, blazeface 0.02, yunet 0.01; blazeface sees
    # only large faces.
    fan_detector: Literal["s3fd", "blazeface", "retinaface", "yunet"] = "s3fd"
    # Frames from one detection to the next; in between faces are carried by optical flow. 3 takes half the time with
    # dlib and saw every face of nine clips too, but quads of a fast, blurred head lay up to 6 % of their side off.
    detect_every: int = Field(1, ge=1, le=12)
    # Identities read of each face; more where faces come, go or touch. One takes as long as three detections in 512 px:
    # at 25 fps an eighth of the time. Without a crossing, one in a track would do.
    identity_per_s: float = Field(1.0, gt=0)
    min_face_px: int = Field(32, ge=8)  # shorter side of a box in the film; smaller cannot be inverted
    # Larger yaw or pitch counts as unseen; None: off, since profiles are found by few and wanted by some. Known to 6
    # degrees; landmarks themselves grow poor from 45 on.
    max_turn_deg: float | None = Field(None, gt=0, le=90)
    # Variance of the Laplacian over the variance, of the face at 64 px, whatever its size from there on; 0: off. Sharp
    # faces have 0.15 to 1, those blurred by 2 % of their width below 0.09: 0.1 divides them.
    min_sharpness: float = Field(0.0, ge=0)
    min_track_s: float = Field(0.3, ge=0)  # shorter tracks are mostly false finds
    max_gap_s: float = Field(0.5, ge=0)  # the detector's blinks are filled in and marked; longer gaps split the track
    # Of landmarks, inside a track only (docs/faces.md). A Gaussian forgets what lies 4 sigma away, so that pieces of a
    # long shot agree. The One Euro filter holds a resting face a quarter stiller, but does not forget.
    smoothing: Literal["gaussian", "one-euro"] = "gaussian"
    # Sigma: STIT's single frame at 25 fps. Of a head that sways twice a second by 0.3 of its width, 0.06 loses 3 % of
    # the crop's side, 0.04 half as much.
    smooth_s: float = Field(0.04, ge=0)
    # Sigma for the quad's size and direction, STIT's three frames: a resting face's corners stray by 0.06 to 0.17 % of
    # the side instead of 0.08 to 0.22 with 0.06 s for all, and puppets' quads lie 5 % nearer to the truth.
    quad_smooth_s: float = Field(0.12, ge=0)
    one_euro_hz: float = Field(1.0, gt=0)  # cut-off at rest, the paper's start; 2: a fifth more jitter
    # Hz for a face's width a second. The head that sways is off by 6.8 % of the side at 1, 2.7 at 3, 1.3 at 10.
    one_euro_slope: float = Field(10.0, ge=0)
    supersample: int = Field(4, ge=1, le=8)  # FFHQ's own: quads are sampled at 4x and reduced with Lanczos
    clip_bytes_max: int = Field(64 * 2**20, ge=2**20)  # of crops in one row: what the object store moves at once
    warmup_frames: int = Field(12, ge=0)  # head of a part that another part keeps: half a second, as for a segment
