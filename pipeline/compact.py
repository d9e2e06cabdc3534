"""Small files merged into large ones: the same rows, in the order of the table, in the same encoding.

Safe while films are committed and while another compaction runs. A merge is committed only if all that it merged is
still there; otherwise its file is left for `latentreel vacuum`, and what is there now is looked at anew. Killed between
two commits, the newest version of the dataset reads the small files as before.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipeline.commit import Change, Pins, commit
from pipeline.data_files import DataFile, data_files
from pipeline.final_files import FILE_BYTES_MAX, SMALL_ROWS_PER_GROUP, FinalFile, write_frames, write_merged
from pipeline.pin import pin
from pipeline.tables import Tables
from schemas.tables import PARTITION_BY, SCHEMAS, SORT_BY, TABLES, TableName

SMALL_BYTES_MAX = FILE_BYTES_MAX // 2  # any two of them fit into one file

Report = Callable[[TableName, int], None]  # a merge has taken the place of so many files


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """What became of one table's files."""

    n_before: int = 0
    n_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


def compact(
    tables: Tables, names: Iterable[TableName] = TABLES, report: Report = lambda name, n: None
) -> dict[TableName, Compacted]:
    """Merges small files, then commits to `videos` once, so that readers of the newest version open the large ones.

    Memory holds the compressed bytes of one large file, of what it is made of, and a few row groups.
    """
    done: dict[TableName, Compacted] = {}
    pins: Pins = {}
    for name in sorted(names, key=TABLES.index):  # `videos` last: its commit carries the pins
        done[name], version = _compact_table(tables, name, pins, report)
        if name != "videos" and done[name] != Compacted():
            pins[name] = version
    pin(tables, pins, what="compacted")
    return done


def _compact_table(tables: Tables, name: TableName, pins: Pins, report: Report) -> tuple[Compacted, int]:
    """Gives the version that holds the large files, too."""
    done, version = Compacted(), 0
    final: set[frozenset[str]] = set()  # what merging made no fewer of
    while groups := [group for group in _groups(tables, name) if _paths(group) not in final]:
        for group in groups:
            added = _merged(tables, name, group)
            if added is None:
                continue
            if len(added) >= len(group):
                final.add(_paths(group))
                continue
            if (committed := _replace(tables, name, group, added, pins)) is not None:
                version = committed
                done = _plus(done, group, added)
                report(name, len(group))
    return done, version


def _groups(tables: Tables, name: TableName) -> list[list[DataFile]]:
    """Neighbours in the table's order that together make at most one large file. They depend on the files alone.

    Sizes are those of the small files; footers weigh more than rows in tiny ones, so another round merges the results.
    """
    found = []
    for _, files in groupby(tables.files(name), key=lambda file: sorted(file.partition.items())):
        runs: list[list[DataFile]] = [[]]
        for file in _in_order(tables, name, list(files)):
            if file.size >= SMALL_BYTES_MAX and file.partition:
                runs.append([])  # whole tracks in order: what lies on both sides of a large file stays there
            elif file.size < SMALL_BYTES_MAX:
                if sum(other.size for other in runs[-1]) + file.size > FILE_BYTES_MAX:
                    runs.append([])
                runs[-1].append(file)
        found += [run for run in runs if len(run) > 1]
    return found


def _in_order(tables: Tables, name: TableName, files: list[DataFile]) -> list[DataFile]:
    if name != "frames":
        return sorted(files, key=lambda file: (file.first_video or "", file.path))
    if sum(file.size < SMALL_BYTES_MAX for file in files) < 2:
        return []  # the usual case: one file a film
    return sorted(files, key=lambda file: (_first_track(tables, file), file.path))


def _first_track(tables: Tables, file: DataFile) -> str:
    reader = _reader(tables, "frames", file)
    if reader.metadata.num_rows == 0:
        return ""
    return str(reader.read_row_group(0, columns=["track_id"])["track_id"][0].as_py())


def _merged(tables: Tables, name: TableName, group: list[DataFile]) -> list[FinalFile] | None:
    """The files that can take the group's place; None where somebody else has replaced (and vacuumed) it."""
    try:
        if name == "frames":
            video_id = group[0].partition["video_id"]
            assert video_id is not None
            return write_frames(tables.store, video_id, _tracks(tables, group))
        return [write_merged(tables.store, name, sorted_rows(tables, name, group))]
    except FileNotFoundError:
        if _paths(group) <= {file.path for file in data_files(tables.open(name))}:
            raise
        return None


