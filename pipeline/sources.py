"""SOURCE arguments -> film files. A source is a file, a folder, a glob, any fsspec URL, or a manifest of such."""

import csv
import io
import json
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from fsspec.utils import glob_translate

from pipeline.storage_errors import code_of, one_line, storage_trouble
from pipeline.storage_options import Options, open_filesystem
from schemas.errors import WrongUse

# Taken from a folder or a glob without an extension; a file that is named itself may be called anything.
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mxf", ".wmv"})
MANIFEST_SUFFIXES = frozenset({".txt", ".csv", ".jsonl", ".parquet"})
URI_COLUMNS = ("uri", "path", "url", "file")  # the first that a manifest has names its films


@dataclass(frozen=True)
class Problem:
    """A source that gives nothing, in one line with the cure."""

    source: str
    message: str
    is_lasting: bool = False  # something lies there that is no readable film, and will be tomorrow: it gets a row


class Stamp(NamedTuple):  # an archive has 100,000: tuples are made twice as fast as frozen dataclasses
    """What a file system says of a file without reading it."""

    bytes: int
    tag: str | None  # changes when the content does: an ETag, or times and inode; None: the file system has neither
    written_s: float | None = None  # last change; None: files appear whole, or it is not known


@dataclass
class Listing:
    """The films that the sources name, each once, in the order given; and the sources that name none."""

    films: dict[str, Stamp | None] = field(default_factory=dict)  # by uri; None: named by a manifest, not looked at
    problems: list[Problem] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # of them, those with no such path: source -> uri
    _covered: list[re.Pattern[str]] = field(default_factory=list)
    _unreadable: list[str] = field(default_factory=list)

    def lacks(self, uri: str) -> bool:
        """Whether a film that was there once is not there now. Never of what could not be listed."""
        return (
            uri not in self.films
            and (any(pattern.match(uri) for pattern in self._covered) or uri in self.missing.values())
            and not any(uri.startswith(folder) for folder in self._unreadable)
        )

    def add(self, source: str, storage_options: Options | None = None) -> None:
        """What one source gives. Raises: OSError, ValueError and the storage's own where it gives nothing."""
        fs, path = open_filesystem(source, storage_options)
        if any(mark in path for mark in "*?[") and not fs.exists(path):
            matches = fs.glob(path, detail=True)
            found = {name: _stamp_in_list(info) for name, info in matches.items() if info["type"] != "directory"}
            if not found:
                raise ValueError("no file matches this pattern; quote the pattern, or check the folder it starts in")
            self._add_all(fs, found, glob_translate(_uri(fs, path)))
        elif fs.isdir(path):
            if "file" in fs.protocol:
                found = dict(self._local_films(path))
            else:
                entries = fs.find(path, detail=True).items()
                found = {name: _stamp_in_list(info) for name, info in entries if _is_video(name)}
            if not found and _is_video(path):  # a folder in a film's place
                found = {path: None}
            if not found:
                kinds = ", ".join(sorted(VIDEO_SUFFIXES))
                raise ValueError(f"holds no films ({kinds}); name another folder or the files")
            self._add_all(fs, found, re.escape(_uri(fs, path).rstrip("/")) + "/.*")
        elif not fs.exists(path):
            _refuse_no_bucket(fs, path)
            self.missing[source] = _uri(fs, path)
            raise FileNotFoundError("no such file or folder; check the path")
        elif PurePosixPath(path).suffix.lower() in MANIFEST_SUFFIXES:
            if stamp_of(info := fs.info(path)) is None:  # reading a pipe would wait for whoever writes to it
                raise ValueError(not_a_file(path, info).message)
            self.films.update({name: self.films.get(name) for name in _manifest(fs, path)})
        else:
            self.films[_uri(fs, path)] = None

    def _local_films(self, folder: str) -> Iterator[tuple[str, Stamp | None]]:
        """As fsspec's find, in a third of its time; folders that cannot be read are named instead of passed over."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as err:
            self._unreadable.append(folder.rstrip("/") + "/")
            self.problems.append(Problem(folder, _reason(err) or one_line(err)))
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside = list(self._local_films(entry.path))
                yield from inside or ([(entry.path, None)] if _is_video(entry.name) else [])
            elif _is_video(entry.name):
                # A link's own times say nothing of its target, and a pipe is no film: both are looked at later.
                is_file = entry.is_file(follow_symlinks=False)
                yield entry.path, _local_stamp(entry.stat(follow_symlinks=False)) if is_file else None

    def _add_all(self, fs: Any, found: dict[str, Stamp | None], covered: str) -> None:
        self.films.update({_uri(fs, name): found[name] for name in sorted(found)})
        self._covered.append(re.compile(covered))


def expand_sources(sources: tuple[str, ...], storage_options: Options | None = None) -> Listing:
    """One look at all sources. What goes wrong with one is in `problems` and stops no other."""
    listing = Listing()
    for source in sources:
        try:
            listing.add(source, storage_options)
        except Exception as err:
            reason = _reason(err)
            if reason is None:
                raise
            listing.problems.append(Problem(source, reason))
    return listing


def not_a_file(uri: str, info: dict[str, Any]) -> Problem:
    """Of what has a film's name, and `stamp_of` has nothing for."""
    if info["type"] == "directory":
        return Problem(uri, "is a folder, not a film; name the folder itself, or the films in it", is_lasting=True)
    says = "is a pipe or a device, not a file; copy what it gives to a file first"
    return Problem(uri, says, is_lasting=True)


