"""Rows with known content, for tests that need no film."""

from typing import Any

import numpy as np

from schemas.clips import FaceTrack, LatentClip, Motion, PartKey
from schemas.config import Config, config_id
from schemas.generators import GeneratorInfo
from schemas.job import Job
from schemas.video import Shot, Video

NUM_WS, W_DIM = 4, 8


def video(n_frames: int = 24, *, video_id: str = "v" * 32, **changes: Any) -> Video:
    facts: dict[str, Any] = dict(
        video_id=video_id, uri="film.mp4", bytes=1, codec="h264", fps=24.0, width=320, height=180, decoder="decord"
    )
    return Video(**(facts | changes), pts_us=np.arange(n_frames) * 41_667)


def shot(first_frame: int, n_frames: int, *, index: int = 0) -> Shot:
    return Shot(
        shot_index=index,
        first_frame=first_frame,
        n_frames=n_frames,
        start_us=first_frame * 41_667,
        end_us=(first_frame + n_frames) * 41_667,
    )


def face_track(
    first_frame: int,
    n_frames: int,
    *,
    key: PartKey,
    warmup_frames: int = 0,
    x: float = 100.0,
    emotion: int | None = None,
    identity: float | None = None,
) -> FaceTrack:
    """A face 60 pixels wide at `x`. The warm-up frames come before `first_frame`. All numbers of its identity equal."""
    frame_index = np.arange(first_frame - warmup_frames, first_frame + n_frames, dtype=np.int32)
    n = len(frame_index)
    points_682 = np.stack([np.linspace(x, x + 60, 68), np.linspace(50, 110, 68)], -1).astype(np.float32)
    quad_42 = np.array([[x, 50], [x, 110], [x + 60, 110], [x + 60, 50]], np.float32)
    return FaceTrack(
        key=key,
        frame_index=frame_index,
        pts_us=frame_index.astype(np.int64) * 41_667,
        landmarks_T682=np.repeat(points_682[None], n, 0),
        quad_T42=np.repeat(quad_42[None], n, 0),
        confidence=np.ones(n, np.float32),
        warmup_frames=warmup_frames,
        emotion_probs_T7=None if emotion is None else np.repeat(np.eye(7, dtype=np.float32)[emotion][None], n, 0),
        identity_128=None if identity is None else np.full(128, identity, np.float32),
    )


def latent_clip(track: FaceTrack) -> LatentClip:
    """w counts: each value is frame number + layer / 8, exact in float16."""
    layers_L1 = np.arange(NUM_WS, dtype=np.float32)[:, None] / 8
    w_TLD = track.frame_index[:, None, None].astype(np.float32) + np.broadcast_to(layers_L1, (NUM_WS, W_DIM))
    n = track.n_frames
    return LatentClip(
        track=track,
        w_TLD=w_TLD.astype(np.float32),
        psnr=np.full(n, 20.0, np.float32),
        lpips=None,
        change_error=np.full(n, 1.0, np.float32),
        change=np.full(n, 2.0, np.float32),
        motion=Motion(
            step=np.full(n, 3.0, np.float32),
            step_s=np.full(n, 0.5, np.float32),
            turn=np.full(n, 4.0, np.float32),
            turn_s=np.full(n, 0.5, np.float32),
        ),
    )


def part_key(video_id: str = "v" * 32, *, segment: int = 0, shot: int = 0, track: int = 0, part: int = 0) -> PartKey:
    return PartKey(video_id=video_id, segment_index=segment, shot_index=shot, track_index=track, part_index=part)


def job(dataset: str, config: Config | None = None) -> tuple[Job, dict[str, Any]]:
    """A job of a tiny generator, and its canonical settings."""
    config = config or Config()
    generator = GeneratorInfo(
        name="tiny", generator_id="tiny", content_id="tiny", resolution=32, num_ws=NUM_WS, w_dim=W_DIM
    )
    canonical = config.canonical(generator_id=generator.generator_id, emotion_id=None)
    found = Job(dataset=dataset, config=config, config_id=config_id(canonical), generator=generator, run_id="test-run")
    return found, canonical
