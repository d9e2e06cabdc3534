"""The last step for one video: from staged parts to committed rows. It may be killed between any two lines.

Written in order of time, with what a crash leaves behind:
    final files     orphans, rewritten with equal names and bytes by the next run
    frames          rows that no view shows, because the film has no row in `videos`; repeating them is a no-op
    shots, tracks   the same
    videos          the film is committed, and those it replaces are out of sight; its staged files are leftovers,
                    removed by the next run over it; rows of replaced films in the other tables are swept by vacuum
"""

import logging
import shlex
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import DeltaError

from pipeline.assemble import assemble_tracks, shot_rows, track_rows
from pipeline.attempts import Attempts
from pipeline.commit import Pins, app_id, append_once
from pipeline.compact import compact
from pipeline.final_files import FinalFile, write_frames, write_rows
from pipeline.refused import refused_id
from pipeline.rewrite import commit_video, sweep
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from pipeline.tables import Tables
from schemas.clips import NOTHING_DROPPED
from schemas.errors import LatentreelError
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Status
from schemas.tables import VIDEOS, TableName

# Commits to `videos` between two compactions of the small tables. A reader opens at most so many small files; a merge
# rewrites less than one file of 64 MB a table beside what has come, which is 250 kB a film and 10 kB a shot for its
# picture: nothing beside its latents.
TIDY_EVERY = 256


@dataclass(frozen=True, kw_only=True)
class Fate:
    """How a film ended, and what it gave."""

    video_id: str
    uri: str
    status: Status
    n_shots: int = 0
    n_tracks: int = 0
    n_latents: int = 0
    n_small: int | None = None  # faces that filters left out; None: they were not counted
    n_turned: int | None = None
    n_blurred: int | None = None
    stage: str | None = None
    error_type: str | None = None
    reason: str | None = None


def finalise(task: Input, job: Job) -> Fate:
    """Commits a film whose segments are all staged. Safe to repeat.

    Not promised: that this call did the commit; another driver may have been faster, with the same rows.
    Raises: FileNotFoundError when something is not staged, and the film is not committed either.
    """
    try:
        return _finalise(task, job)
    except FileNotFoundError:  # another driver has committed the film and cleared what was staged
        fate = _settled(task, job)
        if fate is None:
            raise
        return fate


def _finalise(task: Input, job: Job) -> Fate:
    store = Store(job.dataset, job.storage_options)
    staging = Staging(store, job.config_id, task.video_id)
    cut = staging.read_cut()
    if cut is None:
        raise FileNotFoundError(f"{task.uri} is not cut; run `latentreel invert` on it again")

    tracks: list[dict[str, Any]] = []

    def frames_of_tracks() -> Any:
        for assembled in assemble_tracks(staging, cut, job):
            tracks.append(assembled.track)
            yield assembled.frames

    frame_files = write_frames(store, task.video_id, frames_of_tracks())
    dropped = sum((staging.read_dropped(i) for i in range(cut.n_segments)), NOTHING_DROPPED)
    damage_type = cut.video.damage_type
    fate = Fate(
        video_id=task.video_id,
        uri=task.uri,
        status="committed" if tracks else "no_faces",
        stage=damage_type and ("shots" if damage_type == "DamagedFrame" else "probe"),  # where it was found
        error_type=damage_type,
        reason=cut.video.damage,
        n_shots=len(cut.shots),
        n_tracks=len(tracks),
        n_latents=sum(track["n_frames"] for track in tracks),
        n_small=dropped.small,
        n_turned=dropped.turned,
        n_blurred=dropped.blurred,
    )
    pins: Pins = {}
    if tracks:
        pins["frames"] = _append(job, "frames", task, frame_files)
        pins["tracks"] = _append(job, "tracks", task, write_rows(store, "tracks", track_rows(tracks)))
    pins["shots"] = _append(job, "shots", task, write_rows(store, "shots", shot_rows(staging, cut)))
    _commit_video(task, job, _video_row(task, job, fate, cut), f"{fate.status} {task.uri}", pins)
    staging.clear()
    return fate