def stamp_of(info: dict[str, Any]) -> Stamp | None:
    """From fsspec's entry of a file; None for what is not one."""
    if info["type"] != "file":
        return None
    if "ino" in info:  # a local file
        return _local_stamp(os.stat(info["name"]))  # noqa: PTH116  # a link's entry mixes its own times with its target's
    names = ("ETag", "etag", "md5Hash", "content_md5", "LastModified")  # of S3, HTTP, Google, Azure
    return Stamp(bytes=int(info["size"]), tag=next((str(info[name]) for name in names if info.get(name)), None))


def _stamp_in_list(info: dict[str, Any]) -> Stamp | None:
    """None for a link, which is looked at later."""
    return None if info.get("islink") else stamp_of(info)


def _local_stamp(found: os.stat_result) -> Stamp:
    # The time of the last change cannot be set back, as that of the last writing can.
    tag = f"{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"
    return Stamp(bytes=found.st_size, tag=tag, written_s=found.st_mtime)


def _refuse_no_bucket(fs: Any, path: str) -> None:
    """A film is gone when its bucket can be asked. Where that is not there, an address is wrong."""
    try:
        fs.info(path)
    except FileNotFoundError as err:
        if code_of(err) == "NoSuchBucket":
            raise


def _is_video(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in VIDEO_SUFFIXES  # of 100,000 names: pathlib takes two seconds


def _manifest(fs: Any, path: str) -> Iterator[str]:
    """One film a line or row. Relative names are relative to the manifest."""
    suffix, content = PurePosixPath(path).suffix.lower(), fs.cat_file(path)
    if suffix == ".txt":
        names = [line.strip() for line in content.decode().splitlines()]
    elif suffix == ".csv":
        names = _column(list(csv.DictReader(io.StringIO(content.decode()))))
    elif suffix == ".jsonl":
        names = _column([json.loads(line) for line in content.decode().splitlines() if line.strip()])
    else:
        names = _column(pq.read_table(io.BytesIO(content)).to_pylist())
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise ValueError("the manifest lists no films; write one path or URL a line")
    folder = PurePosixPath(path).parent
    for name in names:
        yield name if "://" in name else _uri(fs, str(folder / name))


def _column(rows: list[dict[str, Any]]) -> list[str]:
    name = next((name for name in URI_COLUMNS if rows and name in rows[0]), None)
    if name is None:
        raise ValueError(f"the manifest has none of the columns {', '.join(URI_COLUMNS)}; name one of them `uri`")
    return [str(row[name]) for row in rows if row.get(name)]


def _uri(fs: Any, path: str) -> str:
    return path if "file" in fs.protocol else str(fs.unstrip_protocol(path))


def _reason(err: Exception) -> str | None:
    """None for what is a fault of ours."""
    return one_line(err) if isinstance(err, ValueError | WrongUse) else storage_trouble(err)
