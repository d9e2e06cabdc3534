"""Deletes what no kept version of a dataset needs. Safe while films are committed: what is at work is left alone.

A film at work has staged files; whatever else may be about to be committed is younger than an hour.

Not promised: that a reader who opened a version longer ago than the limit finds its files; that a file stays which a
writer puts back under its old name in the instant between the last look at it and its deletion.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow.dataset as ds

from pipeline.commit import Change, Pins, commit
from pipeline.log import READS_AT_ONCE
from pipeline.pin import pin, pins_due
from pipeline.retained import Needed, added_since, needed, removals
from pipeline.rewrite import films_in, sweep
from pipeline.store import StoredFile
from pipeline.tables import Tables
from schemas.errors import WrongUse
from schemas.tables import MEMORIES, TABLES, StoredName

UNNAMED_S = 3600.0  # what no version has named yet may be about to be committed; no commit takes an hour
AHEAD_S = 60.0  # clocks that are set by the network differ by less
FILES_AT_ONCE = 1000  # between two looks at who is at work: seconds, where a film takes at least as long

_TEMPORARY = re.compile(r"(^|/)\.[^/]+\.[0-9a-f]{32}\.tmp$")  # as Store names them
_OF_FILM = re.compile(r"video_id=([^/]+)/|(?:^|/)([^/]+)-[0-9a-f]{32}\.parquet$")  # as write_frames and write_rows do

_FOLDERS = ("_staging", "_attempts")  # beside the tables, where we write

Report = Callable[[int], None]  # so many files are gone


@dataclass(frozen=True, kw_only=True)
class Vacuumed:
    """What was deleted, or would be."""

    data: dict[StoredName, list[StoredFile]]
    staged: list[StoredFile]
    attempts: list[StoredFile]
    temporary: list[StoredFile]
    swept: list[str]  # films, gone from `videos`, whose last rows were taken out of the other tables

    @property
    def groups(self) -> dict[str, list[StoredFile]]:
        others = {"_staging": self.staged, "_attempts": self.attempts, "temporary": self.temporary}
        return dict(self.data.items()) | others


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What may go, and what has to be written down before it goes."""

    vacuumed: Vacuumed
    before: dict[StoredName, Needed]
    kept_from: Pins = field(default_factory=dict)  # of tables that lose files which an old version names


def vacuum(tables: Tables, *, older_than_s: float, dry_run: bool = False, report: Report = lambda n: None) -> Vacuumed:
    """Deletes; with `dry_run` only says what it would delete.

    In order of time, with what a crash leaves behind:
        pins         the newest version relies on the newest files
        the mark     versions that are about to lose files are refused from here on; the files go with the next run
        data files   some are gone
        leftovers    the same
        sweep        rows of films that are gone; their files go when they are old enough
    Raises: WrongUse when clocks disagree, or a log is torn.
    """
    due = pins_due(tables)
    if due and not dry_run:
        pin(tables, due, what="moved on to the newest files")
    plan = _plan(tables, older_than_s, due if dry_run else {})
    if dry_run:
        return plan.vacuumed
    if plan.kept_from:
        files = [file for some in plan.vacuumed.data.values() for file in some]
        what = f"vacuumed {len(files)} files, {sum(file.size for file in files) / 1e6:.1f} MB"
        commit(tables, "videos", lambda table: Change(what=what, same_rows=True), kept_from=plan.kept_from)
    for name, files in plan.vacuumed.data.items():
        _delete(tables, name, files, plan.before[name], report)
    for files in (plan.vacuumed.staged, plan.vacuumed.attempts, plan.vacuumed.temporary):
        _delete_unchanged(tables, files, report)
    for folder in {f.name.rsplit("/", 1)[0] for f in (*plan.vacuumed.staged, *plan.vacuumed.attempts)}:
        tables.store.remove_folder(folder)  # an empty one of `_staging` would say that its film is at work
    sweep(tables, plan.vacuumed.swept, config_id=tables.properties()["latentreel.config_id"])
    return plan.vacuumed


