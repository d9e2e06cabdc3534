"""From the staged parts of a video to the rows of its tables. Reads one track at a time, so memory follows the longest
track and not the film.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.staging import SUMMED, Cut, Staging, identity_of
from schemas.clips import PartKey, ratio_of_sums
from schemas.emotions import N_EMOTIONS
from schemas.job import Job
from schemas.tables import FRAMES, SHOTS, TRACKS, track_id

# Two faces at one seam are the same when their landmark boxes overlap by half: one frame apart, a face hardly moves.
# Subjects without landmarks are where their crops are.
SAME_FACE_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class AssembledTrack:
    """One face through one shot: its rows of `frames` (without the partition column) and its row of `tracks`."""

    frames: pa.Table
    track: dict[str, Any]


def shot_rows(staging: Staging, cut: Cut) -> pa.Table:
    """The rows of `shots`. A thumbnail that a disk has lost is null: it is not worth the film's second reading."""
    thumbnails: dict[int, bytes] = {}
    for segment_index in range(cut.n_segments):
        thumbnails |= staging.read_thumbnails(segment_index) or {}
    rows = [
        {"video_id": cut.video.video_id, **vars(shot), "thumbnail": thumbnails.get(shot.shot_index)}
        for shot in cut.shots
    ]
    return pa.Table.from_pylist(rows, schema=SHOTS)


def assemble_tracks(staging: Staging, cut: Cut, job: Job) -> Iterator[AssembledTrack]:
    """The tracks of a video in the order of (shot, track), each whole.

    A long shot was worked on in pieces; a face at the end of one piece and at the start of the next is one track.
    Tracks of a shot are numbered by the frame they start at, then by the piece they were found in.
    """
    for shot_index, parts in _by_shot(_all_parts(staging, cut)):
        for track_index, track_parts in enumerate(_join(staging, parts)):
            yield _assemble(staging, track_parts, shot_index, track_index, job)


def _all_parts(staging: Staging, cut: Cut) -> list[PartKey]:
    keys: list[PartKey] = []
    for segment_index in range(cut.n_segments):
        names = staging.read_parts(segment_index)
        if names is None:
            raise FileNotFoundError(f"{staging.video_id}: segment {segment_index} is not staged; run the job again")
        keys += [PartKey.parse(staging.video_id, name) for name in names]
    return keys


def _by_shot(keys: list[PartKey]) -> Iterator[tuple[int, list[PartKey]]]:
    for shot_index in sorted({key.shot_index for key in keys}):
        yield shot_index, sorted((key for key in keys if key.shot_index == shot_index), key=str)


def _join(staging: Staging, keys: list[PartKey]) -> list[list[PartKey]]:
    """The parts of one shot, gathered into tracks."""
    pieces: dict[tuple[int, int], list[PartKey]] = {}
    for key in keys:
        pieces.setdefault((key.segment_index, key.track_index), []).append(key)
    if len({segment for segment, _ in pieces}) == 1:
        return list(pieces.values())  # the shot lies in one segment: nothing to join

    ends = {piece: _ends(staging, parts) for piece, parts in pieces.items()}
    tracks: list[list[PartKey]] = []
    last_piece: list[tuple[int, int]] = []  # of each track
    for piece in sorted(pieces):
        candidates = [
            (_iou(ends[before].last_box, ends[piece].first_box), i)
            for i, before in enumerate(last_piece)
            if before[0] == piece[0] - 1 and ends[before].last_frame == ends[piece].first_frame - 1
        ]
        best_iou, best = max(candidates, default=(0.0, -1))
        if best_iou >= SAME_FACE_IOU:
            tracks[best] += pieces[piece]
            last_piece[best] = piece
        else:
            tracks.append(list(pieces[piece]))
            last_piece.append(piece)
    first_frame = {id(track): ends[track[0].segment_index, track[0].track_index].first_frame for track in tracks}
    return sorted(tracks, key=lambda track: (first_frame[id(track)], str(track[0])))


@dataclass(frozen=True)
class _Ends:
    first_frame: int
    last_frame: int
    first_box: NDArray[np.float32]
    last_box: NDArray[np.float32]


