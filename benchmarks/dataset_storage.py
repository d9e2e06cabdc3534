"""What a dataset costs on disk, and how many commits a second it takes from 16 processes at once.

    python -m benchmarks.dataset_storage [size] [commits]

Latents are smooth walks between the real codes of ../shared/latents/w_plus.npy, rounded to float16 as operators give
them; landmarks and quads walk too, in pixels, with all the bits of a float32. Sizes are those of whole files.
"""

import multiprocessing
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from pipeline.commit import append_once
from pipeline.compact import compact
from pipeline.create_tables import open_or_create
from pipeline.final_files import write_frames
from pipeline.tables import Tables
from schemas.tables import FRAMES, TABLES, track_id
from tests import builders
from tests.datasets import FRAME_US, KnownFilm, KnownTrack, commit_film, make_dataset

CODES = Path(__file__).resolve().parents[2] / "shared/latents/w_plus.npy"
N_TRACKS, N_FRAMES, N_FILES = 16, 192, 4  # 3,072 frames, 57 MB of float16, in four small files
KEY_FRAMES = 24  # a face is somewhere else after a second
WRITERS, FILMS_EACH, ROUNDS = 16, 4, 2


def size() -> None:
    """Bytes a frame as a share of raw float16, of whole files and by column, before and after `compact`."""
    codes_NLD = np.load(CODES)
    n_raw = 2 * int(np.prod(codes_NLD.shape[1:]))
    n_frames = N_TRACKS * N_FRAMES
    print(f"{n_frames} frames of {codes_NLD.shape[1]} x {codes_NLD.shape[2]}; raw float16: {n_raw} bytes a frame")
    print(f"{'share of the way to another face':<34}{'files':>7}{'all columns':>13}{'w':>8}{'others':>8}{'footers':>9}")
    for reach in (0.1, 0.3, 1.0):
        with tempfile.TemporaryDirectory() as root:
            tables = _film_of_walks(root, codes_NLD, reach)
            _print_size(tables, f"{reach:.1f}", n_frames * n_raw)
            compact(tables)
            _print_size(tables, f"{reach:.1f}, compacted", n_frames * n_raw)


def _print_size(tables: Tables, name: str, n_raw: int) -> None:
    paths = [Path(tables.root) / "frames" / file.path for file in tables.files("frames")]
    of_w = others = 0
    for path in paths:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for index in range(metadata.num_columns):
                column = metadata.row_group(group).column(index)
                is_w = column.path_in_schema.startswith("w.")
                of_w += column.total_compressed_size if is_w else 0
                others += 0 if is_w else column.total_compressed_size
    everything = sum(path.stat().st_size for path in paths)
    footers = everything - of_w - others
    shares = "".join(f"{n / n_raw:>{width}.4f}" for n, width in ((of_w, 8), (others, 8), (footers, 9)))
    print(f"{name:<34}{len(paths):>7}{everything / n_raw:>13.4f}{shares}")


