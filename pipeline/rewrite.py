"""Films taken out of the tables, or given another row in `videos`. Their files are rewritten without them.

`videos` first: from that commit on no reader sees the film. What is left of it in the other tables is swept afterwards;
a crash in between leaves rows that no view shows, and `latentreel vacuum` sweeps them.
"""

import io
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipeline.commit import Change, Pins, app_id, commit, is_done
from pipeline.data_files import DataFile, data_files
from pipeline.final_files import FinalFile, write_rows
from pipeline.tables import Tables
from schemas.tables import SCHEMAS, TABLES, TableName


def commit_video(
    tables: Tables, row: pa.Table, *, config_id: str, generation: int, replaces: Iterable[str], what: str, pins: Pins
) -> int:
    """Adds a film's row to `videos` once, and takes the rows of the films that it replaces out, in the same commit.

    Gives a version that holds it.
    """
    video_id = row["video_id"][0].as_py()
    app = app_id("videos", video_id, config_id)
    added = write_rows(tables.store, "videos", row)

    def change_of(table: DeltaTable) -> Change | None:
        if is_done(table, app, generation):
            return None
        kept, removes = _without(tables, "videos", table, set(replaces))
        undone = {app_id("videos", old, config_id): 0 for old in replaces}
        return Change(what=what, adds=[*added, *kept], removes=removes, transactions={app: generation, **undone})

    return commit(tables, "videos", change_of, pins=pins)


def drop_films(tables: Tables, video_ids: Iterable[str], *, config_id: str, what: str) -> None:
    """Takes films out of the dataset, and the marks that they are committed: they may come again."""
    names = set(video_ids)
    commit(tables, "videos", lambda table: _taken_out(tables, "videos", table, names, config_id, what))
    sweep(tables, names, config_id=config_id)


def sweep(tables: Tables, video_ids: Iterable[str], *, config_id: str) -> None:
    """Takes out what is left of films that have no row in `videos`.

    A film that is being worked on has staged files until its row is there: it is left alone. Each commit looks for
    itself whether one has begun or ended.
    Not promised: that rows stay of a film whose work begins after that look and comes to its commits before this one.
    """
    names = set(video_ids)
    for table in TABLES:
        if table != "videos" and names:
            _sweep(tables, table, names, config_id)


def _sweep(tables: Tables, name: TableName, video_ids: set[str], config_id: str) -> None:
    def alive() -> set[str]:
        at_work = set(tables.store.folders(f"_staging/{config_id}"))  # looked at first: what ends meanwhile has a row
        return video_ids & (at_work | films_in(tables, "videos"))

    def change_of(table: DeltaTable) -> Change | None:
        gone = video_ids - alive()
        change = _taken_out(tables, name, table, gone, config_id, "swept what is left of films that are gone")
        return change_of(table) if gone & alive() else change  # rewriting may have taken long

    commit(tables, name, change_of)


def rename_films(tables: Tables, uris: dict[str, str]) -> None:
    """Says where films are now, in one commit. Takes: video_id -> uri. Films without a row are passed over."""

    def change_of(table: DeltaTable) -> Change | None:
        kept, removes = _without(tables, "videos", table, set(uris))
        if not removes:
            return None
        rows = pa.concat_tables([_read(tables, "videos", file) for file in removes])
        rows = rows.filter(pc.is_in(rows["video_id"], pa.array(sorted(uris)))).sort_by("video_id")
        moved = pa.array([uris[video_id] for video_id in rows["video_id"].to_pylist()])
        rows = rows.set_column(rows.schema.get_field_index("uri"), SCHEMAS["videos"].field("uri"), moved)
        what = f"now at {moved[0]}" + (f" and {len(moved) - 1} others" if len(moved) > 1 else "")
        return Change(what=what, adds=[*kept, *write_rows(tables.store, "videos", rows)], removes=removes)

    commit(tables, "videos", change_of)


def films_in(tables: Tables, name: TableName) -> set[str]:
    """The films that have rows in the newest version of a table. Opens only files of more than one film."""
    table = tables.open(name)
    found: set[str] = set()
    try:
        for file in data_files(table):
            if file.first_video is not None and file.first_video == file.last_video:
                found.add(file.first_video)
            else:
                content = io.BytesIO(tables.store.read(f"{name}/{file.path}"))
                found |= set(pq.read_table(content, columns=["video_id"])["video_id"].unique().to_pylist())
    except FileNotFoundError:  # compacted away and vacuumed while it was read
        if tables.open(name).version() == table.version():
            raise
        return films_in(tables, name)
    return found


def _taken_out(
    tables: Tables, name: TableName, table: DeltaTable, video_ids: set[str], config_id: str, what: str
) -> Change | None:
    kept, removes = _without(tables, name, table, video_ids)
    undone = {app_id(name, video_id, config_id): 0 for video_id in sorted(video_ids)}
    return Change(what=what, adds=kept, removes=removes, transactions=undone) if removes else None


def _without(
    tables: Tables, name: TableName, table: DeltaTable, video_ids: set[str]
) -> tuple[list[FinalFile], list[DataFile]]:
    """The files that hold these films, and new ones with all their other rows."""
    kept: list[FinalFile] = []
    removes: list[DataFile] = []
    for file in data_files(table):
        if not file.may_hold(video_ids):
            continue
        if file.first_video == file.last_video:  # all of its rows are one film's
            removes.append(file)
            continue
        rows = _read(tables, name, file)
        others = rows.filter(pc.invert(pc.is_in(rows["video_id"], pa.array(sorted(video_ids)))))
        if others.num_rows < rows.num_rows:
            removes.append(file)
            kept += write_rows(tables.store, name, others) if others.num_rows else []
    return kept, removes


def _read(tables: Tables, name: TableName, file: DataFile) -> pa.Table:
    return pq.read_table(io.BytesIO(tables.store.read(f"{name}/{file.path}")), schema=SCHEMAS[name])
