"""Read a film once from end to end, reduced, and learn what the probe cannot know: how far it decodes, and by whom."""

from collections.abc import Iterator
from dataclasses import replace

from operators.video.damage import cut_short
from operators.video.frame_source import FrameSource
from schemas.errors import BadInput
from schemas.video import Frame, Video

# A decoder holds back up to 16 pictures to bring them in order (H.264, level limits of table A-1), and they are lost
# when the packet behind them is broken. A film that ends early may break so many frames before its end.
_HELD_BACK_MAX = 17


class LookThrough:
    """Iterate once; then `video` is the film as far as it decodes, with the decoder that could read it.

    Raises, while iterated: BadInput when not even the first frame decodes; OSError and Interrupted as FrameSource.
    """

    def __init__(self, source: FrameSource, video: Video, path: str, *, longer_side_px: int):
        self.video = video
        self._source, self._path, self._longer_side_px = source, path, longer_side_px

    def __iter__(self) -> Iterator[Frame]:
        n_good = 0
        try:
            for frame in self._source.read(self.video, self._path, longer_side_px=self._longer_side_px):
                n_good += 1
                yield frame
        except BadInput:
            if n_good == 0:
                raise
            known = self.video.damage_type
            is_at_end = known is not None and self.video.n_frames - n_good <= _HELD_BACK_MAX
            self.video = cut_short(self.video, n_good, known if known and is_at_end else "DamagedFrame")
        if self._source.taken_over:  # whoever reads pieces of the film need not wait for decord again
            self.video = replace(self.video, decoder="pyav")
