"""Who is who in a dataset: `tracks.person_id`, given after the films are committed, by one writer at a time.

Not when a film is committed: who is known by then depends on which films came first, and a film's rows must not. Each
round of naming takes tracks that have an identity and no person, of films that have a row in `videos`, compares them
with everybody known (see operators/faces/people.py), and rewrites their files of `tracks` with the column filled.

In order of time, with what a crash leaves behind:
    final files     orphans, for `latentreel vacuum`
    tracks          the names, and the number of the round, in one commit. No version of the dataset shows them yet
    _people         who is known now; until it says the same round, everybody is looked for in `tracks`
    videos          a version of the dataset that relies on that of `tracks`: the next call makes it
A round is committed only if it is still the one after the round that it was made of, and all of its tracks are there;
otherwise it is made again. Films may come, go and be compacted meanwhile.
"""

import io
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from operators.faces.people import NewTracks, People, tell_apart
from pipeline.commit import Change, commit
from pipeline.data_files import DataFile, data_files, null_counts
from pipeline.final_files import FinalFile, write_rows
from pipeline.people_ledger import ROUND, ROWS_AT_ONCE, PeopleLedger, identities, people_in_tracks, round_of
from pipeline.pin import pin
from pipeline.tables import Tables
from schemas.errors import WrongUse
from schemas.tables import SCHEMAS

