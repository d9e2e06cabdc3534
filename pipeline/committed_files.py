"""The committed files of an object store as DuckDB reads them: with sizes from the log, and no question asked twice.

DuckDB asks many things of a file before it reads it (is it there, is it a pipe, how long is it, how old), and each of
these is a request to the store. Committed files never change, and the log has their sizes already.
"""

from datetime import UTC, datetime
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from pipeline.store import Store

_WHOLE_BYTES = 2**20  # a file up to here is read in one request: its footer, and what the footer points at
_AHEAD_BYTES = 2**20  # of a larger one, beyond what was asked for; column chunks of a row group lie side by side


class CommittedFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read only. Knows the files that were announced by `add`, named by their paths below the store's root."""

    protocol = "latentreel"
    cachable = False  # one a dataset: others have other files of the same names

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._sizes: dict[str, int] = {}

    def add(self, sizes: dict[str, int]) -> list[str]:
        """Gives their URLs."""
        self._sizes |= sizes
        return [f"{self.protocol}://{name}" for name in sizes]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        if name not in self._sizes:
            raise FileNotFoundError(path)
        return {"name": name, "size": self._sizes[name], "type": "file"}

    def glob(self, path: str, **_: Any) -> list[str]:
        return [self._strip_protocol(path)]

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        content: bytes = self._store.filesystem.cat_file(
            self._store.path(self._strip_protocol(path)), start=start, end=end
        )
        return content

    def _open(self, path: str, mode: str = "rb", **_: Any) -> AbstractBufferedFile:
        size = self.info(path)["size"]
        how = {"cache_type": "all"} if size <= _WHOLE_BYTES else {"cache_type": "readahead", "block_size": _AHEAD_BYTES}
        return _CommittedFile(self, self._strip_protocol(path), mode, size=size, **how)


class _CommittedFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        content: bytes = self.fs.cat_file(self.path, start, end)
        return content
