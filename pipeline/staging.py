"""Staged results of a video: immutable files that an interrupted run leaves and the next one takes up.

    _staging/<config_id>/<video_id>/cut.parquet            what the film is: facts, shots, pts
    _staging/<config_id>/<video_id>/seg00003.thumbs.parquet    a picture of each shot whose middle lies in segment 3
    _staging/<config_id>/<video_id>/seg00003.parts.json    segment 3's parts, and what was left out; before them
    _staging/<config_id>/<video_id>/seg00003-….parquet     one part of one track: rows of `frames` without their track

Nothing here is visible to a reader. File names say what a file answers for, and its content depends on the film and the
configuration alone, so whoever writes it second writes the same bytes.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.store import Store
from schemas.clips import NOTHING_DROPPED, Dropped, LatentClip, PartKey
from schemas.tables import FRAMES
from schemas.video import Shot, Video

# Columns whose sums over a track make one number of it. They add up over the parts and are not kept.
SUMMED = ("change_error", "change", "step", "step_s", "turn", "turn_s")
PART = pa.schema(
    [FRAMES.field(name) for name in FRAMES.names if name not in {"video_id", "track_id", "shot_index", "track_index"}]
    + [pa.field(name, pa.float32(), nullable=False) for name in SUMMED]
)
_META = b"latentreel"
_IDENTITY = "identity"
# What reading a file raises that a disk has damaged: we write them whole. Such a file counts as not staged.
_TORN = (pa.ArrowInvalid, OSError, ValueError, KeyError)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A film, probed and cut."""

    video: Video
    shots: tuple[Shot, ...]
    n_segments: int


