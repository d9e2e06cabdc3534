"""The frames of one segment, each where it belongs."""

from collections.abc import Callable, Iterable, Iterator

from schemas.errors import BadInput
from schemas.video import Frame, Segment

Read = Callable[[], Iterable[Frame]]
"""Gives a segment's frames, decode_first to decode_first + decode_n, in order. May be called twice."""


def checked_frames(segment: Segment, read: Read) -> Iterator[Frame]:
    """The frames that `read` gives: one lost here would show as noise in a crop or shift a whole track.

    Raises: BadInput when they are not the segment's, in order.
    """
    n = 0
    for frame in read():
        if frame.frame_index != segment.decode_first + n or n >= segment.decode_n:
            break
        yield frame
        n += 1
    else:
        if n == segment.decode_n:
            return
    raise BadInput(
        f"{segment.video.uri}: segment {segment.segment_index} gave {n} of its {segment.decode_n} frames from "
        f"{segment.decode_first} on, in order; the file may have changed since it was probed: run the job again"
    )
