"""What the log of a table says of each commit: when, by whom and what for, and which files came and went."""

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pipeline.store import Store
from schemas.tables import StoredName

_ENTRY = re.compile(r"(\d{20})\.json$")
READS_AT_ONCE = 16  # an object store answers one request in tens of milliseconds, and many at once


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One commit. A torn one says what is left of it."""

    version: int
    info: dict[str, Any]  # Delta's commitInfo, with our own entries
    adds: list[str]  # paths below the table's folder
    removes: list[str]


def commit_times(store: Store, name: StoredName) -> dict[int, float]:
    """Version -> seconds since 1970 by the store's clock. Entries that Delta has cleaned up are gone."""
    found = {}
    for file in store.stored(f"{name}/_delta_log"):
        if match := _ENTRY.search(file.name):
            found[int(match[1])] = file.modified_s
    return dict(sorted(found.items()))


def read_entry(store: Store, name: StoredName, version: int) -> Entry | None:
    """None where the log has no such entry (any more)."""
    try:
        content = store.read(f"{name}/_delta_log/{version:020d}.json")
    except FileNotFoundError:
        return None
    info: dict[str, Any] = {}
    adds, removes = [], []
    for action in _actions(content):
        info = action.get("commitInfo", info)
        adds += [unquote(action["add"]["path"])] if "add" in action else []
        removes += [unquote(action["remove"]["path"])] if "remove" in action else []
    return Entry(version=version, info=info, adds=adds, removes=removes)


def read_entries(store: Store, name: StoredName, versions: Iterable[int]) -> Iterator[Entry]:
    """Those of the versions that are there, in their order."""
    waiting = list(versions)
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        for start in range(0, len(waiting), 16 * READS_AT_ONCE):
            some = waiting[start : start + 16 * READS_AT_ONCE]
            yield from filter(None, pool.map(lambda version: read_entry(store, name, version), some))


def _actions(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        try:
            action = json.loads(line)
        except ValueError:
            return
        if isinstance(action, dict):
            yield action
