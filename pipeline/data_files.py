"""The Parquet files of one version of a table, as its log names them."""

from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A committed file."""

    path: str  # below the table's folder
    size: int
    partition: dict[str, str | None]
    n_rows: int
    first_video: str | None  # of its rows, in the order of video_id; None where the log does not say
    last_video: str | None

    def may_hold(self, video_ids: set[str]) -> bool:
        """False where the log proves that it has no row of these films."""
        if self.first_video is None or self.last_video is None:
            return True
        return any(self.first_video <= video_id <= self.last_video for video_id in video_ids)


def data_files(table: DeltaTable) -> list[DataFile]:
    """Sorted by path, which for `frames` is by film."""
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions()).read_all()  # pa.table would load pandas: 1.5 s
    n = actions.num_rows
    partitions = actions["partition"].to_pylist() if "partition" in actions.column_names else [{}] * n
    first, last = (
        [partition["video_id"] for partition in partitions] if any(partitions) else _bound(actions, side)
        for side in ("min", "max")
    )
    columns = (actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
    found = [
        DataFile(path=path, size=size, partition=partition, n_rows=n_rows, first_video=low, last_video=high)
        for path, size, n_rows, partition, low, high in zip(*columns, partitions, first, last, strict=True)
    ]
    return sorted(found, key=lambda file: file.path)


def null_counts(table: DeltaTable, column: str) -> dict[str, int | None]:
    """Path -> how many of a file's rows have no value in a column; None where the log does not say."""
    actions = pa.RecordBatchReader.from_stream(table.get_add_actions()).read_all()
    counts: list[int | None] = [None] * actions.num_rows
    if actions.num_rows and "null_count" in actions.column_names:
        nulls = actions["null_count"].combine_chunks()
        if nulls.type.get_field_index(column) >= 0:
            counts = nulls.field(column).to_pylist()
    return dict(zip(actions["path"].to_pylist(), counts, strict=True))


def _bound(actions: pa.Table, side: str) -> list[str | None]:
    if side not in actions.column_names or actions.num_rows == 0:
        return [None] * actions.num_rows
    bounds = actions[side].combine_chunks()
    names = [bounds.type.field(i).name for i in range(bounds.type.num_fields)]
    return list(bounds.field("video_id").to_pylist()) if "video_id" in names else [None] * actions.num_rows
