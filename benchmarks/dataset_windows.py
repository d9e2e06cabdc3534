"""Random windows against reading in order, and the memory that a reader needs.

    python -m benchmarks.dataset_windows

Latents of StyleGAN2's size (18 x 512) on smooth tracks between real W+ codes, where the folder `shared` has them,
between random ones otherwise. All readers take the same files, which the operating system holds in memory, in turns in
one run. pyarrow reads the column `w` in order, by `ParquetFile.iter_batches` and by a dataset's scanner with its
threads; the faster one counts. A loader's workers live on from epoch to epoch. Target: windows at 70 % of that or more;
the memory of a worker the same for four times the films.
"""

import itertools
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, default_collate

from benchmarks.machine import describe_machine
from pipeline.create_tables import open_or_create
from pipeline.read import Dataset, open_dataset
from pipeline.window_batches import collate
from tests import builders
from tests.datasets import KnownFilm, KnownTrack, commit_film

NUM_WS, W_DIM = 18, 512
TRACKS_PER_FILM, FRAMES_PER_TRACK = 20, (60, 400)  # as in a trailer: a face of 2 to 16 s at 25 frames a second
N_FILMS = 8  # of about 4,600 frames, 62 MB each
ROUNDS = 5
CODES = Path(__file__).resolve().parents[2] / "shared" / "latents" / "w_plus.npy"


def windows() -> None:
    """Prints the rates, their ratio, and the memory of a worker."""
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        small, large = (_dataset(f"{folder}/{n}", n) for n in (N_FILMS // 4, N_FILMS))
        _rates(large)
        _memory(small, large)


def _dataset(path: str, n_films: int) -> Dataset:
    job, canonical = builders.job(path)
    job = replace(job, generator=replace(job.generator, num_ws=NUM_WS, w_dim=W_DIM))
    tables, _ = open_or_create(job, canonical, anew=False)
    rng = np.random.default_rng(0)
    for i in range(n_films):
        tracks = []
        for shot in range(TRACKS_PER_FILM):
            n = int(rng.integers(*FRAMES_PER_TRACK))
            tracks.append(KnownTrack(n_frames=n, shot_index=shot, w_TLD=_smooth_track(n, rng)))
        commit_film(tables, job, KnownFilm(video_id=f"{i:032x}", tracks=tracks))
    return open_dataset(path)


def _smooth_track(n_frames: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A way through four codes, (T, L, D), with knots 1 s apart and a cubic's ease between them."""
    if CODES.exists():
        codes = np.load(CODES, mmap_mode="r")
        knots_KLD = np.stack([codes[i] for i in rng.integers(len(codes), size=4)])
        knots_KLD = knots_KLD[:1] + 0.2 * (knots_KLD - knots_KLD[:1])  # one person whose face moves
    else:
        knots_KLD = rng.normal(size=(4, NUM_WS, W_DIM)) * 0.2 + rng.normal(size=(1, NUM_WS, W_DIM)) * 0.5
    time_s = np.arange(n_frames) / 25
    left, part = np.divmod(time_s, 1)
    left = left.astype(int) % 4
    ease_T11 = (part**2 * (3 - 2 * part))[:, None, None]
    w_TLD = knots_KLD[left] * (1 - ease_T11) + knots_KLD[(left + 1) % 4] * ease_T11
    found: NDArray[np.float32] = w_TLD.astype(np.float32)
    return found


def _rates(dataset: Dataset) -> None:
    paths = dataset.uris("frames")
    n_bytes = sum(file.size for file in dataset.files("frames"))
    n_rows = sum(file.n_rows for file in dataset.files("frames"))
    print(
        f"{len(paths)} films, {n_rows} frames, {n_bytes / 1e6:.0f} MB, {n_bytes / n_rows / 18_432:.3f} of raw float16"
    )
    readers = {
        "iter_batches, in order": lambda: _iter_batches(paths),
        "dataset scanner": lambda: _scan(paths),
        "random windows, torch's collate": _epochs(dataset, default_collate),
        "random windows": _epochs(dataset, collate),
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for round_ in range(ROUNDS + 1):
        for name, read in readers.items():
            started = time.perf_counter()
            n = read()
            if round_:  # the first fills the caches
                rates[name].append(n / (time.perf_counter() - started))
    ratios = [window / max(batches, scan) for batches, scan, _, window in zip(*rates.values(), strict=True)]
    for name, found in rates.items():
        print(f"{name:32} {statistics.median(found):8.0f} frames/s ({min(found):.0f} to {max(found):.0f})")
    print(f"windows / faster of the two      {statistics.median(ratios):8.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def _iter_batches(paths: list[str]) -> int:
    return sum(batch.num_rows for path in paths for batch in pq.ParquetFile(path).iter_batches(columns=["w"]))


def _scan(paths: list[str]) -> int:
    return sum(batch.num_rows for batch in ds.dataset(paths).to_batches(columns=["w"]))


def _epochs(dataset: Dataset, collate_fn: Callable[[Any], Any]) -> Callable[[], int]:
    """Each call is one epoch, another than the one before, and gives its number of frames."""
    windows = dataset.windows(25)
    loader: DataLoader[dict[str, Any]] = DataLoader(
        windows, batch_size=16, num_workers=2, collate_fn=collate_fn, persistent_workers=True
    )
    epochs = itertools.count()

    def read() -> int:
        windows.set_epoch(next(epochs))
        return sum(batch["w"].shape[0] * batch["w"].shape[1] for batch in loader)

    return read


class _Watched(IterableDataset[int]):
    """For each window the highest memory that its worker has had so far, in kB."""

    def __init__(self, root: str) -> None:
        self.windows = open_dataset(root).windows(25, epochs=2)

    def __iter__(self) -> Iterator[int]:
        for _ in self.windows:
            yield int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def _memory(*datasets: Dataset) -> None:
    """Each in a process of its own, which has read nothing before."""
    peaks = []
    for dataset in datasets:
        # Not multiprocessing's Pool: its processes may not start the loader's
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            start_mb, peak_mb = pool.submit(_peak_mb, dataset.tables.root).result()
        n_rows = sum(file.n_rows for file in dataset.files("frames"))
        print(f"a worker on {n_rows:6} frames: {peak_mb:.0f} MB at most, {start_mb:.0f} MB at its first window")
        peaks.append(peak_mb)
    print(f"memory, four times the films     {peaks[1] / peaks[0]:8.2f}")


def _peak_mb(root: str) -> tuple[float, float]:
    """Of the worker that needs most: at its first window and at any time."""
    loader: DataLoader[int] = DataLoader(_Watched(root), batch_size=None, num_workers=2)
    seen = [int(kb) / 1000 for kb in loader]
    return seen[0], max(seen)


if __name__ == "__main__":
    windows()
