"""Questions to a dataset of 100,000 films and 10^6 tracks, and what opening it costs.

    OMP_NUM_THREADS=1 python -m benchmarks.dataset_query [query] [opening]

Each line is a process of its own: seconds from the first line of ours after the imports to the last row, the same
question asked again, and the process's peak memory. Files come from the page cache: they were written a moment ago.

query: `tracks` as it lies after compaction, in files of at most 128 MB, identities of 128 random floats (nothing
compresses them), and 200 films that came later in a file each; `videos` likewise, 2 % of them quarantined. The
questions are those of docs/queries.md. Target: under 1 s.
opening: each of the four logs holds 100,000 commits of one film, of which 49 came after the last checkpoint; the older
entries lie beside it, as they do for Delta's 30 days, and are listed but not read. Only files of `videos` exist:
opening reads no others. Target, opening alone: under 1 s.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.machine import describe_machine
from pipeline.commit import Change, app_id, commit
from pipeline.create_tables import open_or_create
from pipeline.final_files import FinalFile, write_rows
from pipeline.tables import PINS, Tables
from schemas.job import Job
from schemas.tables import SHOTS, TABLES, TRACKS, VIDEOS, TableName, track_id
from tests import builders

FILMS, TRACKS_PER_FILM = 100_000, 10
LATER = 200  # films whose rows are not compacted yet
FILES = 4  # of compacted tracks: 112 MB each
AFTER_CHECKPOINT = 49  # Delta makes a checkpoint every 100 commits
SEED = 990_020

PAGE = Path(__file__).parent.parent / "docs" / "queries.md"
QUESTIONS = (  # its headings: those that read no latents
    "Every shot of one person",
    "The least well inverted tracks",
    "Screen time per person and film",
    "The longest tracks without a gap",
    "Films by fate, with the reasons of quarantine",
    "How well the tracks are inverted: a histogram",
)
PERSON = "p000007"  # a synthetic one, in place of the document's anna

_FILES = "FILES"  # in place of a question
_ASK = """
import json, re, sys, time
from pipeline.read import open_dataset
path, sql = sys.argv[1:]
took = []
start = time.perf_counter()
dataset = open_dataset(path)
opened = time.perf_counter() - start
for _ in range(2):
    rows = len(dataset.files("frames") if sql == "FILES" else dataset.sql(sql).fetchall()) if sql else 0
    took.append(time.perf_counter() - start)
    start = time.perf_counter()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])  # ru_maxrss has the parent's too
