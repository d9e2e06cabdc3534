"""Find where a film is cut. H, W, C = 3 of a reduced frame.

Detectors: PySceneDetect's (Castellano, scenedetect.com), one frame at a time: Adaptive-, Content-, Hash- or
HistogramDetector for cuts, ThresholdDetector for fades through black.
"""

from collections.abc import Iterable
from itertools import pairwise

import cv2
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    SceneDetector,
    ThresholdDetector,
)

from schemas.shot_settings import ShotSettings
from schemas.video import Frame, Shot, Video

_ANY_RATE = 25.0  # of the detectors' clock; they get no length in seconds, so it changes nothing
_NO_LENGTH = 0  # how short a shot may be is decided once, by FindShots, in real time and over all detectors


class FindShots:
    """A film's frames -> its shots, which cover every frame once, in order.

    Takes: all frames of the video, in order, best read with `longer_side_px=settings.detect_px`. Should fewer come,
    because the film is damaged, the shots cover those that came: at least one.
    Not promised: dissolves, wipes and fades through white; a cut nearer than `min_shot_s` to the one before (the
    earlier is kept).
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
        fade = self.settings.fade
        cuts = _cut_detector(self.settings)
        if not self.settings.fades:
            return [cuts]
        return [cuts, ThresholdDetector(fade.black, min_scene_len=_NO_LENGTH, fade_bias=fade.bias)]

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


def _cut_detector(settings: ShotSettings) -> SceneDetector:
    weights, adaptive, coarse = settings.weights, settings.adaptive, settings.hash
    changes = ContentDetector.Components(weights.hue, weights.saturation, weights.lightness, weights.edges)
    match settings.detector:
        case "adaptive":
            return AdaptiveDetector(
                adaptive.threshold,
                min_scene_len=_NO_LENGTH,
                window_width=adaptive.window,
                min_content_val=adaptive.min_content,
                weights=changes,
            )
        case "content":
            return ContentDetector(settings.content.threshold, min_scene_len=_NO_LENGTH, weights=changes)
        case "hash":
            return HashDetector(coarse.threshold, coarse.size, coarse.lowpass, min_scene_len=_NO_LENGTH)
        case "histogram":
            return HistogramDetector(settings.histogram.threshold, settings.histogram.bins, min_scene_len=_NO_LENGTH)