def _film_of_walks(root: str, codes_NLD: NDArray[np.float32], reach: float) -> Tables:
    job, canonical = builders.job(root)
    layers, width = codes_NLD.shape[1:]
    job = replace(job, generator=replace(job.generator, num_ws=layers, w_dim=width))
    tables, _ = open_or_create(job, canonical, anew=False)
    rng, film = np.random.default_rng(0), "f" * 32
    tracks = [_track(rng, film, i, codes_NLD, reach) for i in range(N_TRACKS)]
    for i in range(N_FILES):
        some = tracks[i * N_TRACKS // N_FILES : (i + 1) * N_TRACKS // N_FILES]
        append_once(tables, "frames", write_frames(tables.store, film, some), app=f"{i}", generation=1, what="walks")
    return tables


def _track(rng: np.random.Generator, film: str, shot: int, codes_NLD: NDArray[np.float32], reach: float) -> pa.Table:
    n_keys = N_FRAMES // KEY_FRAMES + 2
    chosen = codes_NLD[rng.choice(len(codes_NLD), n_keys)]
    w_TD = _smooth(codes_NLD[shot] + reach * (chosen - codes_NLD[shot])).reshape(N_FRAMES, -1)
    points_T = _smooth(rng.uniform(100, 400, (n_keys, 136)).astype(np.float32))
    frame_index = np.arange(N_FRAMES)
    columns: dict[str, Any] = {
        "track_id": [track_id(film, shot, 0)] * N_FRAMES,
        "shot_index": [shot] * N_FRAMES,
        "track_index": [0] * N_FRAMES,
        "frame_index": frame_index,
        "pts_us": frame_index * FRAME_US,
        "w": list(w_TD.astype(np.float16).astype(np.float32)),
        "emotion": [6] * N_FRAMES,
        "emotion_probs": list(_smooth(rng.dirichlet(np.ones(7), n_keys).astype(np.float32))),
        "quad": list(points_T[:, :8]),
        "landmarks": list(points_T),
        "confidence": rng.uniform(0.5, 1, N_FRAMES),
        "psnr": rng.normal(30, 1, N_FRAMES),
    }
    schema = pa.schema([FRAMES.field(name) for name in FRAMES.names if name != "video_id"])
    arrays = [pa.array(columns.get(name, [None] * N_FRAMES), schema.field(name).type) for name in schema.names]
    return pa.table(arrays, schema=schema)


def _smooth(keys_K: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N_FRAMES, ...): from key to key, at rest at each."""
    at_T = np.arange(N_FRAMES) / KEY_FRAMES
    k_T = at_T.astype(int)
    eased_T = (1 - np.cos(np.pi * (at_T - k_T))) / 2
    t_T = eased_T.reshape(-1, *[1] * (keys_K.ndim - 1))
    return np.asarray(keys_K[k_T] * (1 - t_T) + keys_K[k_T + 1] * t_T, np.float32)


def commits() -> None:
    """16 processes that commit whole films at once, beside as many that append blindly with deltalake's own retries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.datasets"])  # not this module: it is running already
    n_films = WRITERS * FILMS_EACH
    print(f"{WRITERS} processes, {FILMS_EACH} films each, 4 commits a film; every film written, then counted")
    print(f"{'':<34}{'films/s':>9}{'commits/s':>11}{'lost':>6}{'doubled':>9}{'errors':>8}")
    for _ in range(ROUNDS):
        for name, work in (("commit_film (conditional)", _commit_films), ("deltalake's blind append", _append_blindly)):
            with tempfile.TemporaryDirectory() as root:
                tables = make_dataset(root, [])
                barrier, errors = context.Barrier(WRITERS + 1), context.Queue()
                writers = [context.Process(target=work, args=(root, i, barrier, errors)) for i in range(WRITERS)]
                for writer in writers:
                    writer.start()
                barrier.wait()
                started = time.perf_counter()
                n_errors = sum(errors.get() for _ in writers)
                took = time.perf_counter() - started
                for writer in writers:
                    writer.join()
                lost, doubled = _count(tables)
                rates = f"{n_films / took:>9.1f}{4 * n_films / took:>11.1f}"
                print(f"{name:<34}{rates}{lost:>6}{doubled:>9}{n_errors:>8}")


def _film(writer: int, n: int) -> KnownFilm:
    return KnownFilm(video_id=f"{writer:016x}{n:016x}", tracks=[KnownTrack(n_frames=5)])


def _commit_films(root: str, writer: int, barrier: Barrier, errors: Any) -> None:
    job, tables = builders.job(root)[0], Tables(root, {})
    barrier.wait()
    for n in range(FILMS_EACH):
        commit_film(tables, job, _film(writer, n))
    errors.put(0)


def _append_blindly(root: str, writer: int, barrier: Barrier, errors: Any) -> None:
    """The same rows, made beforehand in a dataset of the process's own."""
    with tempfile.TemporaryDirectory() as own:
        made = make_dataset(own, [_film(writer, n) for n in range(FILMS_EACH)])
        rows = {name: made.read(name) for name in TABLES}
    failed = 0
    barrier.wait()
    for n in range(FILMS_EACH):
        for name in TABLES:
            of_film = rows[name].filter(pc.equal(rows[name]["video_id"], _film(writer, n).video_id))
            try:
                write_deltalake(f"{root}/{name}", of_film, mode="append")
            except DeltaError:
                failed += 1
    errors.put(failed)


def _count(tables: Tables) -> tuple[int, int]:
    """Lost and doubled rows, over all tables."""
    due = {_film(writer, n).video_id: 0 for writer in range(WRITERS) for n in range(FILMS_EACH)}
    lost = doubled = 0
    for name in TABLES:
        per_film = 5 if name == "frames" else 1
        counts = dict(due)
        for video_id in tables.read(name, ["video_id"])["video_id"].to_pylist():
            counts[video_id] += 1
        lost += sum(max(0, per_film - n) for n in counts.values())
        doubled += sum(max(0, n - per_film) for n in counts.values())
    return lost, doubled


def main() -> None:
    """Runs the parts that are named, or both."""
    print(describe_machine())
    for part in (size, commits):
        if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
            part()


if __name__ == "__main__":
    main()
