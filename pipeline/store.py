"""Files below one root: a local folder or any fsspec URL. Every write is whole or absent, whenever the process dies.

Local files are written beside their final name, synced, then linked or renamed. On object stores a put is atomic by
itself. Best effort: the directory entry is not synced, so a power cut (not a kill) may lose the newest files.
"""

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs

from pipeline.storage_errors import code_of
from pipeline.storage_options import open_filesystem

Done = TypeVar("Done")

# How often a folder may come or go between two lines. Another driver clears what it has committed once a film, so the
# second try succeeds; ten, for more drivers than anybody starts.
TRIES = 10


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file as the store lists it."""

    name: str  # below the root
    size: int
    modified_s: float  # since 1970, by the store's clock


@dataclass(frozen=True)
class Store:
    """Takes paths relative to `root`. Picklable: each worker opens its own connection."""

    root: str
    storage_options: dict[str, str] = field(default_factory=dict, repr=False)  # may hold secrets

    @cached_property
    def _fs_and_root(self) -> tuple[Any, str]:
        fs, path = open_filesystem(self.root, self.storage_options)
        return fs, path.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "storage_options": self.storage_options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def is_local(self) -> bool:
        protocol = self._fs_and_root[0].protocol
        return "file" in (protocol if isinstance(protocol, tuple) else (protocol,))

    @property
    def filesystem(self) -> Any:
        """fsspec's."""
        return self._fs_and_root[0]

    @cached_property
    def arrow_filesystem(self) -> pa.fs.FileSystem:
        """The same for pyarrow. Takes what `path` gives."""
        return pa.fs.LocalFileSystem() if self.is_local else pa.fs.PyFileSystem(pa.fs.FSSpecHandler(self.filesystem))

    def path(self, name: str) -> str:
        """Without a protocol."""
        return f"{self._fs_and_root[1]}/{name}".rstrip("/")

    def uri(self, name: str) -> str:
        """A path, or a URL where the store is not a local folder."""
        return self.path(name) if self.is_local else str(self.filesystem.unstrip_protocol(self.path(name)))

    def write(self, name: str, content: bytes) -> None:
        """Replaces what was there, whole or not at all."""
        fs, _ = self._fs_and_root
        if not self.is_local:
            fs.pipe_file(self.path(name), content)
            return
        _though_folders_go(lambda: self._write_beside(name, content).replace(self.path(name)))

    def write_once(self, name: str, content: bytes) -> bool:
        """Gives False, and leaves the file alone, where one of that name exists: the first writer wins."""
        if not self.is_local:
            return self._put_once(self.path(name), content)
        return _though_folders_go(lambda: self._link_once(name, content))

    def _link_once(self, name: str, content: bytes) -> bool:
        temporary = self._write_beside(name, content)
        try:
            os.link(temporary, self.path(name))
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _put_once(self, path: str, content: bytes) -> bool:
        fs, _ = self._fs_and_root
        # adlfs knows no mode; s3fs and gcsfs put under the condition that nothing is there.
        once = {"overwrite": False} if "abfs" in fs.protocol else {"mode": "create"}
        while True:
            try:
                fs.pipe_file(path, content, **once)
            except FileExistsError:
                return False
            except OSError as err:
                if code_of(err) == "PreconditionFailed":  # from servers that do not say of which condition
                    return False
                if code_of(err) != "ConditionalRequestConflict":  # two puts at once: S3 asks us to try again
                    raise
            else:
                return True

    def _write_beside(self, name: str, content: bytes) -> Path:
        target = Path(self.path(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return temporary

    def read(self, name: str) -> bytes:
        content: bytes = self._fs_and_root[0].cat_file(self.path(name))
        return content

    def exists(self, name: str) -> bool:
        return bool(self._fs_and_root[0].exists(self.path(name)))

    def is_folder(self, name: str) -> bool:
        return bool(self._fs_and_root[0].isdir(self.path(name)))

    def size(self, name: str) -> int:
        return int(self._fs_and_root[0].size(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """The file names directly in a folder, sorted; none where the folder is absent. Temporary files are skipped."""
        return [name for name, kind in self._entries(folder) if kind == "file"]

    def folders(self, folder: str) -> list[str]:
        return [name for name, kind in self._entries(folder) if kind == "directory"]

    def _entries(self, folder: str) -> Iterator[tuple[str, str]]:
        fs, _ = self._fs_and_root
        fs.invalidate_cache()
        try:
            listed = fs.ls(self.path(folder), detail=True)
        except FileNotFoundError as err:
            if code_of(err) == "NoSuchBucket":  # that is no empty folder
                raise
            return
        for entry in sorted(listed, key=lambda entry: str(entry["name"])):
            path = str(entry["name"]).rstrip("/")
            name = path.rsplit("/", 1)[-1]
            if path != self.path(folder) and not name.startswith("."):  # consoles mark a folder by an empty object
                yield name, str(entry["type"])

    def stored(self, folder: str) -> list[StoredFile]:
        """All files below a folder, however deep, temporary ones too; none where the folder is absent."""
        fs, root = self._fs_and_root
        fs.invalidate_cache()
        found = fs.find(self.path(folder), detail=True)
        return [
            StoredFile(name=name.removeprefix(f"{root}/"), size=int(info["size"]), modified_s=_modified_s(fs, info))
            for name, info in sorted(found.items())
        ]

    def modified_s(self, name: str) -> float:
        """When a file was last written. Raises: FileNotFoundError."""
        fs, _ = self._fs_and_root
        fs.invalidate_cache()
        return _modified_s(fs, fs.info(self.path(name)))

    def now_s(self, folder: str) -> float:
        """The time by the clock that stamps the files, which need not be this machine's."""
        probe = f"{folder}/.clock.{uuid.uuid4().hex}.tmp"  # named as other temporary files, should this process die
        self.write(probe, b"")
        try:
            return self.modified_s(probe)
        finally:
            self.remove(probe)

    def remove(self, name: str) -> None:
        """Nothing happens where there is none: another process may have been faster."""
        with suppress(FileNotFoundError):
            self._fs_and_root[0].rm_file(self.path(name))

    def remove_folder(self, folder: str) -> None:
        """Nothing happens where there is none: another process may have been faster.

        Not promised: that it is empty or gone, where another process writes into it at the same time.
        """
        for _ in range(TRIES):
            try:
                self._fs_and_root[0].rm(self.path(folder), recursive=True)
            except FileNotFoundError:
                if not self.exists(folder):  # else it was a file that another process took away first
                    return
            except OSError as err:
                if err.errno not in {errno.ENOTEMPTY, errno.EISDIR}:  # a file, or the folder itself, came back
                    raise
            else:
                return


def _modified_s(fs: Any, info: dict[str, Any]) -> float:
    if "mtime" in info:
        return float(info["mtime"])  # local folders
    moment = info.get("LastModified") or fs.modified(info["name"])  # S3's listings say it; others are asked
    return float(moment.timestamp())


def _though_folders_go(write: Callable[[], Done]) -> Done:
    """Another driver may remove a film's folder, once it has committed the film, while this one writes into it."""
    for _ in range(TRIES - 1):
        with suppress(FileNotFoundError, FileExistsError):  # also: mkdir finds it, and then finds it gone
            return write()
    return write()
