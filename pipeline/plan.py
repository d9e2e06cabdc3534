"""What needs work: the films that the sources name, less those that the dataset already accounts for."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from operators.video.video_id import video_id_of
from pipeline.refused import refused_id
from pipeline.source_ledger import SourceLedger
from pipeline.sources import Listing, Problem, Stamp, expand_sources, not_a_file, stamp_of
from pipeline.storage_errors import storage_trouble
from pipeline.storage_options import Options, open_filesystem
from pipeline.tables import Tables
from schemas.job import Input

# Kernels stamp files in steps of some milliseconds, some disks of two seconds. A film that was written to less than
# that before it was read could change again under the same stamp, so it is read once more next time.
STEP_S, COARSE_STEP_S = 0.1, 2.0
_REMEMBER_EVERY_S = 60.0  # what a kill in the middle of an archive's first reading costs


class Row(NamedTuple):
    """What the dataset says of a film."""

    uri: str
    status: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every film of the sources is in exactly one of the first six."""

    todo: list[Input]
    done: set[str]  # video_ids, committed or no_faces by an earlier run
    quarantined: dict[str, str]  # uri -> reason, by an earlier run
    problems: list[Problem]  # cannot even be read
    doubles: dict[str, str] = field(default_factory=dict)  # uri -> uri of the film with the same bytes
    waiting: dict[str, Stamp] = field(default_factory=dict)  # still being written, or the plan was to stop
    listing: Listing = field(default_factory=Listing)
    held: dict[str, str] = field(default_factory=dict)  # uri -> the film in it now
    rows: dict[str, Row] = field(default_factory=dict)  # of `videos`, by video_id


def plan_videos(
    sources: tuple[str, ...],
    tables: Tables,
    *,
    is_settled: Callable[[str, Stamp], bool] = lambda _uri, _stamp: True,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Plan:
    """Reads, to know its content, every film that is new or was changed since it was last read.

    Takes: `is_settled` says of such a film whether it is whole; the others wait, and all do once `is_stopping`.
    """
    options = tables.storage_options
    listing, ledger = expand_sources(sources, options), SourceLedger(tables)
    problems = listing.problems
    known = ledger.read()
    stamps = _stamps(listing, options)
    unread = [uri for uri, stamp in stamps.items() if not _is_known(uri, stamp, known)]
    waiting = {uri: stamps[uri] for uri in unread if not is_settled(uri, stamps[uri])}
    read = _read_all([uri for uri in unread if uri not in waiting], options, problems, ledger, is_stopping)

    rows = _rows(tables)
    todo, done, quarantined, doubles, held = [], set(), {}, {}, {}
    first: dict[str, str] = {}  # video_id -> uri
    for uri, stamp in stamps.items():
        if uri in read:
            video_id = read[uri].video_id
        elif _is_known(uri, stamp, known):
            video_id = known[uri][1]
        else:
            continue  # a problem, or it waits
        held[uri] = video_id
        if video_id in first:
            doubles[uri] = first[video_id]
            continue
        first[video_id] = uri
        row = rows.get(video_id)
        if row is None:
            task = read.get(uri) or Input(uri=uri, video_id=video_id, bytes=stamp.bytes, tag=stamp.tag)
            refused = {refused_id(uri)} & rows.keys()  # once it was no file, or could not be read
            todo.append(replace(task, replaces=tuple(refused)))
        elif row.status == "quarantined":
            quarantined[uri] = str(row.reason)
        else:
            done.add(video_id)
    return Plan(
        todo=todo,
        done=done,
        quarantined=quarantined,
        problems=problems,
        doubles=doubles,
        waiting=waiting,
        listing=listing,
        held=held,
        rows=rows,
    )


def _is_known(uri: str, stamp: Stamp, known: dict[str, tuple[Stamp, str]]) -> bool:
    if uri not in known or stamp.tag is None:
        return False
    then = known[uri][0]
    return then.tag == stamp.tag and then.bytes == stamp.bytes


def _stamps(listing: Listing, storage_options: Options) -> dict[str, Stamp]:
    """Looks at the films that the listing only names. What cannot be looked at becomes a problem."""
    unseen = [uri for uri, stamp in listing.films.items() if stamp is None]
    with ThreadPoolExecutor(16) as pool:  # each waits for a file system
        looks = dict(zip(unseen, pool.map(lambda uri: _look(uri, storage_options), unseen), strict=True))
    stamps: dict[str, Stamp] = {}
    for uri, stamp in listing.films.items():
        found = stamp or looks[uri]
        if isinstance(found, Problem):
            listing.problems.append(found)
        else:
            stamps[uri] = found
    return stamps


def _look(uri: str, storage_options: Options) -> Stamp | Problem:
    try:
        fs, path = open_filesystem(uri, storage_options)
        info = fs.info(path)
    except Exception as err:
        return _unreadable(uri, err)
    return stamp_of(info) or not_a_file(uri, info)


def _read_all(
    uris: list[str],
    storage_options: Options,
    problems: list[Problem],
    ledger: SourceLedger,
    is_stopping: Callable[[], bool],
) -> dict[str, Input]:
    found: dict[str, Input] = {}
    fresh: dict[str, tuple[Stamp, str]] = {}
    remembered_at = time.monotonic()
    with ThreadPoolExecutor(4) as pool:  # reading waits for disks and networks; hashing releases the interpreter's lock
        outcomes = pool.map(lambda uri: _identify(uri, storage_options), uris)
        for uri, outcome in zip(uris, outcomes, strict=True):
            if is_stopping():
                pool.shutdown(cancel_futures=True)
                break
            if isinstance(outcome, Problem):
                problems.append(outcome)
                continue
            found[uri] = outcome
            fresh[uri] = Stamp(bytes=outcome.bytes, tag=outcome.tag), outcome.video_id
            if time.monotonic() - remembered_at > _REMEMBER_EVERY_S:
                ledger.add(fresh)
                fresh, remembered_at = {}, time.monotonic()
    ledger.add(fresh)
    return found


def _identify(uri: str, storage_options: Options | None = None) -> Input | Problem:
    try:
        fs, path = open_filesystem(uri, storage_options)
        info = fs.info(path)
        stamp = stamp_of(info)
        if stamp is None:
            return not_a_file(uri, info)
        now = time.time()
        with fs.open(path, "rb") as stream:
            video_id = video_id_of(stream)
        if stamp_of(fs.info(path)) != stamp:
            return Problem(uri, "changed while it was read; run again when whoever writes it is done")
    except Exception as err:
        return _unreadable(uri, err)
    tag = None if _could_change_unseen(stamp, now) else stamp.tag
    return Input(uri=uri, video_id=video_id, bytes=stamp.bytes, tag=tag)


def _could_change_unseen(stamp: Stamp, now: float) -> bool:
    written = stamp.written_s
    if written is None:
        return False  # an object store's ETag is of the content
    return now - written < (COARSE_STEP_S if written == int(written) else STEP_S)


def _unreadable(uri: str, err: Exception) -> Problem:
    """Raises: `err` again, where it is no trouble of the storage."""
    trouble = storage_trouble(err)
    if trouble is None:
        raise err
    return Problem(uri, f"cannot be read: {trouble}", is_lasting=isinstance(err, PermissionError))


def _rows(tables: Tables) -> dict[str, Row]:
    names = ["video_id", "uri", "status", "reason"]
    rows = tables.read("videos", names)
    columns = (rows[name].to_pylist() for name in names)
    return {video_id: Row(*others) for video_id, *others in zip(*columns, strict=True)}
