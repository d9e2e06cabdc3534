"""Find where a film is cut. H, W, C = 3 of a reduced frame.

Detectors: PySceneDetect's (Castellano, scenedetect.com), one frame at a time: AdaptiveDetector or ContentDetector for
cuts, ThresholdDetector for fades through black.
"""

from collections.abc import Iterable
from itertools import pairwise

import cv2
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, SceneDetector, ThresholdDetector

from schemas.config import ShotSettings
from schemas.video import Frame, Shot, Video

# Mean grey level of a frame that is black. A fade ends in black, 0 to 1; a dark scene in a letter box has 4 and more,
# and PySceneDetect's own 12 cuts it wherever its light flickers.
_BLACK = 3
_ANY_RATE = 25.0  # of the detectors' clock; they get no length in seconds, so it changes nothing


class FindShots:
    """A film's frames -> its shots, which cover every frame once, in order.

    Takes: all frames of the video, in order, best read with `longer_side_px=settings.detect_px`. Should fewer come,
    because the film is damaged, the shots cover those that came: at least one.
    Not promised: dissolves and wipes; a cut nearer than `min_shot_s` to the one before (the earlier is kept).
    """

    def __init__(self, settings: ShotSettings):
        self.settings = settings

    def __call__(self, video: Video, frames: Iterable[Frame]) -> tuple[Shot, ...]:
        detectors = self._detectors()
        found: list[FrameTimecode] = []
        n_read = 0
        for frame in frames:
            n_read += 1
            bgr_HWC = cv2.cvtColor(frame.rgb_HWC, cv2.COLOR_RGB2BGR)
            for detector in detectors:
                found += detector.process_frame(FrameTimecode(frame.frame_index, _ANY_RATE), bgr_HWC)
        return self._between(video.first(n_read), {cut.frame_num for cut in found})

    def _detectors(self) -> list[SceneDetector]:
        # min_scene_len=0: how short a shot may be is decided once, below, in real time and over all detectors
        cuts = {"adaptive": AdaptiveDetector, "content": ContentDetector}[self.settings.detector](min_scene_len=0)
        if not self.settings.fades:
            return [cuts]
        # fade_bias=1: the new shot starts where the picture comes back. In the middle of the black, as is the
        # default, a cut to black followed by a fade makes two black shots.
        return [cuts, ThresholdDetector(_BLACK, min_scene_len=0, fade_bias=1.0)]

    def _between(self, video: Video, cuts: set[int]) -> tuple[Shot, ...]:
        min_us = round(self.settings.min_shot_s * 1e6)
        firsts = [0]
        for cut in sorted(cuts):
            if 0 < cut < video.n_frames and video.pts_us[cut] - video.pts_us[firsts[-1]] >= min_us:
                firsts.append(cut)
        end_us = round(video.duration_s * 1e6)
        starts_us, ends = [*video.pts_us[firsts].tolist(), end_us], [*firsts[1:], video.n_frames]
        return tuple(
            Shot(shot_index=i, first_frame=first, n_frames=end - first, start_us=start_us, end_us=next_us)
            for i, (first, end, (start_us, next_us)) in enumerate(zip(firsts, ends, pairwise(starts_us), strict=True))
        )
