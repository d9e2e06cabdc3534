"""Rows that travel from the face operators to the dataset. No torch, no Ray here.

T frames, R crop side in pixels, L style layers (num_ws), D style width (w_dim).
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.emotions import N_EMOTIONS


@dataclass(frozen=True, kw_only=True)
class PartKey:
    """Names one part of one track. Sorted keys are in the order of the film.

    `track_index` counts the faces of one shot inside one segment; the table's track_index is given when the video is
    complete, because a long shot's tracks go on through several segments.
    """

    video_id: str
    segment_index: int
    shot_index: int
    track_index: int
    part_index: int

    def __str__(self) -> str:
        segment, shot = f"seg{self.segment_index:05d}", f"shot{self.shot_index:05d}"
        return f"{segment}-{shot}-track{self.track_index:03d}-part{self.part_index:03d}"

    @classmethod
    def parse(cls, video_id: str, name: str) -> "PartKey":
        """The inverse of str()."""
        found = re.fullmatch(r"seg(\d+)-shot(\d+)-track(\d+)-part(\d+)", name)
        if found is None:
            raise ValueError(f"{name!r} names no part of a track; expected seg00000-shot00000-track000-part000")
        segment, shot, track, part = map(int, found.groups())
        return cls(video_id=video_id, segment_index=segment, shot_index=shot, track_index=track, part_index=part)


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class FaceTrack:
    """Where one face, or another subject, is in each frame of one part of a track; no pixels.

    The first `warmup_frames` belong to the part before: they settle the state along time and are dropped at the end.
    """

    key: PartKey
    frame_index: NDArray[np.int32]  # (T,) decode order of the whole video, from 0, without gaps
    pts_us: NDArray[np.int64]  # (T,) microseconds from the first frame; never index / fps
    # (T, 68, 2) x, y in pixels of the frame, iBUG order, smoothed along the track; None: the subject is no face
    landmarks_T682: NDArray[np.float32] | None
    quad_T42: NDArray[np.float32]  # (T, 4, 2) the crop's corners TL, BL, BR, TR in pixels of the frame
    confidence: NDArray[np.float32]  # (T,) the finder's score; 0 where the face was filled in between two detections
    warmup_frames: int = 0
    emotion_probs_T7: NDArray[np.float32] | None = None  # (T, 7) EmoPy order; None: no expression model was given
    identity_128: NDArray[np.float32] | None = None  # of the whole track in this segment, the same in all its parts

    def __post_init__(self) -> None:
        given = ["pts_us", "quad_T42", "confidence", *([] if self.landmarks_T682 is None else ["landmarks_T682"])]
        lengths = {name: len(getattr(self, name)) for name in given}
        if set(lengths.values()) != {self.n_frames}:
            raise ValueError(f"track {self.key}: {self.n_frames} frames but {lengths}; drop a lost frame from all")
        if np.any(np.diff(self.pts_us) <= 0):
            raise ValueError(f"track {self.key}: pts_us must rise; sort the frames by pts_us first")
        if not 0 <= self.warmup_frames < self.n_frames:
            raise ValueError(f"track {self.key}: {self.warmup_frames} warm-up frames of {self.n_frames}; keep one")
        probs = self.emotion_probs_T7
        if probs is not None and probs.shape != (self.n_frames, N_EMOTIONS):
            raise ValueError(f"track {self.key}: emotion {probs.shape}, expected ({self.n_frames}, {N_EMOTIONS})")

    @property
    def n_frames(self) -> int:
        return len(self.frame_index)

    @property
    def face_points(self) -> NDArray[np.float32]:
        """The landmarks. Raises: ValueError where the subject is no face."""
        if self.landmarks_T682 is None:
            raise ValueError(
                f"track {self.key}: has no landmarks, its subject is no face; leave out what asks for them"
            )
        return self.landmarks_T682

    @property
    def n_kept(self) -> int:
        """Frames that reach the table: all but the warm-up."""
        return self.n_frames - self.warmup_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackClip:
    """One face through (a part of) one shot, aligned: what is inverted."""

    track: FaceTrack
    crops_TRRC: NDArray[np.uint8]  # (T, R, R, 3) RGB, FFHQ-aligned

    def __post_init__(self) -> None:
        n, height, width, channels = self.crops_TRRC.shape
        if n != self.track.n_frames or height != width or channels != 3:
            raise ValueError(
                f"track {self.track.key}: crops {self.crops_TRRC.shape} for {self.track.n_frames} frames; "
                "expected (T, R, R, 3)"
            )

    @property
    def crop_px(self) -> int:
        return int(self.crops_TRRC.shape[1])

    def __repr__(self) -> str:
        return f"TrackClip({self.track.key}, {self.crops_TRRC.shape})"


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Faces that were found, one in one frame, and left out by a filter. Each counts once, for the first reason."""

    small: int = 0
    turned: int = 0
    blurred: int = 0

    def __add__(self, other: "Dropped") -> "Dropped":
        return Dropped(
            small=self.small + other.small, turned=self.turned + other.turned, blurred=self.blurred + other.blurred
        )