def _ends(staging: Staging, parts: list[PartKey]) -> _Ends:
    columns = ["frame_index", "landmarks", "quad"]
    head, tail = (staging.read_part(str(part), columns) for part in (parts[0], parts[-1]))
    return _Ends(
        first_frame=head["frame_index"][0].as_py(),
        last_frame=tail["frame_index"][-1].as_py(),
        first_box=_box(head.slice(0, 1)),
        last_box=_box(tail.slice(tail.num_rows - 1)),
    )


def _box(row: pa.Table) -> NDArray[np.float32]:
    points = row["landmarks"][0].as_py() or row["quad"][0].as_py()
    points_P2 = np.asarray(points, np.float32).reshape(-1, 2)
    return np.concatenate([points_P2.min(0), points_P2.max(0)])


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    shared = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared
    return float(shared / union) if union > 0 else 0.0


def _assemble(staging: Staging, parts: list[PartKey], shot_index: int, track_index: int, job: Job) -> AssembledTrack:
    tables = [staging.read_part(str(part)) for part in parts]
    rows = pa.concat_tables(tables)
    name = track_id(staging.video_id, shot_index, track_index)
    n = rows.num_rows
    columns = {
        "track_id": pa.array([name] * n),
        "shot_index": pa.array([shot_index] * n, pa.int32()),
        "track_index": pa.array([track_index] * n, pa.int32()),
    }
    order = [column for column in FRAMES.names if column != "video_id"]
    frames = pa.table(
        [columns.get(column, rows[column] if column in rows.column_names else None) for column in order],
        schema=pa.schema([FRAMES.field(column) for column in order]),
    )
    track = _track_row(rows, staging.video_id, name, shot_index, track_index, job)
    return AssembledTrack(frames=frames, track={**track, "identity": _identity(tables)})


def _identity(parts: list[pa.Table]) -> list[float] | None:
    """The mean over the parts that have one, weighted by their frames."""
    found = [(identity, part.num_rows) for part in parts if (identity := identity_of(part)) is not None]
    if not found:
        return None
    identities, n_frames = zip(*found, strict=True)
    mean_128: list[float] = np.average(np.array(identities, np.float64), axis=0, weights=n_frames).tolist()
    return mean_128


def _track_row(rows: pa.Table, video_id: str, name: str, shot_index: int, track_index: int, job: Job) -> dict[str, Any]:
    frame_index, pts_us = rows["frame_index"].to_numpy(), rows["pts_us"].to_numpy()
    total = {name: rows[name].to_numpy() for name in SUMMED}
    has_emotion = rows["emotion_probs"].null_count == 0
    emotion, counts = None, None
    if has_emotion:
        probs_T7 = np.asarray(rows["emotion_probs"].to_pylist(), np.float64)
        emotion = int(probs_T7.mean(0).argmax())
        counts = np.bincount(rows["emotion"].to_numpy(), minlength=N_EMOTIONS).tolist()
    lpips = rows["lpips"]
    return {
        "track_id": name,
        "video_id": video_id,
        "shot_index": shot_index,
        "track_index": track_index,
        "first_frame": int(frame_index[0]),
        "n_frames": len(frame_index),
        "start_us": int(pts_us[0]),
        "end_us": int(pts_us[-1]),
        "gaps": int((rows["confidence"].to_numpy() == 0).sum()),
        "method": job.config.inversion.method,
        "generator_id": job.generator.generator_id,
        "psnr": float(rows["psnr"].to_numpy().mean(dtype=np.float64)),
        "lpips": None if lpips.null_count else float(lpips.to_numpy().mean(dtype=np.float64)),
        "flicker": ratio_of_sums(total["change_error"], total["change"]),
        "knots": None if rows["knot"].null_count else int(rows["knot"].to_numpy(zero_copy_only=False).sum()),
        "velocity": ratio_of_sums(total["step"], total["step_s"]),
        "acceleration": ratio_of_sums(total["turn"], total["turn_s"]),
        "emotion": emotion,
        "emotion_counts": counts,
        "person_id": None,  # given when the films of a run are there: see pipeline/people.py
    }


def track_rows(tracks: list[dict[str, Any]]) -> pa.Table:
    """The rows of `tracks`."""
    return pa.Table.from_pylist(tracks, schema=TRACKS)
