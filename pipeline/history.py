"""The versions of a dataset: when each was committed, what it did, and whether it can still be read."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.data_files import data_files
from pipeline.log import commit_times, read_entry
from pipeline.tables import WHAT, Tables
from schemas.errors import WrongUse


@dataclass(frozen=True, kw_only=True)
class Version:
    """One commit to `videos`."""

    version: int
    committed_s: float  # since 1970, by the clock of the store
    what: str
    n_films: int | None  # None where the version cannot be opened


def history(tables: Tables, *, limit: int) -> Iterator[Version]:
    """The newest first. Those whose log entries Delta has cleaned up are left out."""
    times = commit_times(tables.store, "videos")
    for version in sorted(times, reverse=True)[:limit]:
        entry = read_entry(tables.store, "videos", version)
        info = entry.info if entry else {}
        what = info.get(WHAT) or (f"{info['operation']}, by another program" if "operation" in info else "torn")
        yield Version(version=version, committed_s=times[version], what=str(what), n_films=_films(tables, version))


def _films(tables: Tables, version: int) -> int | None:
    try:
        tables.refuse_vacuumed(version)
        table = tables.open("videos", version)
        for name, pinned in tables.pins(version).items():
            tables.open(name, pinned)
    except WrongUse:
        return None
    return sum(file.n_rows for file in data_files(table))