def _settled(task: Input, job: Job) -> Fate | None:
    """The fate that the dataset already holds."""
    columns = [column.name for column in fields(Fate) if column.name not in {"video_id", "uri"}]
    tables = Tables(job.dataset, job.storage_options)
    rows = tables.read("videos", columns, only=ds.field("video_id") == task.video_id).to_pylist()
    return Fate(video_id=task.video_id, uri=task.uri, **rows[0]) if rows else None


def quarantine(task: Input, job: Job, error: ErrorRow) -> Fate:
    """Commits the film's row in `videos` with the reason and the command that repeats it; its staged parts go."""
    store = Store(job.dataset, job.storage_options)
    fate = Fate(
        video_id=task.video_id,
        uri=task.uri,
        status="quarantined",
        stage=error.stage,
        error_type=error.error_type,
        reason=f"{error.message}; to see it again: `{_replay_command(job, error)}`",
    )
    staging = Staging(store, job.config_id, task.video_id)
    row = _video_row(task, job, fate, staging.read_cut())
    refused = tuple(old for old in task.replaces if old == refused_id(task.uri))  # a bad film replaces no good one
    _commit_video(replace(task, replaces=refused), job, row, f"quarantined {task.uri}", {})
    staging.clear()
    return fate


def _replay_command(job: Job, error: ErrorRow) -> str:
    segment = [] if error.segment_index is None else [str(error.segment_index)]
    return shlex.join(["latentreel", "replay", job.dataset_as_given or job.dataset, error.video_id, *segment])


def _append(job: Job, table: TableName, task: Input, files: list[FinalFile]) -> int:
    """Gives a version of the table that holds the files."""
    tables, app = Tables(job.dataset, job.storage_options), app_id(table, task.video_id, job.config_id)
    return append_once(tables, table, files, app=app, generation=job.generation, what=f"rows of {task.uri}")


def _tidy(tables: Tables, version: int) -> None:
    """Now and then merges the small files that films leave in the small tables. The film is committed already."""
    if version % TIDY_EVERY == 0:
        try:
            compact(tables, ("shots", "tracks", "videos"))
        except (OSError, DeltaError, LatentreelError, pa.ArrowException) as err:
            logging.getLogger(__name__).warning("%s is not compacted (%s); it is whole", tables.root, err)


def _commit_video(task: Input, job: Job, row: pa.Table, what: str, pins: Pins) -> None:
    tables = Tables(job.dataset, job.storage_options)
    if task.replaces:
        what += " in place of its former content"
    version = commit_video(
        tables,
        row,
        config_id=job.config_id,
        generation=job.generation,
        replaces=task.replaces,
        what=what,
        pins=pins,
    )
    if task.replaces:
        sweep(tables, task.replaces, config_id=job.config_id)
    _tidy(tables, version)


def _video_row(task: Input, job: Job, fate: Fate, cut: Cut | None) -> pa.Table:
    video = cut.video if cut is not None else None
    row = {
        "video_id": task.video_id,
        "uri": task.uri,
        "bytes": task.bytes,
        "duration_s": video and video.duration_s,
        "fps": video and video.fps,
        "width": video and video.width,
        "height": video and video.height,
        "codec": video and video.codec,
        "decoder": video and video.decoder,
        "n_frames": video and video.n_frames,
        "n_shots": len(cut.shots) if cut is not None else None,
        "n_tracks": fate.n_tracks,
        "n_latents": fate.n_latents,
        "n_small": fate.n_small,
        "n_turned": fate.n_turned,
        "n_blurred": fate.n_blurred,
        "status": fate.status,
        "stage": fate.stage,
        "error_type": fate.error_type,
        "reason": fate.reason,
        "attempts": Attempts(Store(job.dataset, job.storage_options), job.config_id, task.video_id).count(),
        "config_id": job.config_id,
        "run_id": job.run_id,
        "committed_at": datetime.now(UTC),
    }
    return pa.Table.from_pylist([row], schema=VIDEOS)