def _plan(tables: Tables, older_than_s: float, coming: Pins) -> _Plan:
    now_s = tables.store.now_s("_staging")
    at_work = _at_work(tables)  # looked at before the files: a film that begins later writes no old file
    there = [name for name in MEMORIES if tables.store.is_folder(f"{name}/_delta_log")]
    names: list[StoredName] = [*TABLES, *there]
    stored = {name: [f for f in tables.store.stored(name) if "/_delta_log/" not in f.name] for name in names}
    before = needed(tables, names, older_than_s=older_than_s, now_s=now_s, coming=coming)
    _refuse_clock(tables, now_s, stored, before)
    unnamed_s = max(older_than_s, UNNAMED_S)
    data: dict[StoredName, list[StoredFile]] = {}
    kept_from: Pins = {}
    for name in names:
        paths = {file.name.removeprefix(f"{name}/"): file for file in stored[name]}
        spare = [p for p in paths if _is_data(p) and p not in before[name].files and _film(p) not in at_work]
        removed = removals(tables, name, before[name], spare)
        removed = {p: v for p, v in removed.items() if paths[p].modified_s < before[name].committed_s[v]}
        gone = [p for p in spare if p in removed or now_s - paths[p].modified_s > unnamed_s]
        data[name] = [paths[p] for p in gone]
        if name in TABLES and (named := [removed[p] for p in gone if p in removed]):
            kept_from[name] = max(named)
    staged = _leftovers(tables, "_staging", now_s, unnamed_s, ["committed", "no_faces", "quarantined"])
    attempts = _leftovers(tables, "_attempts", now_s, unnamed_s, ["committed", "no_faces"])  # `retry` clears others
    return _Plan(
        vacuumed=Vacuumed(
            data=data,
            staged=staged,
            attempts=attempts,
            temporary=_temporary(tables, stored, {*staged, *attempts}, now_s - unnamed_s),
            swept=_gone_films(tables, at_work),
        ),
        before=before,
        kept_from=kept_from,
    )


def _at_work(tables: Tables) -> set[str]:
    """Films with staged files, under any configuration: their final files may be there before the commit."""
    store = tables.store
    return {video_id for config_id in store.folders("_staging") for video_id in store.folders(f"_staging/{config_id}")}


def _is_data(path: str) -> bool:
    return path.endswith(".parquet") and not path.rsplit("/", 1)[-1].startswith((".", "_"))


def _film(path: str) -> str | None:
    """The film whose rows alone a data file has, by its name."""
    match = _OF_FILM.search(path)
    return next(filter(None, match.groups()), None) if match else None


def _temporary(
    tables: Tables, stored: dict[StoredName, list[StoredFile]], known: set[StoredFile], before_s: float
) -> list[StoredFile]:
    """What killed writers have left half written."""
    everything = [file for files in stored.values() for file in files]
    everything += [file for folder in _FOLDERS for file in tables.store.stored(folder)]
    return [f for f in everything if _TEMPORARY.search(f.name) and f.modified_s < before_s and f not in known]


def _refuse_clock(
    tables: Tables, now_s: float, stored: dict[StoredName, list[StoredFile]], before: dict[StoredName, Needed]
) -> None:
    times = [(file.modified_s, file.name) for files in stored.values() for file in files]
    times += [(s, f"version {v} of {name}") for name, of in before.items() for v, s in of.committed_s.items()]
    newest_s, what = max(times)
    if newest_s > now_s + AHEAD_S:
        raise WrongUse(
            f"{tables.root}: {what} was written at {utc(newest_s)}, and the clock there says it is {utc(now_s)}, so "
            "nothing can be told to be old; set the clock right, or wait until it has passed that time"
        )


def utc(seconds: float) -> str:
    """2026-11-20T18:40:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _leftovers(tables: Tables, folder: str, now_s: float, old_s: float, finished: list[str]) -> list[StoredFile]:
    """Files of the folders of films, all of them old, that belong to another configuration or to a finished film."""
    store, config_id = tables.store, tables.properties()["latentreel.config_id"]
    rows = tables.read("videos", ["video_id"], only=ds.field("status").isin(finished))
    done = set(rows["video_id"].to_pylist())
    found = []
    for config in store.folders(folder):
        for video_id in store.folders(f"{folder}/{config}"):
            if config != config_id or video_id in done:
                files = store.stored(f"{folder}/{config}/{video_id}")
                found += files if all(now_s - file.modified_s > old_s for file in files) else []
    return found


def _gone_films(tables: Tables, at_work: set[str]) -> list[str]:
    """Films with rows in the other tables and none in `videos`, nobody at work on them."""
    found = {video_id for name in TABLES if name != "videos" for video_id in films_in(tables, name)}
    return sorted(found - at_work - films_in(tables, "videos"))  # `videos` last: a film may have come meanwhile


def _delete(tables: Tables, name: StoredName, files: list[StoredFile], before: Needed, report: Report) -> None:
    for some in _batches(files):
        at_work = _at_work(tables)
        added = added_since(tables, name, before.newest)
        paths = [(file.name.removeprefix(f"{name}/"), file) for file in some]
        _delete_unchanged(tables, [f for path, f in paths if path not in added and _film(path) not in at_work], report)


def _delete_unchanged(tables: Tables, files: list[StoredFile], report: Report) -> None:
    """Leaves alone what has been written again since it was listed."""

    def delete(file: StoredFile) -> None:
        try:
            if tables.store.modified_s(file.name) == file.modified_s:
                tables.store.remove(file.name)
        except FileNotFoundError:  # another vacuum was faster
            return

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        for some in _batches(files):
            list(pool.map(delete, some))
            report(len(some))


def _batches(files: list[StoredFile]) -> Iterator[list[StoredFile]]:
    for start in range(0, len(files), FILES_AT_ONCE):
        yield files[start : start + FILES_AT_ONCE]
