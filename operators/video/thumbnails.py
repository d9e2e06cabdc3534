"""A small picture of each shot: its middle frame, taken while the frames of a segment go by for another purpose.

H, W height and width of a frame, C = 3 (RGB).
"""

import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from operators.video.segment_frames import Read
from schemas.video import Frame, Segment

LONGER_SIDE_PX = 320  # four on a line fill a common screen, and a face that fills a third of it is known
QUALITY = 80  # 7 kB (dark, letter box) to 16 kB (a street) on the clips of the tests; 95 takes twice as much, 60 0.7


class ShotThumbnails:
    """JPEGs of the middle frames of a segment's shots, by shot_index, as far as the segment answers for them.

    The middle of a shot lies in exactly one segment's own frames, so that each shot of a film has one picture.
    Give `watched(read)` to whoever reads the segment's frames: nothing is decoded for this. Where they are read twice,
    the first time counts.
    Gives: equal bytes for equal frames. Not promised: the same from another libjpeg.
    """

    def __init__(self, segment: Segment):
        own = range(segment.first_frame, segment.end_frame)
        middles = {shot.first_frame + shot.n_frames // 2: shot.shot_index for shot in segment.shots}
        self._wanted = {frame: shot_index for frame, shot_index in middles.items() if frame in own}
        self._taken: dict[int, bytes] = {}

    def watched(self, read: Read) -> Read:
        """Reads the same frames."""

        def watching() -> Iterator[Frame]:
            for frame in read():
                shot_index = self._wanted.pop(frame.frame_index, None)
                if shot_index is not None:
                    self._taken[shot_index] = thumbnail(frame.rgb_HWC)
                yield frame

        return watching

    @property
    def jpegs(self) -> Mapping[int, bytes]:
        return MappingProxyType(dict(sorted(self._taken.items())))


def thumbnail(rgb_HWC: NDArray[np.uint8]) -> bytes:
    """A JPEG whose longer side is LONGER_SIDE_PX, or the frame's where it is smaller."""
    picture = Image.fromarray(rgb_HWC)
    longer = max(picture.size)
    if longer > LONGER_SIDE_PX:
        width, height = (max(1, round(side * LONGER_SIDE_PX / longer)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    picture.save(jpeg, "jpeg", quality=QUALITY)
    return jpeg.getvalue()
