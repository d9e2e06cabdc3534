"""Find, follow and align the faces of one segment.

T frames of a track, R crop side in pixels, 68 landmarks and 4 corners of 2 coordinates.
"""

import numpy as np
from numpy.typing import NDArray

from operators.faces.align import align_crop
from operators.faces.face import FaceFinder
from operators.faces.filled_tracks import LinkedTrack, filled_tracks
from operators.faces.identity import IdentityReader
from operators.faces.parts import cut_into_parts
from operators.faces.quad import quads_from_landmarks, steady_quads
from operators.faces.see_faces import SeeFaces, Seen
from operators.faces.smoothing import one_euro, smooth_along_time
from operators.faces.tracking import link_faces
from operators.video.segment_frames import Read, checked_frames
from schemas.clips import NOTHING_DROPPED, Dropped, FaceTrack, PartKey, SegmentTracks, TrackClip
from schemas.face_settings import FaceSettings
from schemas.video import Segment, Shot


class FindTracks:
    """Segment -> the track clips of its faces, ordered by shot, track and part; none is an answer.

    The film is read twice: the first pass keeps only boxes and landmarks, the second cuts the crops, because a crop
    needs the track's smoothed quad, which needs later frames. Keeping the frames instead would cost 1.5 GB for ten
    seconds of 1080p; memory here follows the crops that are given back.

    Takes: `finder`; `crop_px`, the side of the crops. The result depends on the segment and its frames alone.
    Raises: BadInput when `read` does not give the segment's frames; ValueError when one clip cannot hold a frame.
    Not promised: that a face keeps its track_index from one segment of a long shot to the next.
    """

    def __init__(
        self, finder: FaceFinder, settings: FaceSettings, *, crop_px: int, identity: IdentityReader | None = None
    ):
        self.see = SeeFaces(finder, settings, identity)
        self.settings = settings
        self.crop_px = crop_px
        self.frames_max = settings.clip_bytes_max // (crop_px * crop_px * 3)
        if self.frames_max <= settings.warmup_frames:
            raise ValueError(
                f"clip_bytes_max {settings.clip_bytes_max} holds {self.frames_max} crops of {crop_px} px, warm-up is "
                f"{settings.warmup_frames}; raise it to {(settings.warmup_frames + 1) * crop_px * crop_px * 3} or more"
            )

    def __call__(self, segment: Segment, read: Read) -> SegmentTracks:
        """Takes: `read`, which gives the segment's frames in order and is called at most twice."""
        seen = self.see(segment, checked_frames(segment, read))
        tracks: list[FaceTrack] = []
        dropped = NOTHING_DROPPED
        for shot in segment.shots:
            of_shot, dropped_in_shot = self._follow(segment, shot, seen)
            tracks += of_shot
            dropped += dropped_in_shot
        return SegmentTracks(clips=self._cut_crops(segment, read, tracks) if tracks else [], dropped=dropped)

    def _follow(self, segment: Segment, shot: Shot, seen: Seen) -> tuple[list[FaceTrack], Dropped]:
        offset = segment.decode_first
        first = max(shot.first_frame, offset)
        end = min(shot.end_frame, offset + segment.decode_n)
        pts_us = seen.pts_us[first - offset : end - offset]
        linked = link_faces(seen.sightings[first - offset : end - offset], pts_us, max_gap_s=self.settings.max_gap_s)
        tracks, dropped = filled_tracks(
            linked,
            pts_us,
            self.settings,
            first_frame=first,
            answers_for=range(segment.first_frame, segment.end_frame),
            open_end=end < shot.end_frame,
        )
        kept = [t for t in tracks if t.end_frame > segment.first_frame and t.first_frame < segment.end_frame]
        parts = [
            part
            for track_index, track in enumerate(kept)
            for part in self._in_parts(segment, (shot.shot_index, track_index), track)
        ]
        return parts, dropped

    def _in_parts(self, segment: Segment, shot_and_track: tuple[int, int], track: LinkedTrack) -> list[FaceTrack]:
        shot_index, track_index = shot_and_track
        landmarks_T682 = self._smoothed(track)
        quads_T42 = quads_from_landmarks(landmarks_T682)
        quad_T42 = steady_quads(quads_T42, track.pts_us, self.settings.quad_smooth_s)
        parts = cut_into_parts(
            first=track.first_frame,
            kept_from=segment.first_frame,
            end=min(track.end_frame, segment.end_frame),
            frames_max=self.frames_max,
            warmup_frames=self.settings.warmup_frames,
        )
        face_tracks = []
        for part_index, part in enumerate(parts):
            here = slice(part.head - track.first_frame, part.end - track.first_frame)
            key = PartKey(
                video_id=segment.video.video_id,
                segment_index=segment.segment_index,
                shot_index=shot_index,
                track_index=track_index,
                part_index=part_index,
            )
            face_tracks.append(
                FaceTrack(
                    key=key,
                    frame_index=np.arange(part.head, part.end, dtype=np.int32),
                    pts_us=track.pts_us[here],
                    landmarks_T682=landmarks_T682[here],
                    quad_T42=quad_T42[here],
                    confidence=track.confidence_T[here],
                    identity_128=track.identity_128,
                    warmup_frames=part.start - part.head,
                )
            )
        return face_tracks

    def _smoothed(self, track: LinkedTrack) -> NDArray[np.float32]:
        settings, points_T682 = self.settings, track.landmarks_T682
        if settings.smoothing == "gaussian":
            return smooth_along_time(points_T682, track.pts_us, settings.smooth_s)
        width_px = float(np.median(np.ptp(points_T682[..., 0], axis=1)))
        return one_euro(
            points_T682,
            track.pts_us,
            rest_hz=settings.one_euro_hz,
            slope=settings.one_euro_slope,
            unit_px=max(width_px, 1.0),
        )

    def _cut_crops(self, segment: Segment, read: Read, tracks: list[FaceTrack]) -> list[TrackClip]:
        side = self.crop_px
        crops = [np.empty((track.n_frames, side, side, 3), np.uint8) for track in tracks]
        for frame in checked_frames(segment, read):
            for track, crops_TRRC in zip(tracks, crops, strict=True):
                t = frame.frame_index - int(track.frame_index[0])
                if 0 <= t < track.n_frames:
                    crops_TRRC[t] = align_crop(
                        frame.rgb_HWC, track.quad_T42[t], crop_px=side, supersample=self.settings.supersample
                    )
        return [TrackClip(track=track, crops_TRRC=crops_TRRC) for track, crops_TRRC in zip(tracks, crops, strict=True)]
