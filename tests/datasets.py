"""Datasets with known rows, committed as a run commits them, without films and without Ray."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.commit import Pins, app_id, append_once
from pipeline.create_tables import open_or_create
from pipeline.final_files import FinalFile, write_frames, write_rows
from pipeline.rewrite import commit_video
from pipeline.tables import Tables
from schemas.job import Job
from schemas.tables import FRAMES, SHOTS, TRACKS, VIDEOS, TableName, track_id
from tests import builders

FRAME_US = 40_000  # 25 frames a second


@dataclass(frozen=True, kw_only=True)
class KnownTrack:
    """One face. Frames in `filled` were not seen by the finder; frames in `missing` are not there at all."""

    n_frames: int
    first_frame: int = 0
    shot_index: int = 0
    filled: tuple[int, ...] = ()  # counted from first_frame
    missing: tuple[int, ...] = ()
    emotion: int | None = 6
    emotions: tuple[int, ...] = ()  # of each frame, where they change; `emotion` is then the track's
    psnr: float = 30.0
    person_id: str | None = None
    identity: NDArray[np.float32] | None = None  # (128,)
    face_px: float = 100.0
    w_TLD: NDArray[np.float32] | None = None  # (n_frames, num_ws, w_dim); None: every value is the frame's number


@dataclass(frozen=True, kw_only=True)
class KnownFilm:
    """A film and its tracks. `status` quarantined: a row in `videos` and nothing else."""

    video_id: str
    tracks: list[KnownTrack] = field(default_factory=list)
    uri: str = "film.mp4"
    status: str = "committed"
    height: int = 360


def make_dataset(path: str, films: list[KnownFilm], job: Job | None = None, **how: Any) -> Tables:
    """Commits the films one after the other. Takes: a job of that path; None: `builders.job`'s tiny generator."""
    canonical: dict[str, Any]
    made, canonical = builders.job(path)
    job = job or made
    tables, _ = open_or_create(job, canonical, anew=False)
    for film in films:
        commit_film(tables, job, film, **how)
    return tables


def commit_film(tables: Tables, job: Job, film: KnownFilm, replaces: tuple[str, ...] = ()) -> None:
    """As `finalise` does."""
    store = tables.store
    pins: Pins = {}
    if film.status == "committed":
        files: dict[TableName, list[FinalFile]] = {
            "frames": write_frames(store, film.video_id, (_frames(film, i, job) for i in range(len(film.tracks)))),
            "tracks": write_rows(store, "tracks", _tracks(film, job)),
            "shots": write_rows(store, "shots", _shots(film)),
        }
        for name, added in files.items():
            app = app_id(name, film.video_id, job.config_id)
            what = f"rows of {film.uri}"
            pins[name] = append_once(tables, name, added, app=app, generation=job.generation, what=what)
    commit_video(
        tables,
        _video(film, job),
        config_id=job.config_id,
        generation=job.generation,
        replaces=replaces,
        what=f"{film.status} {film.uri}",
        pins=pins,
    )


def frame_numbers(track: KnownTrack) -> NDArray[np.int64]:
    """Those that have a row."""
    kept = [i for i in range(track.n_frames) if i not in track.missing]
    return track.first_frame + np.array(kept, np.int64)


def _name(film: KnownFilm, i: int) -> tuple[str, int]:
    """The id of track i, and its number in its shot."""
    shot = film.tracks[i].shot_index
    number = sum(track.shot_index == shot for track in film.tracks[:i])
    return track_id(film.video_id, shot, number), number


def _frames(film: KnownFilm, i: int, job: Job) -> pa.Table:
    track = film.tracks[i]
    name, number = _name(film, i)
    frame_index = frame_numbers(track)
    rows = frame_index - track.first_frame
    n, width = len(rows), job.generator.num_ws * job.generator.w_dim
    w_TD = np.repeat(frame_index[:, None], width, 1) if track.w_TLD is None else track.w_TLD[rows].reshape(n, width)
    quad = np.array([0, 0, 0, 1, 1, 1, 1, 0], np.float32) * track.face_px
    emotions = [(track.emotions or (track.emotion,) * track.n_frames)[row] for row in rows]
    probs = [None if emotion is None else np.eye(7, dtype=np.float32)[emotion].tolist() for emotion in emotions]
    columns: dict[str, Any] = {
        "track_id": [name] * n,
        "shot_index": [track.shot_index] * n,
        "track_index": [number] * n,
        "frame_index": frame_index,
        "pts_us": frame_index * FRAME_US,
        "w": _lists(w_TD.astype(np.float16)),
        "emotion": emotions,
        "emotion_probs": probs,
        "quad": [quad.tolist()] * n,
        "landmarks": [[0.0] * 136] * n,
        "confidence": np.array([0.0 if row in track.filled else 1.0 for row in rows], np.float32),
        "psnr": [track.psnr] * n,
        "lpips": [None] * n,
        "knot": [None] * n,
        "noise": [None] * n,
    }
    schema = pa.schema([FRAMES.field(column) for column in FRAMES.names if column != "video_id"])
    return pa.table([pa.array(columns[column], schema.field(column).type) for column in schema.names], schema=schema)


def _lists(w_TD: NDArray[np.float16]) -> pa.ListArray:
    n, width = w_TD.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(width))
    return pa.ListArray.from_arrays(offsets, pa.array(w_TD.astype(np.float32).ravel()), type=FRAMES.field("w").type)


def _tracks(film: KnownFilm, job: Job) -> pa.Table:
    rows = []
    for i, track in enumerate(film.tracks):
        name, number = _name(film, i)
        frame_index = frame_numbers(track)
        row = dict.fromkeys(TRACKS.names)
        row |= dict(track_id=name, video_id=film.video_id, shot_index=track.shot_index, track_index=number)
        row |= dict(first_frame=int(frame_index[0]), n_frames=len(frame_index), gaps=len(track.filled))
        row |= dict(start_us=int(frame_index[0]) * FRAME_US, end_us=int(frame_index[-1]) * FRAME_US)
        row |= dict(method="sequential", generator_id=job.generator.generator_id, psnr=track.psnr, flicker=0.9)
        row |= dict(emotion=track.emotion, identity=track.identity, person_id=track.person_id)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=TRACKS)


def _shots(film: KnownFilm) -> pa.Table:
    rows = []
    for shot in sorted({track.shot_index for track in film.tracks}):
        frames = np.concatenate([frame_numbers(track) for track in film.tracks if track.shot_index == shot])
        first, n = int(frames.min()), int(np.ptp(frames)) + 1
        row = dict(video_id=film.video_id, shot_index=shot, first_frame=first, n_frames=n)
        rows.append(row | dict(start_us=first * FRAME_US, end_us=(first + n) * FRAME_US))
    return pa.Table.from_pylist(rows, schema=SHOTS)


def _video(film: KnownFilm, job: Job) -> pa.Table:
    row: dict[str, Any] = dict.fromkeys(VIDEOS.names)
    row |= dict(video_id=film.video_id, uri=film.uri, bytes=1000, fps=25.0, width=640, height=film.height)
    row |= dict(n_tracks=len(film.tracks), n_latents=sum(len(frame_numbers(track)) for track in film.tracks))
    row |= dict(n_shots=len({track.shot_index for track in film.tracks}), status=film.status, attempts=0)
    row |= dict(config_id=job.config_id, run_id=job.run_id, committed_at=datetime.now(UTC))
    if film.status == "quarantined":
        row |= dict(stage="probe", reason="the file ends early", attempts=1)
    return pa.Table.from_pylist([row], schema=VIDEOS)