@dataclass(frozen=True)
class Staging:
    """The staged files of one video under one configuration."""

    store: Store
    config_id: str
    video_id: str

    @property
    def folder(self) -> str:
        return f"_staging/{self.config_id}/{self.video_id}"

    def write_cut(self, cut: Cut) -> None:
        facts = {key: value for key, value in vars(cut.video).items() if key != "pts_us"}
        meta = {"video": facts, "shots": [asdict(shot) for shot in cut.shots], "n_segments": cut.n_segments}
        self._write("cut.parquet", pa.table({"pts_us": pa.array(cut.video.pts_us, pa.int64())}), meta)

    def read_cut(self) -> Cut | None:
        if not self.store.exists(f"{self.folder}/cut.parquet"):
            return None
        try:
            table, meta = self._read("cut.parquet")
        except _TORN:
            return None
        video = Video(**meta["video"], pts_us=table["pts_us"].to_numpy())
        return Cut(video=video, shots=tuple(Shot(**shot) for shot in meta["shots"]), n_segments=meta["n_segments"])

    def write_thumbnails(self, segment_index: int, jpegs: Mapping[int, bytes]) -> None:
        """Takes: by shot_index."""
        columns = {"shot_index": pa.array(list(jpegs), pa.int32()), "jpeg": pa.array(list(jpegs.values()), pa.binary())}
        self._write(_thumbnails_name(segment_index), pa.table(columns), {})

    def read_thumbnails(self, segment_index: int) -> dict[int, bytes] | None:
        """By shot_index; none may lie in a segment. None where they are not staged, or are torn."""
        try:
            table, _ = self._read(_thumbnails_name(segment_index))
        except (FileNotFoundError, *_TORN):
            return None
        return dict(zip(table["shot_index"].to_pylist(), table["jpeg"].to_pylist(), strict=True))

    def write_parts(self, segment_index: int, parts: list[PartKey], dropped: Dropped = NOTHING_DROPPED) -> None:
        found = {"parts": [str(key) for key in parts], "dropped": asdict(dropped)}
        self.store.write(self._parts_name(segment_index), json.dumps(found).encode())

    def read_parts(self, segment_index: int) -> list[str] | None:
        """The names of a segment's parts; None where its faces have not been found yet."""
        found = self._found(segment_index)
        return None if found is None else found["parts"]

    def read_dropped(self, segment_index: int) -> Dropped:
        """What was left out of a segment whose faces have been found."""
        found = self._found(segment_index)
        return NOTHING_DROPPED if found is None else Dropped(**found["dropped"])

    def _found(self, segment_index: int) -> dict[str, Any] | None:
        name = self._parts_name(segment_index)
        if not self.store.exists(name):
            return None
        try:
            found: dict[str, Any] = json.loads(self.store.read(name))
        except _TORN:
            return None
        return found

    def _parts_name(self, segment_index: int) -> str:
        return f"{self.folder}/seg{segment_index:05d}.parts.json"

    def write_part(self, clip: LatentClip) -> None:
        """The kept frames of a clip; its warm-up is dropped here."""
        identity = clip.track.identity_128
        meta = {} if identity is None else {_IDENTITY: identity.tolist()}
        self._write(f"{clip.track.key}.parquet", _rows(clip), meta)

    def read_part(self, part: str, columns: list[str] | None = None) -> pa.Table:
        """Raises: FileNotFoundError where it is not staged, or is torn: then it is removed, and made again."""
        try:
            return self._read(f"{part}.parquet", columns)[0]
        except FileNotFoundError:
            raise
        except _TORN as err:
            self.store.remove(f"{self.folder}/{part}.parquet")
            raise FileNotFoundError(
                f"{self.folder}/{part}.parquet was torn and is removed; the next run makes it again"
            ) from err

    def part_rows(self, part: str) -> int | None:
        """None where it is not staged, or is torn."""
        name = f"{self.folder}/{part}.parquet"
        if not self.store.exists(name):
            return None
        try:
            with pq.ParquetFile(io.BytesIO(self.store.read(name))) as file:
                return int(file.metadata.num_rows)
        except _TORN:
            return None

    def clear(self) -> None:
        self.store.remove_folder(self.folder)

    def _write(self, name: str, table: pa.Table, meta: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        table = table.replace_schema_metadata({_META: json.dumps(meta).encode()})
        pq.write_table(table, buffer, compression="zstd", compression_level=1, use_dictionary=False)
        self.store.write(f"{self.folder}/{name}", buffer.getvalue())

    def _read(self, name: str, columns: list[str] | None = None) -> tuple[pa.Table, dict[str, Any]]:
        buffer = io.BytesIO(self.store.read(f"{self.folder}/{name}"))
        meta = json.loads(pq.read_schema(buffer).metadata[_META])
        return pq.read_table(buffer, columns=columns), meta


def identity_of(part: pa.Table) -> NDArray[np.float32] | None:
    """(128,) as a part's clip had it, which `read_part` gives with the rows; None where it had none."""
    identity = json.loads(part.schema.metadata[_META]).get(_IDENTITY)
    return None if identity is None else np.array(identity, np.float32)


def clear_leftovers(store: Store, config_id: str, accounted: set[str]) -> None:
    """Removes what a run left that was killed between a film's last commit and the clearing of its staged files."""
    for video_id in store.folders(f"_staging/{config_id}"):
        if video_id in accounted:
            Staging(store, config_id, video_id).clear()


def _thumbnails_name(segment_index: int) -> str:
    return f"seg{segment_index:05d}.thumbs.parquet"


def _rows(clip: LatentClip) -> pa.Table:
    track, keep = clip.track, slice(clip.track.warmup_frames, None)
    n = track.n_kept
    probs_T7 = None if track.emotion_probs_T7 is None else track.emotion_probs_T7[keep]
    points_T682 = None if track.landmarks_T682 is None else track.landmarks_T682[keep]
    columns = {
        "frame_index": track.frame_index[keep].astype(np.int64),
        "pts_us": track.pts_us[keep],
        "w": _lists(clip.w_TLD[keep].reshape(n, -1)),
        "emotion": pa.nulls(n, pa.int8()) if probs_T7 is None else probs_T7.argmax(1).astype(np.int8),
        "emotion_probs": _nulls("emotion_probs", n) if probs_T7 is None else _lists(probs_T7),
        "quad": _lists(track.quad_T42[keep].reshape(n, -1)),
        "landmarks": _nulls("landmarks", n) if points_T682 is None else _lists(points_T682.reshape(n, -1)),
        "confidence": track.confidence[keep],
        "psnr": clip.psnr[keep],
        "lpips": pa.nulls(n, pa.float32()) if clip.lpips is None else clip.lpips[keep],
        "change_error": clip.change_error[keep],
        "change": clip.change[keep],
        "knot": pa.nulls(n, pa.bool_()) if clip.knot_T is None else _with_ends(clip.knot_T[keep]),
        "noise": _nulls("noise", n) if clip.noise_TP is None else _lists(clip.noise_TP[keep]),
        **{name: getattr(clip.motion, name)[keep] for name in ("step", "step_s", "turn", "turn_s")},
    }
    return pa.table(columns, schema=PART)


def _with_ends(knot_T: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A part begins and ends with a knot: what lies beyond is another path, or was dropped as warm-up."""
    knot_T = knot_T.copy()
    knot_T[[0, -1]] = True
    return knot_T


def _nulls(column: str, n: int) -> pa.Array:
    return pa.nulls(n, PART.field(column).type)


def _lists(values_TK: np.ndarray[Any, Any]) -> pa.ListArray:
    n, width = values_TK.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(width))
    values = pa.array(np.ascontiguousarray(values_TK, dtype=np.float32).ravel())
    return pa.ListArray.from_arrays(offsets, values, type=PART.field("w").type)
