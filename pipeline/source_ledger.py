"""What every source held when it was last read: so that only what is new or changed is read again.

    _sources/       a Delta table: (uri, bytes, tag) -> video_id, one row for each time a file was read

It is a memory and no truth: without it films are hashed again, and nothing else changes. The newest row of a file
counts, and newest means the later commit: clocks are not asked.
"""

from dataclasses import dataclass

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from pipeline.commit import Change, commit
from pipeline.data_files import data_files
from pipeline.final_files import write_rows
from pipeline.sources import Stamp
from pipeline.tables import WHAT, Tables
from schemas.tables import SCHEMAS

# More files than this are written anew as one: reading 64 small ones takes a second from an object store.
_FILES_MAX = 64
_ROW_BATCH = 100_000  # rows that become Python objects at a time


@dataclass(frozen=True)
class SourceLedger:
    """The memory of one dataset."""

    tables: Tables

    def read(self) -> dict[str, tuple[Stamp, str]]:
        """uri -> what its file was like, and the film in it."""
        if not self._exists():
            return {}
        return _newest(self.tables.read("_sources"))

    def add(self, seen: dict[str, tuple[Stamp, str]]) -> None:
        """In one commit. Files without a tag are left out: they cannot be recognised."""
        rows = {uri: entry for uri, entry in seen.items() if entry[0].tag is not None}
        if not rows:
            return
        if not self._exists():
            self._create()

        def change_of(table: DeltaTable) -> Change:
            order = table.version() + 1  # the commit is conditional, so this is the version that it makes
            old = data_files(table)
            if len(old) < _FILES_MAX:
                files = write_rows(self.tables.store, "_sources", _table(rows, order))
                return Change(what=f"read {len(rows)} files", adds=files)
            everything = _newest(table.to_pyarrow_table()) | rows
            files = write_rows(self.tables.store, "_sources", _table(everything, order))
            return Change(what=f"read {len(rows)} files", adds=files, removes=old)

        commit(self.tables, "_sources", change_of)

    def _exists(self) -> bool:
        return self.tables.has("_sources")

    def _create(self) -> None:
        try:
            DeltaTable.create(
                self.tables.uri("_sources"),
                SCHEMAS["_sources"],
                mode="ignore",
                storage_options=self.tables.delta_options,
                commit_properties=CommitProperties(
                    custom_metadata={WHAT: "made the ledger of sources"}, max_commit_retries=0
                ),
            )
        except CommitFailedError:
            if not self._exists():  # or another run has made it at the same moment
                raise


def _newest(rows: pa.Table) -> dict[str, tuple[Stamp, str]]:
    found: dict[str, tuple[Stamp, str]] = {}
    for batch in rows.sort_by("seen").to_batches(max_chunksize=_ROW_BATCH):
        columns = (batch.column(name).to_pylist() for name in ("uri", "bytes", "tag", "video_id"))
        for uri, n_bytes, tag, video_id in zip(*columns, strict=True):
            found[uri] = Stamp(bytes=n_bytes, tag=tag), video_id
    return found


def _table(rows: dict[str, tuple[Stamp, str]], seen: int) -> pa.Table:
    stamps = [stamp for stamp, _ in rows.values()]
    columns = {
        "uri": list(rows),
        "bytes": [stamp.bytes for stamp in stamps],
        "tag": [stamp.tag for stamp in stamps],
        "video_id": [video_id for _, video_id in rows.values()],
        "seen": [seen] * len(rows),
    }
    return pa.table(columns, schema=SCHEMAS["_sources"]).sort_by("uri")