def _replace(tables: Tables, name: TableName, group: list[DataFile], added: list[FinalFile], pins: Pins) -> int | None:
    """The version in which it is done; None where a file of the group is no longer the table's."""
    is_there = False

    def change_of(table: DeltaTable) -> Change | None:
        nonlocal is_there
        is_there = _paths(group) <= {file.path for file in data_files(table)}
        what = f"compacted {len(group)} files into {len(added)}"
        return Change(what=what, adds=added, removes=group, same_rows=True) if is_there else None

    version = commit(tables, name, change_of, pins=pins if name == "videos" else None)
    return version if is_there else None


def _plus(done: Compacted, group: list[DataFile], added: list[FinalFile]) -> Compacted:
    return replace(
        done,
        n_before=done.n_before + len(group),
        n_after=done.n_after + len(added),
        bytes_before=done.bytes_before + sum(file.size for file in group),
        bytes_after=done.bytes_after + sum(file.size for file in added),
    )


def _paths(group: list[DataFile]) -> frozenset[str]:
    return frozenset(file.path for file in group)


def _reader(tables: Tables, name: TableName, file: DataFile) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(tables.store.read(f"{name}/{file.path}")))


def _tracks(tables: Tables, files: list[DataFile]) -> Iterator[pa.Table]:
    """Whole tracks, in the order of the files."""
    waiting: list[pa.Table] = []
    for file in files:
        reader = _reader(tables, "frames", file)
        for i in range(reader.num_row_groups):
            rows = _typed(reader.read_row_group(i), "frames")
            ids = rows["track_id"].combine_chunks()
            starts = [0, *pc.indices_nonzero(pc.not_equal(ids[1:], ids[:-1])).to_numpy() + 1, len(ids)]
            for start, end in pairwise(starts):
                piece = rows.slice(start, end - start)
                if waiting and waiting[0]["track_id"][0] != piece["track_id"][0]:
                    yield pa.concat_tables(waiting)
                    waiting = []
                waiting.append(piece)
    if waiting:
        yield pa.concat_tables(waiting)


def _typed(rows: pa.Table, name: TableName) -> pa.Table:
    """As we write them, whoever wrote these."""
    names = [column for column in SCHEMAS[name].names if column not in PARTITION_BY[name]]
    return rows.select(names).cast(pa.schema([SCHEMAS[name].field(column) for column in names]))


class _Cursor:
    """A file that is read a row group at a time. It has rows at hand until it is at its end."""

    def __init__(self, reader: pq.ParquetFile, name: TableName) -> None:
        self._reader, self._name, self._next = reader, name, 0
        self.rows: pa.Table = SCHEMAS[name].empty_table()
        while self.has_more and not self.rows.num_rows:
            self.read_more()

    @property
    def has_more(self) -> bool:
        return self._next < int(self._reader.num_row_groups)

    def read_more(self) -> None:
        if self.has_more:
            more = _typed(self._reader.read_row_group(self._next), self._name)
            self.rows = pa.concat_tables([self.rows, more])
            self._next += 1

    def take_before(self, video_id: str | None) -> pa.Table:
        """The rows at hand of films that come earlier; None: all."""
        if video_id is None:
            taken, self.rows = self.rows, self.rows.slice(0, 0)
        else:
            is_earlier = pc.less(self.rows["video_id"], video_id)
            taken, self.rows = self.rows.filter(is_earlier), self.rows.filter(pc.invert(is_earlier))
        return taken


def sorted_rows(tables: Tables, name: TableName, files: list[DataFile]) -> Iterator[pa.Table]:
    """All rows of sorted files in the table's order, a few at a time.

    Not promised: the order, where another program has written a file that is not sorted by film itself.
    """
    waiting = sorted(files, key=lambda file: (file.first_video or "", file.path))
    open_files: list[_Cursor] = []
    while waiting or open_files:
        while waiting and sum(cursor.rows.num_rows for cursor in open_files) < SMALL_ROWS_PER_GROUP:
            open_files.append(_Cursor(_reader(tables, name, waiting.pop(0)), name))
        # What is still to be read begins with these films. Nothing from there on can be passed on yet.
        bounds = [cursor.rows["video_id"][-1].as_py() for cursor in open_files if cursor.has_more]
        bounds += [waiting[0].first_video or ""] if waiting else []
        bound = min(bounds, default=None)
        taken = pa.concat_tables([cursor.take_before(bound) for cursor in open_files])
        if taken.num_rows:
            yield taken.sort_by([(column, "ascending") for column in SORT_BY[name]])
        elif bound is not None:
            if waiting and (waiting[0].first_video or "") == bound:
                open_files.append(_Cursor(_reader(tables, name, waiting.pop(0)), name))
            for cursor in open_files:
                if cursor.has_more and cursor.rows["video_id"][-1].as_py() == bound:
                    cursor.read_more()
        open_files = [cursor for cursor in open_files if cursor.rows.num_rows or cursor.has_more]
