"""The four tables of a dataset, as Arrow schemas that Delta accepts. Columns are documented in the README.

L style layers (num_ws), D style width (w_dim): `w` holds L * D values, row-major, rounded to float16 precision. Delta
has no float16, so they are stored as float32 whose lower bits are zero, which BYTE_STREAM_SPLIT and zstd remove.
"""

from typing import Literal, get_args

import pyarrow as pa

TableName = Literal["frames", "shots", "tracks", "videos"]
TABLES: tuple[TableName, ...] = get_args(TableName)  # in the order of commit: `videos` last makes a film visible

MemoryName = Literal["_sources", "_people"]  # what was read where, and who is known: no view shows them
MEMORIES: tuple[MemoryName, ...] = get_args(MemoryName)
StoredName = TableName | MemoryName

PARTITION_BY: dict[StoredName, list[str]] = {
    "frames": ["video_id"],
    "shots": [],
    "tracks": [],
    "videos": [],
    "_sources": [],
    "_people": [],
}
# Of rows inside a file, and what files are told apart by: a reader of one film skips the others.
SORT_BY: dict[TableName, list[str]] = {
    "frames": ["track_id", "frame_index"],
    "shots": ["video_id", "shot_index"],
    "tracks": ["video_id", "shot_index", "track_index"],
    "videos": ["video_id"],
}


def _column(name: str, kind: pa.DataType, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null)


def _floats() -> pa.DataType:
    # `element` is the child's name in Delta and in Parquet; another name would be renamed and miss its encoding
    return pa.list_(pa.field("element", pa.float32(), nullable=False))


_INT, _LONG, _TEXT, _FLOAT, _DOUBLE = pa.int32(), pa.int64(), pa.string(), pa.float32(), pa.float64()

VIDEOS = pa.schema(
    [
        _column("video_id", _TEXT),
        _column("uri", _TEXT),
        _column("bytes", _LONG),
        _column("duration_s", _DOUBLE, null=True),  # null, as all that follow: quarantined before it was known
        _column("fps", _DOUBLE, null=True),
        _column("width", _INT, null=True),
        _column("height", _INT, null=True),
        _column("codec", _TEXT, null=True),
        _column("decoder", _TEXT, null=True),
        _column("n_frames", _LONG, null=True),
        _column("n_shots", _INT, null=True),
        _column("n_tracks", _INT),
        _column("n_latents", _LONG),
        _column("n_small", _LONG, null=True),  # faces in frames that were found and left out: too small, …
        _column("n_turned", _LONG, null=True),  # … turned too far from the camera …
        _column("n_blurred", _LONG, null=True),  # … or blurred
        _column("status", _TEXT),  # committed | no_faces | quarantined
        _column("stage", _TEXT, null=True),  # where it failed; of a film that was used in part, what found the damage
        _column("error_type", _TEXT, null=True),
        _column("reason", _TEXT, null=True),  # in words a person understands
        _column("attempts", _INT),
        _column("config_id", _TEXT),
        _column("run_id", _TEXT),
        _column("committed_at", pa.timestamp("us", tz="UTC")),
    ]
)

SHOTS = pa.schema(
    [
        _column("video_id", _TEXT),
        _column("shot_index", _INT),
        _column("first_frame", _LONG),
        _column("n_frames", _LONG),
        _column("start_us", _LONG),
        _column("end_us", _LONG),
        _column("thumbnail", pa.binary(), null=True),  # JPEG of the shot's middle frame
    ]
)

TRACKS = pa.schema(
    [
        _column("track_id", _TEXT),
        _column("video_id", _TEXT),
        _column("shot_index", _INT),
        _column("track_index", _INT),
        _column("first_frame", _LONG),
        _column("n_frames", _LONG),
        _column("start_us", _LONG),
        _column("end_us", _LONG),  # pts of the last frame
        _column("gaps", _INT),  # frames that the finder missed and the tracker filled in
        _column("method", _TEXT),
        _column("generator_id", _TEXT),
        _column("psnr", _FLOAT),  # mean over frames, dB
        _column("lpips", _FLOAT, null=True),
        _column("flicker", _FLOAT, null=True),  # mean |dG - dI| over mean |dI|; null: nothing moves
        # Of the whitened latents, units per second (squared); null: fewer than two (three) frames.
        _column("knots", _INT, null=True),  # latents that say all of it; null: every frame has its own
        _column("velocity", _FLOAT, null=True),
        _column("acceleration", _FLOAT, null=True),
        _column("emotion", pa.int8(), null=True),  # the most probable one over the whole track
        _column("emotion_counts", pa.list_(pa.field("element", _INT, nullable=False)), null=True),
        _column("identity", _floats(), null=True),  # 128 by dlib's network, mean over frames; null: nobody's face
        _column("person_id", _TEXT, null=True),  # given after the run that committed the track; null: not yet
    ]
)

FRAMES = pa.schema(
    [
        _column("video_id", _TEXT),
        _column("track_id", _TEXT),
        _column("shot_index", _INT),
        _column("track_index", _INT),
        _column("frame_index", _LONG),
        _column("pts_us", _LONG),
        _column("w", _floats()),
        _column("emotion", pa.int8(), null=True),
        _column("emotion_probs", _floats(), null=True),
        _column("quad", _floats()),  # 8: x, y of TL, BL, BR, TR in pixels of the upright film
        _column("landmarks", _floats(), null=True),  # 136: x, y of the 68 iBUG points; null: the subject is no face
        _column("confidence", _FLOAT),  # 0: filled in
        _column("psnr", _FLOAT),
        _column("lpips", _FLOAT, null=True),
        _column(
            "knot", pa.bool_(), null=True
        ),  # scene: w moves in straight lines, by pts_us, between frames where it is true
        _column("noise", _floats(), null=True),  # packed maps that belong to w; null: the generator's own
    ]
)

SOURCES = pa.schema(
    [
        _column("uri", _TEXT),
        _column("bytes", _LONG),
        _column("tag", _TEXT),  # ETag, or times and inode, when the file was read
        _column("video_id", _TEXT),  # what it held then
        _column("seen", _LONG),  # version of this table: the largest of a uri counts
    ]
)

PEOPLE = pa.schema(
    [
        _column("person_id", _TEXT),
        _column("identity", _floats()),  # mean over the person's tracks, weighted by frames
        _column("n_tracks", _LONG),
        _column("n_frames", _LONG),
        _column("seen", _LONG),  # version of this table: the largest of a person counts
    ]
)

SCHEMAS: dict[StoredName, pa.Schema] = {
    "videos": VIDEOS,
    "shots": SHOTS,
    "tracks": TRACKS,
    "frames": FRAMES,
    "_sources": SOURCES,
    "_people": PEOPLE,
}


def track_id(video_id: str, shot_index: int, track_index: int) -> str:
    """Sorts as the film runs."""
    return f"{video_id}-{shot_index:05d}-{track_index:03d}"