print(json.dumps({"opened": opened, "first": took[0], "again": took[1], "rows": rows, "peak": peak / 1024}))
"""


@dataclass(frozen=True)
class Library:
    """A dataset of synthetic films, at a path that holds nothing yet."""

    path: str

    @cached_property
    def job(self) -> Job:
        return builders.job(self.path)[0]

    @cached_property
    def tables(self) -> Tables:
        return open_or_create(self.job, builders.job(self.path)[1], anew=False)[0]

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(SEED)

    @cached_property
    def films(self) -> list[str]:
        """Ids, sorted, as compaction sorts rows."""
        return sorted(self.rng.bytes(16).hex() for _ in range(FILMS))

    def videos(self, films: list[str]) -> pa.Table:
        n = len(films)
        columns: dict[str, Any] = {field.name: [None] * n for field in VIDEOS}
        columns |= {name: np.full(n, 1000) for name in ("bytes", "n_shots", "n_tracks", "n_latents", "attempts")}
        columns |= {
            "video_id": films,
            "uri": [f"s3://films/{film}.mp4" for film in films],
            "duration_s": np.full(n, 100.0),
        }
        columns |= {
            "fps": np.full(n, 25.0),
            "width": np.full(n, 1920),
            "height": np.full(n, 1080),
            "codec": ["h264"] * n,
        }
        columns["status"] = ["quarantined" if i % 50 == 49 else "committed" for i in range(n)]
        columns["reason"] = ["the file ends early" if i % 50 == 49 else None for i in range(n)]
        columns |= {
            "config_id": [self.job.config_id] * n,
            "run_id": ["run"] * n,
            "committed_at": [datetime.now(UTC)] * n,
        }
        return _table(columns, VIDEOS)

    def shots(self, films: list[str]) -> pa.Table:
        n = len(films) * TRACKS_PER_FILM
        shots = np.tile(np.arange(TRACKS_PER_FILM), len(films))
        first = shots * 500
        columns = {"video_id": np.repeat(films, TRACKS_PER_FILM), "shot_index": shots, "first_frame": first}
        columns |= {"n_frames": np.full(n, 500), "start_us": first * 40_000, "end_us": (first + 500) * 40_000}
        return _table(columns, SHOTS)

    def tracks(self, films: list[str]) -> pa.Table:
        n = len(films) * TRACKS_PER_FILM
        shots = np.tile(np.arange(TRACKS_PER_FILM), len(films))
        length, first = self.rng.integers(8, 400, n), shots * 500
        columns: dict[str, Any] = {field.name: [None] * n for field in TRACKS}
        columns["video_id"] = np.repeat(films, TRACKS_PER_FILM)
        columns["track_id"] = [track_id(film, shot, 0) for film in films for shot in range(TRACKS_PER_FILM)]
        columns |= {"shot_index": shots, "track_index": np.zeros(n), "first_frame": first, "n_frames": length}
        columns |= {"start_us": first * 40_000, "end_us": (first + length - 1) * 40_000, "method": ["sequential"] * n}
        columns |= {"gaps": self.rng.poisson(0.5, n), "generator_id": ["tiny"] * n, "psnr": self.rng.normal(30, 2, n)}
        columns |= {name: self.rng.normal(5, 1, n) for name in ("flicker", "velocity", "acceleration")}
        columns |= {"emotion": self.rng.integers(0, 7, n), "emotion_counts": self.rng.integers(0, 60, (n, 7))}
        columns["identity"] = self.rng.normal(size=(n, 128)).astype(np.float32)
        columns["person_id"] = [f"p{number:06d}" for number in self.rng.integers(0, 50_000, n)]
        return _table(columns, TRACKS)

    def commit_tracks(self) -> None:
        """Files as after compaction, and those that came later."""
        compacted, later = self.films[:-LATER], self.films[-LATER:]
        step = len(compacted) // FILES
        parts = [compacted[i : i + step] for i in range(0, len(compacted), step)]
        alone = [[film] for film in later]
        self._commit("shots", self._written("shots", self.shots, parts + alone))
        self._commit("tracks", self._written("tracks", self.tracks, parts + alone))
        self._commit("videos", self._written("videos", self.videos, [compacted, *alone]))

    def _written(
        self, name: TableName, rows_of: Callable[[list[str]], pa.Table], parts: list[list[str]]
    ) -> list[FinalFile]:
        return [file for part in parts for file in write_rows(self.tables.store, name, rows_of(part))]

    def commit_logs(self) -> None:
        """100,000 commits to each table: their sum in one, as many empty ones, a checkpoint, 49 ordinary ones."""
        before, after = self.films[:-AFTER_CHECKPOINT], self.films[-AFTER_CHECKPOINT:]
        for name in TABLES:
            self._commit(name, self._logged(name, before), before)
            self._fill(name)
            for version, film in enumerate(after, FILMS - AFTER_CHECKPOINT + 1):
                self._enter(name, version, film)

    def _logged(self, name: TableName, films: list[str]) -> list[FinalFile]:
        """Only files of `videos` exist."""
        if name == "videos":
            return write_rows(self.tables.store, name, self.videos(films))
        return [self._file(name, film) for film in films]

    def _file(self, name: TableName, film: str) -> FinalFile:
        n_rows = {"frames": 2000, "shots": 100}.get(name, TRACKS_PER_FILM)
        stats = {"numRecords": n_rows, "minValues": {"video_id": film}, "maxValues": {"video_id": film}}
        if name == "frames":
            tracks = (track_id(film, 0, 0), track_id(film, TRACKS_PER_FILM, 0))
            stats |= {"minValues": {"track_id": tracks[0]}, "maxValues": {"track_id": tracks[1]}}
            path, partition = f"video_id={film}/part-{film}.parquet", {"video_id": film}
            return FinalFile(path=path, size=30_000_000, partition=dict(partition), stats=json.dumps(stats))
        return FinalFile(path=f"{film}-{film}.parquet", size=8_000, partition={}, stats=json.dumps(stats))

    def _commit(self, name: TableName, files: list[FinalFile], films: list[str] | None = None) -> None:
        done = {app_id(name, film, self.job.config_id): 1 for film in films or []}
        commit(self.tables, name, lambda _: Change(what="synthetic", adds=files, transactions=done))

    def _enter(self, name: TableName, version: int, film: str) -> None:
        """A film's commit, as the log holds it. By deltalake 200 of them would take minutes beside 100,000 films."""
        pins = {table: version for table in TABLES if table != "videos"}
        entry: list[dict[str, Any]] = [{"commitInfo": {"timestamp": 0, "operation": "WRITE", PINS: pins}}]
        for file in self._logged(name, [film]):
            add = {"path": file.path, "partitionValues": file.partition, "size": file.size, "stats": file.stats}
            entry.append({"add": add | {"modificationTime": 0, "dataChange": True}})
        entry.append({"txn": {"appId": app_id(name, film, self.job.config_id), "version": 1}})
        path = Path(self.path) / name / "_delta_log" / f"{version:020d}.json"
        path.write_text("\n".join(map(json.dumps, entry)))

    def _fill(self, name: TableName) -> None:
        """Log entries that say nothing, and the checkpoint after them: as they say nothing, it is that of before."""
        DeltaTable(self.tables.uri(name)).create_checkpoint()
        log, last = Path(self.path) / name / "_delta_log", FILMS - AFTER_CHECKPOINT
        (log / f"{1:020d}.checkpoint.parquet").rename(log / f"{last:020d}.checkpoint.parquet")
        pointer = json.loads((log / "_last_checkpoint").read_text())
        (log / "_last_checkpoint").write_text(json.dumps(pointer | {"version": last}))
        for version in range(2, last + 1):
            entry = log / f"{version:020d}.json"
            if version % 50_000 == 2:  # ext4 gives a file at most 65,000 names
                source = entry
                source.write_text('{"commitInfo":{"timestamp":0,"operation":"WRITE","operationParameters":{}}}')
            else:
                os.link(source, entry)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table([_array(columns[field.name], field.type) for field in schema], schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2:  # lists of equal lengths
        n, width = values.shape
        flat = pa.array(values.ravel(), kind.value_type, safe=False)
        return pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * np.int32(width), flat, type=kind)
    return pa.array(values, kind, safe=False)