# Distance of two means of tracks from which on they are two people: see docs/people.md for what was measured.
THRESHOLD = 0.4
THRESHOLD_STEP = 0.001  # it is kept in the log of `tracks`, where numbers are whole
_THRESHOLD = "people_threshold"


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a call has done."""

    n_tracks: int  # that have a person now and had none
    n_new_people: int
    n_people: int  # known
    threshold: float


def name_people(tables: Tables, *, threshold: float | None = None, anew: bool = False) -> Named:
    """Gives every track with an identity a person. Those who are known keep their names, unless `anew`.

    Takes: `threshold`, None for the dataset's own, which is what it was first told apart at.
    Raises: WrongUse for another threshold than the dataset's, unless `anew`; for one that cannot be.
    Not promised: that a person is forgotten who has no track any more.
    """
    threshold = threshold if threshold is None else _checked(threshold)
    if anew:
        _forget(tables, threshold)
    ledger = PeopleLedger(tables)
    n_tracks = n_new_people = 0
    while True:
        table = tables.open("tracks")
        naming, wanted = round_of(table), _threshold_of(tables, table, threshold)
        try:
            people = _known(tables, table, ledger)
            new = _unnamed(tables, table)
        except FileNotFoundError:  # compacted away and vacuumed while it was read
            if tables.open("tracks").version() == table.version():
                raise
            continue
        if not len(new):
            _show(tables, naming)
            return Named(n_tracks=n_tracks, n_new_people=n_new_people, n_people=len(people), threshold=wanted)
        after, names = tell_apart(people, new, wanted)
        if _commit_names(tables, dict(zip(new.track_ids, names, strict=True)), naming, wanted):
            before_P = np.pad(people.n_tracks_P, (0, len(after) - len(people)))
            ledger.write(after, np.flatnonzero(after.n_tracks_P != before_P), naming=naming + 1)
            n_tracks, n_new_people = n_tracks + len(new), n_new_people + len(after) - len(people)


def _checked(threshold: float) -> float:
    """As it can be kept."""
    if not THRESHOLD_STEP <= threshold <= 1:
        raise WrongUse(
            f"--threshold {threshold:g}: two people's faces lie at most about 1 apart; take 0.3 to 0.6, or leave it out"
        )
    return round(threshold / THRESHOLD_STEP) * THRESHOLD_STEP


def _threshold_of(tables: Tables, table: DeltaTable, wanted: float | None) -> float:
    kept = _kept_threshold(table)
    if wanted is None or kept is None or abs(wanted - kept) < THRESHOLD_STEP / 2:
        return wanted or kept or THRESHOLD
    raise WrongUse(
        f"{tables.root}: its people were told apart at {kept:g}, not at {wanted:g}; leave --threshold out, or start "
        "over with --anew"
    )


def _kept_threshold(table: DeltaTable) -> float | None:
    steps = table.transaction_version(_THRESHOLD)
    return None if steps is None else float(steps * THRESHOLD_STEP)


def _known(tables: Tables, table: DeltaTable, ledger: PeopleLedger) -> People:
    naming = round_of(table)
    people = ledger.read(naming)
    if people is None:
        people = people_in_tracks(tables, table)
        if naming:
            ledger.write(people, None, naming=naming)
    return people


def _unnamed(tables: Tables, table: DeltaTable) -> NewTracks:
    """Tracks of committed films without a person, at least as many as a round names if there are so many.

    Opens only files that have such.
    """
    films = tables.read("videos", ["video_id"], only=ds.field("status") == "committed")["video_id"]
    without = null_counts(table, "person_id")
    found: list[pa.Table] = []
    for file in data_files(table):
        if without[file.path] == 0:
            continue
        columns = ["video_id", "track_id", "n_frames", "identity", "person_id"]
        rows = pq.read_table(io.BytesIO(tables.store.read(f"tracks/{file.path}")), columns=columns)
        is_new = pc.and_(pc.is_null(rows["person_id"]), pc.is_valid(rows["identity"]))
        found.append(rows.filter(pc.and_(is_new, pc.is_in(rows["video_id"], films.combine_chunks()))))
        if sum(some.num_rows for some in found) >= ROWS_AT_ONCE:
            break
    rows = pa.concat_tables(found) if found else SCHEMAS["tracks"].empty_table()
    return NewTracks(
        track_ids=rows["track_id"].to_pylist(),
        identity_N128=identities(rows),
        n_frames_N=rows["n_frames"].to_numpy(),
    )


def _commit_names(tables: Tables, names: dict[str, str], naming: int, threshold: float) -> bool:
    """Gives whether it is done. It is not where names were given meanwhile, or one of the tracks has gone."""
    track_ids, person_ids = pa.array(names.keys(), pa.string()), pa.array(names.values(), pa.string())
    films = sorted({track_id.split("-", maxsplit=1)[0] for track_id in names})

    def named(rows: pa.Table) -> pa.Array:
        return pc.coalesce(rows["person_id"], pc.take(person_ids, pc.index_in(rows["track_id"], track_ids)))

    rewritten = _Rewritten(tables, named)
    n_named = -1

    def change_of(table: DeltaTable) -> Change | None:
        nonlocal n_named
        n_named = -1
        if round_of(table) != naming:
            return None
        without = null_counts(table, "person_id")
        files = [file for file in data_files(table) if without[file.path] != 0 and _may_hold(file, films)]
        changed = [file for file in files if rewritten.of(file).n_changed]
        n_named = sum(rewritten.of(file).n_changed for file in changed)
        if n_named < len(names):
            return None
        return _change(f"named {len(names)} tracks", changed, rewritten, naming + 1, threshold)

    commit(tables, "tracks", change_of)
    return n_named >= len(names)


def _forget(tables: Tables, threshold: float | None) -> None:
    """Nobody has a name any more, in one commit. Takes: the threshold from now on, None for the dataset's own."""
    rewritten = _Rewritten(tables, lambda rows: pa.nulls(rows.num_rows, pa.string()))

    def change_of(table: DeltaTable) -> Change:
        without = null_counts(table, "person_id")
        files = [file for file in data_files(table) if without[file.path] != file.n_rows]
        changed = [file for file in files if rewritten.of(file).n_changed]
        at = threshold or _kept_threshold(table) or THRESHOLD
        return _change("forgot who is who", changed, rewritten, round_of(table) + 1, at)

    commit(tables, "tracks", change_of)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file with another column `person_id`."""

    n_changed: int  # rows
    files: list[FinalFile]


class _Rewritten:
    """Files of `tracks`, each rewritten once: a commit may have to be tried again while others commit."""

    def __init__(self, tables: Tables, person_of: Callable[[pa.Table], pa.Array]) -> None:
        self._tables, self._person_of = tables, person_of
        self._done: dict[str, _File] = {}

    def of(self, file: DataFile) -> _File:
        if file.path not in self._done:
            self._done[file.path] = self._rewrite(file)
        return self._done[file.path]

    def _rewrite(self, file: DataFile) -> _File:
        schema = SCHEMAS["tracks"]
        rows = pq.read_table(io.BytesIO(self._tables.store.read(f"tracks/{file.path}")), schema=schema)
        place = schema.get_field_index("person_id")
        after = rows.set_column(place, schema.field(place), self._person_of(rows))
        n_changed = abs(after["person_id"].null_count - rows["person_id"].null_count)
        return _File(n_changed=n_changed, files=write_rows(self._tables.store, "tracks", after) if n_changed else [])


def _change(what: str, changed: list[DataFile], rewritten: _Rewritten, naming: int, threshold: float) -> Change:
    return Change(
        what=what,
        adds=[added for file in changed for added in rewritten.of(file).files],
        removes=changed,
        transactions={ROUND: naming, _THRESHOLD: round(threshold / THRESHOLD_STEP)},
    )


def _may_hold(file: DataFile, films: list[str]) -> bool:
    """Takes: films in order, of which there may be many."""
    if file.first_video is None or file.last_video is None:
        return True
    at = bisect_left(films, file.first_video)
    return at < len(films) and films[at] <= file.last_video


def _show(tables: Tables, naming: int) -> None:
    """Makes the newest version of the dataset rely on the names, unless it does."""
    pinned = tables.pins(tables.open("videos").version()).get("tracks")
    if pinned is not None and round_of(tables.open("tracks", pinned)) < naming:
        pin(tables, {"tracks": tables.open("tracks").version()}, what="told people apart")
