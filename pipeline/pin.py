"""The versions of the other tables that the newest version of the dataset relies on, moved on without new rows."""

from deltalake import DeltaTable

from pipeline.commit import Change, Pins, commit
from pipeline.log import read_entries
from pipeline.tables import WHAT, Tables
from schemas.tables import TABLES


def pin(tables: Tables, pins: Pins, *, what: str) -> None:
    """Makes the newest version of the dataset rely on these versions of its tables, unless it does already."""

    def change_of(table: DeltaTable) -> Change | None:
        before = tables.pins(table.version())
        behind = [name for name, version in pins.items() if before.get(name, -1) < version]
        return Change(what=what, same_rows=True) if behind else None

    commit(tables, "videos", change_of, pins=pins)


def pins_due(tables: Tables) -> Pins:
    """The newest versions of the tables that have moved on since they were pinned.

    Nothing that we commit takes out rows of a film that has a row in `videos`, so it may be pinned at any time. What
    another program commits may; a table with such a commit stays where it is pinned.
    """
    due: Pins = {}
    pins = tables.pins(tables.open("videos").version())
    for name in TABLES:
        if name == "videos":
            continue
        pinned = pins.get(name, 0)
        newest = tables.open(name).version()
        ours = [WHAT in entry.info for entry in read_entries(tables.store, name, range(pinned + 1, newest + 1))]
        if ours and len(ours) == newest - pinned and all(ours):
            due[name] = newest
    return due
