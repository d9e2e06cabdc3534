"""The Parquet files of one video, as they are committed. Their bytes depend on the rows alone."""

import hashlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store import Store
from schemas.tables import SCHEMAS, StoredName

ROWS_PER_GROUP = 256  # 4.7 MB of float16 latents at 1024 px: what one window of a training run reads
SMALL_ROWS_PER_GROUP = 65_536  # of the other tables: a million tracks are read by all cores
# zstd sees one page. In pages of 1 MB, 28 frames, latents are 2 % larger (0.690 against 0.677 of raw float16), in pages
# of 256 kB 12 %; above 4 MB nothing is gained. A window reads its row group anyway.
PAGE_BYTES = 4 * 2**20
FILE_BYTES_MAX = 128 * 2**20  # a track never crosses a file, so a film's file may end a little above


@dataclass(frozen=True, kw_only=True)
class FinalFile:
    """One written file, ready to be added to a table."""

    path: str  # below the table's folder
    size: int
    partition: dict[str, str | None]
    stats: str  # JSON as Delta wants it


def write_frames(store: Store, video_id: str, tracks: Iterable[pa.Table]) -> list[FinalFile]:
    """Whole tracks in their order, row groups of whole tracks near 256 rows; long tracks in even slices."""
    files = []
    for content in _frame_files(tracks):
        files.append(_put(store, "frames", content, {"video_id": video_id}))
    return files


def write_rows(store: Store, table: StoredName, rows: pa.Table) -> list[FinalFile]:
    """Rows of a table without partitions, in the order given. A file of one film is named for it."""
    return [write_merged(store, table, [rows])]


def write_merged(store: Store, table: StoredName, rows: Iterable[pa.Table]) -> FinalFile:
    """The same for rows that come a few at a time: the same rows give the same file."""
    buffer, films = io.BytesIO(), set()
    with pq.ParquetWriter(buffer, SCHEMAS[table], **_encoding(SCHEMAS[table])) as writer:
        for group in _groups(rows):
            writer.write_table(group, SMALL_ROWS_PER_GROUP)
            if "video_id" in group.column_names:
                films |= {group["video_id"][0].as_py(), group["video_id"][-1].as_py()}
    return _put(store, table, buffer.getvalue(), {}, stem=films.pop() if len(films) == 1 else "part")


def _groups(rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Full row groups, and one with the rest."""
    waiting: list[pa.Table] = []
    n_waiting = 0
    for some in rows:
        waiting.append(some)
        n_waiting += some.num_rows
        while n_waiting >= SMALL_ROWS_PER_GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, SMALL_ROWS_PER_GROUP).combine_chunks()
            waiting = [joined.slice(SMALL_ROWS_PER_GROUP)]
            n_waiting -= SMALL_ROWS_PER_GROUP
    if n_waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _frame_files(tracks: Iterable[pa.Table]) -> Iterator[bytes]:
    buffer, writer = io.BytesIO(), None
    waiting: list[pa.Table] = []

    def flush() -> None:
        for batch in _slices(pa.concat_tables(waiting)):
            assert writer is not None
            writer.write_table(batch)
        waiting.clear()

    for track in tracks:
        if writer is None:
            buffer = io.BytesIO()
            writer = pq.ParquetWriter(buffer, track.schema, **_encoding(track.schema))
        waiting.append(track)
        if sum(table.num_rows for table in waiting) >= ROWS_PER_GROUP:
            flush()
        if buffer.tell() >= FILE_BYTES_MAX:
            if waiting:
                flush()
            writer.close()
            yield buffer.getvalue()
            writer = None
    if writer is not None:
        if waiting:
            flush()
        writer.close()
        yield buffer.getvalue()


def _slices(table: pa.Table) -> Iterator[pa.Table]:
    """Even slices near ROWS_PER_GROUP, so that no group is a crumb."""
    n_groups = max(1, round(table.num_rows / ROWS_PER_GROUP))
    edges = [i * table.num_rows // n_groups for i in range(n_groups + 1)]
    for start, end in itertools.pairwise(edges):
        yield table.slice(start, end - start).combine_chunks()


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """BYTE_STREAM_SPLIT for floats: float16-rounded values leave two of four byte planes nearly empty."""
    floats = [
        f"{f.name}.list.element" for f in schema if pa.types.is_list(f.type) and f.type.value_type == pa.float32()
    ]
    floats += [f.name for f in schema if f.type == pa.float32()]
    return {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": [f.name for f in schema if f.type == pa.string()],
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        "write_page_index": True,
        "data_page_size": PAGE_BYTES,
    }


def _put(
    store: Store, table: StoredName, content: bytes, partition: dict[str, str | None], stem: str = "part"
) -> FinalFile:
    folder = "".join(f"{key}={value}/" for key, value in partition.items())
    path = f"{folder}{stem}-{hashlib.sha256(content).hexdigest()[:32]}.parquet"
    store.write(f"{table}/{path}", content)
    stats = json.dumps(_stats(pq.read_metadata(io.BytesIO(content)), SCHEMAS[table]))
    return FinalFile(path=path, size=len(content), partition=partition, stats=stats)


def _stats(metadata: pq.FileMetaData, schema: pa.Schema) -> dict[str, Any]:
    """Counts and bounds of the integer and text columns, from the file's own footer. Readers skip files by them."""
    kinds = {field.name for field in schema if pa.types.is_integer(field.type) or field.type == pa.string()}
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            name, stats = column.path_in_schema, column.statistics
            if name not in kinds or stats is None:
                continue
            nulls[name] = nulls.get(name, 0) + stats.null_count
            if stats.has_min_max:
                low[name] = min(low.get(name, stats.min), stats.min)
                high[name] = max(high.get(name, stats.max), stats.max)
    return {"numRecords": metadata.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}