def _example(heading: str) -> str:
    found = re.search(rf"^### {re.escape(heading)}\n.*?```sql\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, heading
    return found[1].replace("'anna'", f"'{PERSON}'")


def _measure(label: str, path: str, sql: str) -> None:
    words = [sys.executable, "-c", _ASK, path, sql]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    print(
        f"| {label} | {found['opened']:.2f} s | {found['first']:.2f} s | {found['again']:.2f} s "
        f"| {found['peak']:.0f} MB | {found['rows']} |",
        flush=True,
    )


def _header(title: str) -> None:
    print(f"\n{title}. {describe_machine()}\n")
    print("| question | opened after | first answer after | again | peak memory | rows |\n" + "| --- " * 6 + "|")


def query() -> None:
    """A question to 10^6 tracks: under 1 s."""
    with TemporaryDirectory() as path:
        library = Library(path)
        library.commit_tracks()
        _header("10^6 tracks of 100,000 films")
        for heading in QUESTIONS:
            _measure(heading, path, _example(heading))
        _measure(
            "All of one person's tracks, identities too", path, f"select * from tracks where person_id = '{PERSON}'"
        )


def opening() -> None:
    """Opening a dataset of 100,000 films: under 1 s."""
    with TemporaryDirectory() as path:
        library = Library(path)
        library.commit_logs()
        _header("Logs of 100,000 films")
        _measure("opening alone", path, "")
        _measure("`videos` by status", path, "select status, count(*) from videos group by all")
        _measure("the list of files of `frames`", path, _FILES)


def main() -> None:
    """Both, or those named."""
    parts = {"query": query, "opening": opening}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
