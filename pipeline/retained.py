"""Which versions of a dataset are kept, and which files they need. Reads logs and changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from pipeline.commit import Pins
from pipeline.data_files import data_files
from pipeline.log import Entry, commit_times, read_entries
from pipeline.tables import PINS, Tables
from schemas.errors import WrongUse
from schemas.tables import StoredName


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Of one table: what any kept version needs, and what a later one can come to need of what is committed now."""

    first: int  # the oldest version of the table that a kept version of the dataset relies on
    newest: int
    files: set[str]  # paths below the table's folder
    committed_s: dict[int, float]  # version -> seconds since 1970 by the store's clock; without cleaned up ones


def needed(
    tables: Tables, names: list[StoredName], *, older_than_s: float, now_s: float, coming: Pins
) -> dict[StoredName, Needed]:
    """A version is kept when it is the newest, or was the newest less than `older_than_s` ago: a reader may hold it.

    Takes: `coming`: the pins of a commit to `videos` that is about to be made, if any.
    Raises: WrongUse where a log is torn.
    """
    times = {name: commit_times(tables.store, name) for name in names}
    kept = _kept(times["videos"], older_than_s, now_s, next_s=now_s if coming else None)
    pins: list[Pins] = [entry.info.get(PINS, {}) for entry in read_entries(tables.store, "videos", kept)]
    pins += [coming] if coming else []
    found = {}
    for name in names:
        # Its own recent versions as well: a reader that opened an older dataset without pins took the newest.
        first = min([*_kept(times[name], older_than_s, now_s), *(pin[name] for pin in pins if name in pin)])
        found[name] = _needed(tables, name, first, times[name])
    return found


def _kept(
    committed_s: dict[int, float], older_than_s: float, now_s: float, *, next_s: float | None = None
) -> list[int]:
    """From the oldest that was the newest within the limit. Takes: `next_s`: when a further one comes, if any."""
    versions = sorted(committed_s)
    ends = [committed_s[version] for version in versions[1:]] + [next_s]
    young = [version for version, end in zip(versions, ends, strict=True) if end is None or now_s - end < older_than_s]
    return [version for version in versions if version >= min(young, default=versions[-1] + 1)]


def _needed(tables: Tables, name: StoredName, first: int, committed_s: dict[int, float]) -> Needed:
    """What versions from `first` on need. One that its log no longer tells is passed over: it cannot be opened."""
    try:
        base = tables.open(name, first)
    except WrongUse:
        first = max(first, min(committed_s))
        base = tables.open(name, first)
    newest = tables.open(name)
    files = {file.path for table in (base, newest) for file in data_files(table)}
    for entry in read_entries(tables.store, name, range(first + 1, newest.version() + 1)):
        files |= set(entry.adds)
    return Needed(
        first=first,
        newest=newest.version(),
        files=files | {unquote(path) for path in files},  # as a path is written in the log, and as the file is called
        committed_s=committed_s,
    )


def removals(tables: Tables, name: StoredName, before: Needed, paths: Iterable[str]) -> dict[str, int]:
    """Path -> the version that last took it out of the table. Files that no version is known to have named are absent.

    Reads the log backwards until every path is found. What is named only by entries that Delta has cleaned up is absent
    too; no version that can be opened needs it.
    """
    missing, found = set(paths), {}
    versions = [version for version in sorted(before.committed_s, reverse=True) if version <= before.first]
    while missing and versions:
        some, versions = versions[:256], versions[256:]
        for entry in read_entries(tables.store, name, some):
            for path in missing.intersection(entry.removes):
                found[path] = entry.version
            missing -= set(entry.removes)
    return found


def added_since(tables: Tables, name: StoredName, version: int) -> set[str]:
    """Paths that commits after this version have added."""
    entries: Iterable[Entry] = read_entries(tables.store, name, range(version + 1, tables.open(name).version() + 1))
    return {path for entry in entries for path in entry.adds}