NOTHING_DROPPED = Dropped()


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentTracks:
    """What one segment shows: clips ordered by shot, track and part, of which none is an answer."""

    clips: list[TrackClip]
    dropped: Dropped = NOTHING_DROPPED  # in the frames that the segment answers for


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """One track, or a part of one. Frames without a frame before them hold zeros in both columns of a pair.

    Velocity is a path over the time that it took: it does not change when frames are left out of an even motion, and
    two frames that are a millisecond apart count for that millisecond only. Acceleration is the change of velocity over
    the time that it took; it does not follow the frame rate where the motion itself is smooth, but noise from frame to
    frame grows with its square: compare methods at equal times.
    """

    step: NDArray[np.float32]  # (T,) length of the way from the frame before; 0 at the first frame
    step_s: NDArray[np.float32]  # (T,) seconds of that way
    turn: NDArray[np.float32]  # (T,) length of the change of velocity (per second), way to way; 0 at the first two
    turn_s: NDArray[np.float32]  # (T,) seconds from the middle of one way to the middle of the next

    @property
    def velocity(self) -> float | None:
        """Units per second; None for one frame."""
        return ratio_of_sums(self.step, self.step_s)

    @property
    def acceleration(self) -> float | None:
        """Units per second squared; None for one frame or two."""
        return ratio_of_sums(self.turn, self.turn_s)


def ratio_of_sums(above: NDArray[np.float32], below: NDArray[np.float32]) -> float | None:
    """The sum of one column over the sum of another, whatever the parts of a track; None where the latter is 0."""
    whole = float(below.sum(dtype=np.float64))
    return float(above.sum(dtype=np.float64)) / whole if whole > 0 else None


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentClip:
    """One face through (a part of) one shot, inverted. Not promised: that w is the only latent with this picture."""

    track: FaceTrack
    w_TLD: NDArray[np.float32]  # (T, L, D) W+ of the generator named in the table's properties
    psnr: NDArray[np.float32]  # (T,) dB, against the crop, peak 255, grey levels not rounded; 100 where they are equal
    lpips: NDArray[np.float32] | None  # (T,) None: inverted without LPIPS
    # Flicker is their ratio over a track: mean |dG - dI| over mean |dI|. Kept apart so that parts of a track add up.
    change_error: NDArray[np.float32]  # (T,) mean |(G_t - G_t-1) - (I_t - I_t-1)|, in [0, 255]; 0 at the first frame
    change: NDArray[np.float32]  # (T,) mean |I_t - I_t-1|, in [0, 255]; 0 at the first frame
    motion: Motion  # of the whitened latents
    noise_TP: NDArray[np.float32] | None = None  # (T, P) packed maps that belong to the latents; None: the generator's
    knot_T: NDArray[np.bool_] | None = None  # (T,) scene: where the path may bend; between, it is linear in pts_us

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.w_TLD, self.psnr, self.change_error, self.change, self.motion.step)}
        if lengths != {self.track.n_frames}:
            raise ValueError(f"track {self.track.key}: {self.track.n_frames} frames but arrays of {sorted(lengths)}")
        if not np.isfinite(self.w_TLD).all():
            first = int(np.argmax(~np.isfinite(self.w_TLD).all(axis=(1, 2))))
            raise ValueError(
                f"track {self.track.key}: the latent of frame {int(self.track.frame_index[first])} is not "
                "finite; lower the learning rate, or check the generator's weights"
            )
