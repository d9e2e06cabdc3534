"""Who is known in a dataset: so that new tracks are compared with people and not with all old tracks.

    _people/        a Delta table: person_id -> identity, tracks, frames; one row for each time a person was met

It is a memory and no truth, which is `tracks.person_id`: without it everybody is looked for in `tracks` once. It says
to which round of naming it belongs, and the commit to `tracks` that gave the names says so too: where they differ, a
run was killed between the two, and the memory counts for nothing. The newest row of a person counts.
"""

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from numpy.typing import NDArray

from operators.faces.people import NOBODY, People
from pipeline.commit import Change, commit
from pipeline.data_files import data_files, null_counts
from pipeline.final_files import write_rows
from pipeline.tables import WHAT, Tables
from schemas.tables import SCHEMAS

ROUND = "people"  # application in the logs of `tracks` and `_people`: how often names were given
ROWS_AT_ONCE = 65_536  # tracks that are looked at together: 33 MB of identities, beside one file of at most 128 MB
_OF_TRACKS = ["person_id", "identity", "n_frames"]
# More files than this are written anew as one: reading 64 small ones takes a second from an object store.
_FILES_MAX = 64


@dataclass(frozen=True)
class PeopleLedger:
    """The memory of one dataset."""

    tables: Tables

    def read(self, naming: int) -> People | None:
        """None where there is none, or it does not belong to this round of naming."""
        if not self.tables.has("_people"):
            return None
        table = self.tables.open("_people")
        if round_of(table) != naming:
            return None
        try:
            return _people(table.to_pyarrow_table().sort_by("seen"))
        except FileNotFoundError:  # written anew and vacuumed while it was read
            return None

    def write(self, people: People, met: NDArray[np.intp] | None, *, naming: int) -> None:
        """In one commit, unless somebody has written this round or a later one.

        Takes: who changed since the round before; None: all.
        """
        if not self.tables.has("_people"):
            self._create()

        def change_of(table: DeltaTable) -> Change | None:
            if round_of(table) >= naming:
                return None
            old = data_files(table)
            whole = met is None or len(old) >= _FILES_MAX or round_of(table) != naming - 1
            some = np.arange(len(people)) if whole or met is None else met
            rows = _rows(people, some, table.version() + 1)  # the commit is conditional: it makes this version
            files = write_rows(self.tables.store, "_people", rows) if len(rows) else []
            return Change(
                what=f"{len(people)} people", adds=files, removes=old if whole else [], transactions={ROUND: naming}
            )

        commit(self.tables, "_people", change_of)

    def _create(self) -> None:
        try:
            DeltaTable.create(
                self.tables.uri("_people"),
                SCHEMAS["_people"],
                mode="ignore",
                storage_options=self.tables.delta_options,
                commit_properties=CommitProperties(
                    custom_metadata={WHAT: "made the memory of people"}, max_commit_retries=0
                ),
            )
        except CommitFailedError:
            if not self.tables.has("_people"):  # or another run has made it at the same moment
                raise


def round_of(table: DeltaTable) -> int:
    """How often names were given up to this version of `tracks` or `_people`."""
    return table.transaction_version(ROUND) or 0


def people_in_tracks(tables: Tables, table: DeltaTable) -> People:
    """Everybody who has a track in a version of `tracks`. Opens a file at a time, and only those with names.

    Raises: FileNotFoundError where one was compacted away and vacuumed meanwhile.
    """
    people, waiting = NOBODY, SCHEMAS["tracks"].empty_table().select(_OF_TRACKS)
    nulls = null_counts(table, "person_id")
    for file in data_files(table):
        if nulls[file.path] == file.n_rows:
            continue
        rows = pq.read_table(io.BytesIO(tables.store.read(f"tracks/{file.path}")), columns=_OF_TRACKS)
        rows = rows.filter(pc.and_(pc.is_valid(rows["person_id"]), pc.is_valid(rows["identity"])))
        waiting = pa.concat_tables([waiting, rows])
        if waiting.num_rows >= ROWS_AT_ONCE:
            people, waiting = _met_again(people, waiting), waiting.slice(0, 0)
    return _met_again(people, waiting)


def _met_again(known: People, rows: pa.Table) -> People:
    """With the tracks in the rows counted."""
    new = rows["person_id"].unique()
    new = new.filter(pc.invert(pc.is_in(new, pa.array(known.person_ids, pa.string())))).to_pylist()
    person_ids = known.person_ids + new
    person_N = pc.index_in(rows["person_id"], pa.array(person_ids, pa.string())).to_numpy()
    n_frames_N = rows["n_frames"].to_numpy()
    n_frames_P = np.concatenate([known.n_frames_P, np.zeros(len(new), np.int64)])
    n_tracks_P = np.concatenate([known.n_tracks_P, np.zeros(len(new), np.int64)])
    sum_P128 = np.concatenate([known.identity_P128 * known.n_frames_P[:, None], np.zeros((len(new), 128))])
    np.add.at(sum_P128, person_N, identities(rows) * n_frames_N[:, None].astype(np.float64))
    np.add.at(n_frames_P, person_N, n_frames_N)
    np.add.at(n_tracks_P, person_N, 1)
    return People(
        person_ids=person_ids,
        identity_P128=(sum_P128 / n_frames_P[:, None]).astype(np.float32),
        n_tracks_P=n_tracks_P,
        n_frames_P=n_frames_P,
    )


def identities(rows: pa.Table) -> NDArray[np.float32]:
    """(N, 128) of rows that all have one."""
    flat = [chunk.flatten().to_numpy() for chunk in rows["identity"].chunks]
    return np.concatenate([np.empty(0, np.float32), *flat]).reshape(rows.num_rows, 128)


def _people(rows: pa.Table) -> People:
    """Takes: rows in the order in which they were written."""
    place = {person_id: i for i, person_id in enumerate(rows["person_id"].to_pylist())}  # the last one counts
    rows = rows.take(pa.array(place.values(), pa.int64()))
    return People(
        person_ids=list(place),
        identity_P128=identities(rows),
        n_tracks_P=rows["n_tracks"].to_numpy(),
        n_frames_P=rows["n_frames"].to_numpy(),
    )


def _rows(people: People, some: NDArray[np.intp], seen: int) -> pa.Table:
    offsets = pa.array(np.arange(len(some) + 1, dtype=np.int32) * np.int32(128))
    kind = SCHEMAS["_people"].field("identity").type
    columns = {
        "person_id": [people.person_ids[i] for i in some],
        "identity": pa.ListArray.from_arrays(offsets, pa.array(people.identity_P128[some].ravel()), type=kind),
        "n_tracks": people.n_tracks_P[some],
        "n_frames": people.n_frames_P[some],
        "seen": np.full(len(some), seen, np.int64),
    }
    return pa.table(columns, schema=SCHEMAS["_people"])
