"""Clips of puppets whom nobody has trained or tuned on, as `latentreel invert` cuts them from a film."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.faces.dlib_finder import DlibFinder
from operators.faces.find_tracks import FindTracks
from operators.puppets.face import draw_aligned_crop
from operators.puppets.movie import movie_frames, movie_truth
from operators.puppets.parameters import FaceParameters
from operators.puppets.random_script import random_script
from schemas.clips import FaceTrack, PartKey, TrackClip
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment, Video


def movie_clips(seed: int, *, seconds: float, px: int) -> tuple[list[TrackClip], dict[int, list[dict[str, Any]]]]:
    """The tracks of a random movie, found by dlib, and the true faces of each of its frames."""
    script = random_script(seed=seed, seconds=seconds)
    frames = list(movie_frames(script, supersample=1))
    pts_us = np.arange(len(frames), dtype=np.int64) * 1_000_000 // script.fps
    height, width = frames[0].shape[:2]
    video = Video(
        video_id=f"puppets{seed}",
        uri=f"puppets {seed}",
        bytes=0,
        codec="none",
        fps=script.fps,
        width=width,
        height=height,
        decoder="pyav",
        pts_us=pts_us,
    )
    whole = Segment(video=video, segment_index=0, n_segments=1, shots=script.shots, first_frame=0, n_frames=len(frames))
    rows = [Frame(frame_index=i, pts_us=int(pts_us[i]), rgb_HWC=rgb) for i, rgb in enumerate(frames)]
    clips = FindTracks(DlibFinder(FaceSettings()), FaceSettings(), crop_px=px)(whole, lambda: iter(rows)).clips
    truth: dict[int, list[dict[str, Any]]] = {}
    for row in movie_truth(script).to_pylist():
        if row["actor"] is not None:
            truth.setdefault(row["frame_index"], []).append(row)
    return clips, truth


def true_face(faces: list[dict[str, Any]], landmarks_682: NDArray[np.float32]) -> dict[str, Any]:
    """The one whose nose is nearest; a track where nobody is would be an error, and raises one."""
    nose_2 = landmarks_682[30]
    return min(faces, key=lambda row: float(np.hypot(*(np.array(row["landmarks"][60:62]) - nose_2))))


def crops_clip(crops_TRRC: NDArray[np.uint8], *, fps: int = 24, name: str = "puppets") -> TrackClip:
    """Crops as one track whose quad is the crop."""
    n, px = len(crops_TRRC), crops_TRRC.shape[1]
    corners_42 = np.array([[0, 0], [0, px], [px, px], [px, 0]], np.float32)
    track = FaceTrack(
        key=PartKey(video_id=name, segment_index=0, shot_index=0, track_index=0, part_index=0),
        frame_index=np.arange(n, dtype=np.int32),
        pts_us=np.arange(n, dtype=np.int64) * 1_000_000 // fps,
        landmarks_T682=np.zeros((n, 68, 2), np.float32),
        quad_T42=np.repeat(corners_42[None], n, axis=0),
        confidence=np.ones(n, np.float32),
    )
    return TrackClip(track=track, crops_TRRC=crops_TRRC)


def stills(people: list[FaceParameters], *, px: int) -> TrackClip:
    """Faces that have nothing to do with each other as frames of one clip: naive inversion looks at each alone."""
    return crops_clip(np.stack([draw_aligned_crop(parameters, px=px)[0] for parameters in people]))


def frames_of(clip: TrackClip, frames: NDArray[np.intp] | slice) -> TrackClip:
    """Some frames of a clip as a clip of their own."""
    track = clip.track
    part = FaceTrack(
        key=track.key,
        frame_index=track.frame_index[frames],
        pts_us=track.pts_us[frames],
        landmarks_T682=track.face_points[frames],
        quad_T42=track.quad_T42[frames],
        confidence=track.confidence[frames],
    )
    return TrackClip(track=part, crops_TRRC=clip.crops_TRRC[frames])
