"""The files of `frames` as training reads them: which there are, which tracks of them are wanted, their rows.

Opened where they are read: no connection, no table and no open file travels to another process.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data_files import DataFile
from pipeline.store import Store
from pipeline.window_plan import Ints

_SHOT = 2**32  # a track's number inside its film: shot_index * _SHOT + track_index
_WANTED = pa.large_list(pa.int64())


def wanted_tracks(where: str) -> str:
    """A question for the films that have such tracks, and these. Takes: a condition over `tracks`, in SQL."""
    # on lines of its own: it may end in a comment
    return (
        f"select video_id, list(shot_index::bigint * {_SHOT} + track_index order by shot_index, track_index) as wanted "
        f"from tracks where (\n{where}\n) group by video_id"
    )


def wanted_files(files: list[DataFile], chosen: pa.Table | None) -> pa.Table:
    """One row per file: path, video_id, size, n_rows, and `wanted`, its tracks (null: all) at 8 bytes each.

    Takes: the committed files of `frames`; columns video_id and `wanted` of what is asked for, None for everything.
    """
    films = pa.array([file.partition["video_id"] for file in files], pa.string())
    table = pa.table(
        {
            "path": pa.array([f"frames/{file.path}" for file in files], pa.string()),
            "video_id": films,
            "size": pa.array([file.size for file in files], pa.int64()),
            "n_rows": pa.array([file.n_rows for file in files], pa.int64()),
        }
    )
    if chosen is None:
        return table.append_column("wanted", pa.nulls(len(files), _WANTED))
    row = pc.index_in(films, chosen["video_id"])
    wanted = chosen["wanted"].cast(_WANTED).take(row)
    return table.append_column("wanted", wanted).filter(row.is_valid())


def track_keys(table: pa.Table) -> Ints:
    """Of each row."""
    shot, track = (table[name].to_numpy().astype(np.int64) for name in ("shot_index", "track_index"))
    keys: Ints = shot * _SHOT + track
    return keys


@dataclass(frozen=True, kw_only=True)
class FrameFiles:
    """Takes: what `wanted_files` gives. Each process makes its own; fsspec forgets its connections in a forked one."""

    files: pa.Table
    store: Store
    footers: dict[int, pq.FileMetaData] = field(default_factory=dict)  # of files that are read again soon

    def group_rows(self, file: int) -> list[int]:
        """How many rows each row group has."""
        footer = self._footer(file)
        return [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]

    def read(self, file: int, groups: range, columns: list[str]) -> pa.Table:
        """Rows of some row groups, on this thread."""
        with self._open(file) as source:
            parquet = pq.ParquetFile(source, metadata=self._footer(file), pre_buffer=not self._is_local)
            return parquet.read_row_groups(list(groups), columns=columns, use_threads=False)

    def wanted(self, file: int) -> Ints | None:
        """As `track_keys` numbers them; None: all."""
        keys = self.files["wanted"][file].values
        return None if keys is None else keys.to_numpy()

    def video_id(self, file: int) -> str:
        return str(self.files["video_id"][file])

    def _footer(self, file: int) -> pq.FileMetaData:
        if file not in self.footers:
            with self._open(file) as source:
                self.footers[file] = pq.read_metadata(source)
        return self.footers[file]

    def _open(self, file: int) -> Any:
        path = self.store.path(self.files["path"][file].as_py())
        if self._is_local:
            return pa.OSFile(path)
        # A cache that reads ahead would fetch 50 MB after each row group; the size saves a question to the store.
        return self.store.filesystem.open(path, "rb", size=self.files["size"][file].as_py(), cache_type="none")

    @cached_property
    def _is_local(self) -> bool:
        return self.store.is_local
