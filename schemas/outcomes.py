"""What a stage says when it is done: a receipt for what was staged, or an error row. Both are small."""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["source", "probe", "shots", "faces", "emotion", "inversion", "staging", "commit", "engine"]
Status = Literal["committed", "no_faces", "quarantined"]  # the three fates; every input has exactly one


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One part of one segment lies in `_staging/`; or, with `part` None, a segment that shows no face is done.

    Each receipt carries the counts that it is to be checked against, so that completeness can be proven from the
    receipts alone, in whatever order they arrive.
    """

    video_id: str
    segment_index: int
    n_segments: int
    n_parts: int  # of this segment; 0 is an answer
    part: str | None  # str(PartKey)
    n_frames: int  # faces kept in this part
    reused: bool  # staged by an earlier run that was interrupted


@dataclass(frozen=True, kw_only=True)
class Note:
    """Seen on the way, for the progress line only: nothing is decided by it, and a retry may say it twice."""

    video_id: str
    n_shots: int = 0
    n_faces: int = 0  # tracks, parts of one counted apart


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """A film that was not begun, because the run was asked to stop. It is nobody's failure."""

    video_id: str


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """One unit of work failed. `permanent`: the input is at fault, so the same bytes would fail again."""

    video_id: str
    uri: str
    stage: Stage
    segment_index: int | None
    error_type: str
    message: str  # one line that a person understands; never a stack trace
    permanent: bool
