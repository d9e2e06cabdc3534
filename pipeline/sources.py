"""SOURCE arguments -> film files. A source is a file, a folder, a glob, any fsspec URL, or a manifest of such."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow.parquet as pq

# Taken from a folder or a glob without an extension; a file that is named itself may be called anything.
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mxf", ".wmv"})
MANIFEST_SUFFIXES = frozenset({".txt", ".csv", ".jsonl", ".parquet"})
URI_COLUMNS = ("uri", "path", "url", "file")  # the first that a manifest has names its films


@dataclass(frozen=True)
class Problem:
    """A source that gives nothing, in one line with the cure."""

    source: str
    message: str


def expand_sources(sources: tuple[str, ...]) -> tuple[list[str], list[Problem]]:
    """The films that the sources name, each once, in the order given; and the sources that name none."""
    films: dict[str, None] = {}
    problems: list[Problem] = []
    for source in sources:
        try:
            found = list(_expand(source))
        except (OSError, ValueError) as err:
            problems.append(Problem(source, _reason(err)))
            continue
        films.update(dict.fromkeys(found))
    return list(films), problems


def _expand(source: str) -> Iterator[str]:
    fs, path = fsspec.core.url_to_fs(source)
    if any(mark in path for mark in "*?[") and not fs.exists(path):
        found = [str(name) for name in sorted(fs.glob(path)) if not fs.isdir(name)]
        if not found:
            raise ValueError("no file matches this pattern; quote the pattern, or check the folder it starts in")
        yield from (_uri(fs, name) for name in found)
    elif fs.isdir(path):
        found = sorted(name for name in fs.find(path) if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES)
        if not found:
            raise ValueError(f"holds no films ({', '.join(sorted(VIDEO_SUFFIXES))}); name another folder or the files")
        yield from (_uri(fs, name) for name in found)
    elif not fs.exists(path):
        raise FileNotFoundError("no such file or folder; check the path")
    elif PurePosixPath(path).suffix.lower() in MANIFEST_SUFFIXES:
        yield from _manifest(fs, path)
    else:
        yield _uri(fs, path)


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


def _reason(err: Exception) -> str:
    if isinstance(err, OSError) and err.strerror:
        return f"{err.strerror.lower()}; check the path and its permissions"
    return " ".join(str(err).split())
