"""Which windows there are and in which order they come: arithmetic on row numbers, free of torch and of files.

A dataset is cut into pools of whole files, a pool into units (row groups that are read in one go), and the windows of a
few units together are shuffled in a buffer. All of it follows from the seed, the epoch and the rows' numbers, so any
place in an epoch is found again without reading a latent.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

POOL_ROWS = 16_384  # 4 buffers: units meet across films; what a resume counts again, 0.3 MB of small columns
UNIT_GROUPS = 8  # of a longer track, the last row group is read twice: an eighth more for 2,000 frames and up
BUFFER_GROUPS = 16  # 4,096 frames: 150 MB at 1024 px, and 160 windows of 25 that do not know each other
POOLS_PER_SHARD = 4  # below, whole pools would be dealt out too unevenly: 1 of 4 more for some


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """Row groups of one file that follow each other, and the windows that begin in them."""

    file: int
    groups: range
    starts: Ints  # first rows of windows, counted from the first row of the groups


@dataclass(frozen=True, kw_only=True, eq=False)
class Buffer:
    """Units that are held together, and their windows in the order in which they are given."""

    units: list[Unit]
    unit: Ints  # of each window: where in `units`
    start: Ints  # and its first row there


def window_starts(track: Ints, frame_index: Ints, good: NDArray[np.bool_], *, length: int, stride: int) -> Ints:
    """First rows of all windows: every `stride` rows from where a run begins, as long as `length` rows are left of it.

    Takes: one value per row. A run is rows of one track that are good and whose frames follow each other.
    """
    follows = good[1:] & good[:-1] & (track[1:] == track[:-1]) & (frame_index[1:] == frame_index[:-1] + 1)
    first = np.flatnonzero(good & np.append(True, ~follows))
    last = np.flatnonzero(good & np.append(~follows, True))
    counts = np.maximum((last + 1 - first - length) // stride + 1, 0)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # of each window in its run
    starts: Ints = np.repeat(first, counts) + stride * number
    return starts


def units_of(file: int, starts: Ints, group_rows: Sequence[int], *, length: int) -> list[Unit]:
    """Windows that share row groups are read together, and no group is read that holds none.

    Takes: first rows of a file's windows, rising; how many rows each of its row groups has.
    """
    if not len(starts):
        return []
    edges = np.concatenate([[0], np.cumsum(group_rows)])
    low, high = (np.searchsorted(edges, rows, side="right") - 1 for rows in (starts, starts + length - 1))
    apart = np.append(True, low[1:] > high[:-1])  # shares no group with the window before
    piece = (low - low[apart][np.cumsum(apart) - 1]) // UNIT_GROUPS
    cuts = np.flatnonzero(apart | np.append(True, piece[1:] != piece[:-1]))
    units = []
    for begin, end in itertools.pairwise([*cuts, len(starts)]):
        groups = range(int(low[begin]), int(high[end - 1]) + 1)
        units.append(Unit(file=file, groups=groups, starts=starts[begin:end] - edges[groups.start]))
    return units


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `count` equal readers that share each epoch without overlap."""

    index: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of one epoch. shuffle=False: as the files and their rows are."""

    seed: int
    epoch: int
    shuffle: bool

    def pools(self, n_rows: Ints) -> list[Ints]:
        """Numbers of files, cut where POOL_ROWS rows are full. Takes: how many rows each file has."""
        files = self._rng().permutation(len(n_rows)) if self.shuffle else np.arange(len(n_rows))
        rows = n_rows[files]
        pool = (np.cumsum(rows) - rows) // POOL_ROWS
        return np.split(files, np.flatnonzero(np.diff(pool)) + 1) if len(files) else []

    def dealt(self, n_pools: int, shard: Shard) -> range:
        """The pools that a shard goes through: its own, or all of them where each shard takes some units of each."""
        return range(shard.index, n_pools, shard.count) if self._whole(n_pools, shard) else range(n_pools)

    def buffers(self, pool: int, n_pools: int, units: list[Unit], shard: Shard) -> Iterator[Buffer]:
        """What a shard reads of a pool, one after the other. Takes: all units of the pool, in the order of its files.

        Reads nothing, so skipping a buffer costs nothing.
        """
        rng = self._rng(pool + 1)  # not 0: numpy makes nothing of zeros at the end of a seed
        if self.shuffle:
            units = [units[i] for i in rng.permutation(len(units))]
        if not self._whole(n_pools, shard):
            # Which shard is first changes from pool to pool: otherwise the first would take all odd ones out.
            units = units[(shard.index + pool) % shard.count :: shard.count]
        for held in _full(units, BUFFER_GROUPS if self.shuffle else 1):
            unit = np.repeat(np.arange(len(held)), [len(u.starts) for u in held])
            start = np.concatenate([u.starts for u in held])
            order = rng.permutation(len(unit)) if self.shuffle else np.arange(len(unit))
            yield Buffer(units=held, unit=unit[order], start=start[order])

    def _whole(self, n_pools: int, shard: Shard) -> bool:
        return n_pools >= POOLS_PER_SHARD * shard.count

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, *numbers])


def _full(units: list[Unit], n_groups: int) -> Iterator[list[Unit]]:
    """Cut after the unit with which `n_groups` row groups are full."""
    held: list[Unit] = []
    for unit in units:
        held.append(unit)
        if sum(len(u.groups) for u in held) >= n_groups:
            yield held
            held = []
    if held:
        yield held
