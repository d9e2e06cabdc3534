"""Rows about films: what a file is, where its shots lie, and the pieces of work it is cut into. No torch, no Ray.

N frames in a video, T frames in a segment, its warm-up included.
"""

import zlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Decoder = Literal["decord", "pyav"]
# What keeps a film from being read to the end that it claims: its bytes end, a frame does not decode, or the list of
# its frames breaks off.
DamageType = Literal["EndsEarly", "DamagedFrame", "DamagedIndex"]


@dataclass(frozen=True, kw_only=True, eq=False)  # eq=False: comparing arrays has no single answer
class Video:
    """One film, probed. The row holds facts and times, never pixels.

    `width` and `height` are those of the upright picture with square pixels: rotation and sample aspect are applied
    when a frame is decoded, so nothing behind the decoder has to know of them.
    """

    video_id: str  # hash of the file's bytes: the same film under two names is one video
    uri: str
    bytes: int
    codec: str
    fps: float  # mean rate, for display only; time is pts_us
    width: int
    height: int
    decoder: Decoder  # decord gets this film right, or only PyAV does; the source may use PyAV for both, bits are equal
    pts_us: NDArray[np.int64]  # (N,) from the container, in presentation order, 0 = the first frame
    promised_s: float | None = None  # the length in the film's header; None: it names none
    # Of a film that is not whole: one line without the uri, for its reader. `pts_us` are those of the frames before it.
    damage: str | None = None
    damage_type: DamageType | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"video {self.uri}: {self.width}x{self.height} pixels; both sides must be positive")
        if np.any(np.diff(self.pts_us) <= 0):
            raise ValueError(f"video {self.uri}: pts_us must rise; sort the frames by time and drop doubles")

    @property
    def n_frames(self) -> int:
        return len(self.pts_us)

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last one's end; the last frame lasts as long as the mean frame."""
        if self.n_frames == 0:
            return 0.0
        span_us = int(self.pts_us[-1] - self.pts_us[0])
        return span_us / 1e6 + (1 / self.fps if self.fps > 0 else 0.0)

    def first(self, n_frames: int) -> "Video":
        """The film as if it ended there."""
        pts_us = self.pts_us[:n_frames]
        fps = (n_frames - 1) * 1e6 / int(pts_us[-1] - pts_us[0]) if n_frames > 1 else self.fps
        return replace(self, pts_us=pts_us, fps=fps)

    def __getstate__(self) -> dict[str, Any]:
        """Times by their steps, packed: each of a film's segments carries all of them, 1.4 MB of two hours in 8 kB."""
        steps_us = np.diff(self.pts_us, prepend=0)
        return vars(self) | {"pts_us": zlib.compress(steps_us.tobytes(), 1)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        steps_us = np.frombuffer(zlib.decompress(state["pts_us"]), np.int64)
        self.__dict__.update(state | {"pts_us": np.cumsum(steps_us)})

    def __repr__(self) -> str:
        return f"Video({self.uri}, {self.n_frames} frames, {self.width}x{self.height}, {self.codec})"


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A run of frames between two cuts. Nothing is tracked or smoothed across its ends."""

    shot_index: int
    first_frame: int
    n_frames: int
    start_us: int
    end_us: int  # start of the next shot, or end of the film

    @property
    def end_frame(self) -> int:
        """The first frame that is no longer in the shot."""
        return self.first_frame + self.n_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A unit of work: a run of whole shots, or a piece of one long shot, about ten seconds.

    A piece of a long shot starts at a fixed frame number. It looks at `warmup_frames` before, so that tracking and the
    warm start of the inversion are settled at `first_frame`, and at `lookahead_frames` behind, so that smoothing and
    the filling of gaps know how the face goes on. Nothing that is found there is kept.
    """

    video: Video
    segment_index: int
    n_segments: int
    shots: tuple[Shot, ...]
    first_frame: int
    n_frames: int
    warmup_frames: int = 0
    lookahead_frames: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.segment_index < self.n_segments:
            raise ValueError(f"segment {self.segment_index} of {self.n_segments}: the index must be below the count")
        decode_end = self.decode_first + self.decode_n
        if self.n_frames < 1 or self.decode_first < self.shots[0].first_frame or decode_end > self.shots[-1].end_frame:
            raise ValueError(f"segment {self.segment_index}: frames must lie inside its shots, overlap included")

    @property
    def decode_first(self) -> int:
        """The first frame to decode: the warm-up's, where there is one."""
        return self.first_frame - self.warmup_frames

    @property
    def decode_n(self) -> int:
        return self.warmup_frames + self.n_frames + self.lookahead_frames

    @property
    def end_frame(self) -> int:
        """The first frame that it no longer answers for."""
        return self.first_frame + self.n_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One decoded frame. It lives inside one operator's loop; frames never travel between stages."""

    frame_index: int
    pts_us: int
    rgb_HWC: NDArray[np.uint8]  # (H, W, 3) upright, square pixels; owned by the receiver
