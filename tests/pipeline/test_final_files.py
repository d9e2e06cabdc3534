"""The committed files: the encoding that makes them small, whole tracks in row groups, equal bytes for equal rows."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import final_files
from pipeline.assemble import assemble_tracks
from pipeline.final_files import write_frames
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from tests import builders


def _tracks(path: Path, lengths: list[int]) -> list[pa.Table]:
    staging = Staging(Store(str(path)), "config", "v" * 32)
    keys = [builders.part_key(track=i) for i in range(len(lengths))]
    for key, n in zip(keys, lengths, strict=True):
        staging.write_part(builders.latent_clip(builders.face_track(key.track_index, n, key=key)))
    staging.write_parts(0, keys)
    cut = Cut(video=builders.video(max(lengths) + len(lengths)), shots=(builders.shot(0, 1),), n_segments=1)
    return [assembled.frames for assembled in assemble_tracks(staging, cut, builders.job(str(path))[0])]


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        pytest.param([10, 20], [30], id="short_tracks_share_a_group"),
        pytest.param([200, 100, 50], [300, 50], id="a_group_is_near_256_rows"),
        pytest.param([600], [300, 300], id="a_long_track_in_slices"),
    ],
)
def test_row_groups(tmp_path: Path, lengths: list[int], groups: list[int]) -> None:
    (file,) = write_frames(Store(str(tmp_path)), "v" * 32, _tracks(tmp_path, lengths))
    metadata = pq.read_metadata(tmp_path / "frames" / file.path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == groups


def test_latents_are_byte_stream_split(tmp_path: Path) -> None:
    (file,) = write_frames(Store(str(tmp_path)), "v" * 32, _tracks(tmp_path, [10]))
    columns = pq.read_metadata(tmp_path / "frames" / file.path).row_group(0)
    encodings = {columns.column(i).path_in_schema: columns.column(i).encodings for i in range(columns.num_columns)}
    for name in ("w", "quad", "landmarks", "emotion_probs"):
        assert "BYTE_STREAM_SPLIT" in encodings[f"{name}.list.element"], name
        assert "PLAIN" not in encodings[f"{name}.list.element"], name


def test_equal_rows_are_equal_files(tmp_path: Path) -> None:
    names = [
        [file.path for file in write_frames(Store(str(tmp_path / side)), "v", _tracks(tmp_path / side, [40, 30]))]
        for side in ("a", "b")
    ]
    assert names[0] == names[1]


def test_a_track_never_crosses_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final_files, "FILE_BYTES_MAX", 1)  # every track overflows
    files = write_frames(Store(str(tmp_path)), "v" * 32, _tracks(tmp_path, [300, 20, 300]))
    tracks = [set(pq.read_table(tmp_path / "frames" / file.path)["track_id"].to_pylist()) for file in files]
    assert all(a.isdisjoint(b) for i, a in enumerate(tracks) for b in tracks[i + 1 :])
    assert len(files) >= 2


def test_stats_let_readers_skip(tmp_path: Path) -> None:
    (file,) = write_frames(Store(str(tmp_path)), "v" * 32, _tracks(tmp_path, [10, 20]))
    stats = json.loads(file.stats)
    assert stats["numRecords"] == 30
    assert (stats["minValues"]["frame_index"], stats["maxValues"]["frame_index"]) == (0, 20)
    content = (tmp_path / "frames" / file.path).read_bytes()
    assert len(content) == file.size
    assert pq.read_table(io.BytesIO(content)).num_rows == 30
