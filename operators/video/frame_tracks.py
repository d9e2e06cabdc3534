"""Whole frames instead of faces: each shot of a segment is one track of centre squares.

T frames of a track, R crop side in pixels, 4 corners TL, BL, BR, TR of 2 coordinates.
"""

import numpy as np
from numpy.typing import NDArray

from operators.faces.align import align_crop
from operators.faces.parts import cut_into_parts
from operators.video.segment_frames import Read, checked_frames
from schemas.clips import FaceTrack, PartKey, SegmentTracks, TrackClip
from schemas.face_settings import FaceSettings
from schemas.video import Segment, Shot


class TrackFrames:
    """Segment -> one track for each of its shots, in parts as a face's track; there is no segment without one.

    The film is read once: where the squares lie is known before. Memory follows the crops that are given back.

    Takes: `settings`, of which the sizes of parts and the supersampling count; `crop_px`, the side of the crops.
    Raises: BadInput when `read` does not give the segment's frames; ValueError when one clip cannot hold a frame.
    """

    def __init__(self, settings: FaceSettings, *, crop_px: int):
        self.settings = settings
        self.crop_px = crop_px

    def __call__(self, segment: Segment, read: Read) -> SegmentTracks:
        tracks = [track for shot in segment.shots for track in self._of_shot(segment, shot)]
        side = self.crop_px
        crops = [np.empty((track.n_frames, side, side, 3), np.uint8) for track in tracks]
        for frame in checked_frames(segment, read):
            square = centre_square(frame.rgb_HWC.shape[1], frame.rgb_HWC.shape[0])
            crop_RRC = align_crop(
                frame.rgb_HWC, square, crop_px=side, supersample=self.settings.supersample, soft_border=False
            )
            for track, crops_TRRC in zip(tracks, crops, strict=True):
                t = frame.frame_index - int(track.frame_index[0])
                if 0 <= t < track.n_frames:  # of two tracks, where one part's end is the warm-up of the next
                    crops_TRRC[t] = crop_RRC
        clips = [TrackClip(track=track, crops_TRRC=c) for track, c in zip(tracks, crops, strict=True)]
        return SegmentTracks(clips=clips)

    def _of_shot(self, segment: Segment, shot: Shot) -> list[FaceTrack]:
        video = segment.video
        parts = cut_into_parts(
            first=max(shot.first_frame, segment.decode_first),
            kept_from=segment.first_frame,
            end=min(shot.end_frame, segment.end_frame),
            frames_max=self.settings.clip_bytes_max // (self.crop_px * self.crop_px * 3),
            warmup_frames=self.settings.warmup_frames,
        )
        return [
            FaceTrack(
                key=PartKey(
                    video_id=video.video_id,
                    segment_index=segment.segment_index,
                    shot_index=shot.shot_index,
                    track_index=0,
                    part_index=part_index,
                ),
                frame_index=np.arange(part.head, part.end, dtype=np.int32),
                pts_us=video.pts_us[part.head : part.end],
                landmarks_T682=None,
                quad_T42=np.repeat(centre_square(video.width, video.height)[None], part.end - part.head, axis=0),
                confidence=np.ones(part.end - part.head, np.float32),
                warmup_frames=part.start - part.head,
            )
            for part_index, part in enumerate(parts)
        ]


def centre_square(width: int, height: int) -> NDArray[np.float32]:
    """(4, 2) the largest square in the middle of a frame, as a quad: its sides run along the edges of pixels.

    Where the margins cannot be equal, the left or the upper one is a pixel narrower: half a pixel would blur all of it.
    """
    side = min(width, height)
    left, top = (width - side) // 2 - 0.5, (height - side) // 2 - 0.5  # centres of pixels have whole coordinates
    right, bottom = left + side, top + side
    return np.array([[left, top], [left, bottom], [right, bottom], [right, top]], np.float32)
