"""Windows of latents for training: a torch dataset that shuffles, is dealt out over workers and ranks, and resumes.

What travels to a worker is plain data; it opens files by itself.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info

from pipeline.frame_files import FrameFiles, track_keys
from pipeline.store import Store
from pipeline.window_plan import Buffer, Ints, Order, Shard, Unit, units_of, window_starts
from pipeline.window_rows import MORE, WindowRows, columns_to_read, window_rows
from schemas.errors import WrongUse


@dataclass(frozen=True, kw_only=True)
class WindowSource:
    """One version of a dataset, as plain data."""

    root: str
    storage_options: dict[str, str]
    version: int
    files: pa.Table  # see pipeline/frame_files.py
    where: str | None  # that `files` was chosen by
    num_ws: int
    w_dim: int


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """What `Dataset.windows` takes. Raises: WrongUse."""

    length: int
    stride: int
    seed: int
    shuffle: bool
    filled: bool
    epochs: int | None
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("stride", 1), ("seed", 0), ("epochs", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise WrongUse(f"{name} is {value}; give {least} or more")
        for column in self.columns:
            if column not in MORE:
                raise WrongUse(f"no column {column} to add to windows; there are {', '.join(MORE)}")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where an iteration is: `taken` windows of a pool are given, and all of the shard's pools before it."""

    first_epoch: int
    epoch: int
    pool: int = 0  # counted among the shard's own
    taken: int = 0


class Windows(IterableDataset[dict[str, Any]]):
    """Gives dicts: w float32 (length, num_ws, w_dim), pts_us and frame_index int64 (length,), track_id, `columns`.

    Null is NaN in columns of floats, -1 in others. A sample's tensors are its own: change them as you like.
    `state_dict` is of the iteration that was begun last.
    Not promised: equal orders with another numpy; equal shares of the windows; two iterations of one object at once.
    """

    def __init__(self, source: WindowSource, options: WindowOptions, *, rank: int | None, world_size: int | None):
        self._source, self._options = source, options
        self._rank, self._world_size = _ranks(rank, world_size)
        self._digest = _digest(source.files)
        # Shared, so that `set_epoch` also reaches workers that live on from epoch to epoch.
        self._epoch: torch.Tensor = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._place: _Place | None = None
        self._resume: _Place | None = None

    def set_epoch(self, epoch: int) -> None:
        """The epoch with which the next iterations begin; 0 where this is never called. Each has another order."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # Not in the generator: a loader asks for the state, or drops an iteration, before the first window.
        place = self._resume or self._beginning()
        self._place, self._resume = place, None
        return self._windows(place, self._shard())

    def state_dict(self) -> dict[str, Any]:
        """Plain values: whose state it is, and how far the iteration is."""
        return self._identity() | asdict(self._resume or self._place or self._beginning())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The next iteration gives what was left. Raises: ValueError when the state belongs to other windows."""
        differs = [
            f"{name} is {state.get(name)!r} there and {here!r} here"
            for name, here in self._identity().items()
            if state.get(name) != here
        ]
        if differs:
            raise ValueError(f"the state belongs to other windows: {'; '.join(differs)}")
        self._resume = _Place(**{name: state[name] for name in _Place.__dataclass_fields__})

    def _beginning(self) -> _Place:
        epoch = int(self._epoch)
        return _Place(first_epoch=epoch, epoch=epoch)

    def _identity(self) -> dict[str, Any]:
        """All that decides which windows this shard gives, and their order."""
        options, shard = self._options, self._shard()
        return {
            "dataset_version": self._source.version,
            "where": self._source.where,
            "length": options.length,
            "stride": options.stride,
            "filled": options.filled,
            "shuffle": options.shuffle,
            "seed": options.seed,
            "shards": shard.count,
            "shard": shard.index,
            "files": self._digest,  # of one version others after `latentreel compact`
        }

    def _shard(self) -> Shard:
        worker = get_worker_info()
        n_workers, index = (1, 0) if worker is None else (worker.num_workers, worker.id)
        return Shard(index=self._rank * n_workers + index, count=self._world_size * n_workers)

    def _windows(self, place: _Place, shard: Shard) -> Iterator[dict[str, Any]]:
        """The rest of an epoch, and those that follow."""
        store = Store(self._source.root, self._source.storage_options)  # a forked worker must not share connections
        n_rows = self._source.files["n_rows"].to_numpy()
        epochs = self._options.epochs
        while epochs is None or place.epoch < place.first_epoch + epochs:
            order = Order(seed=self._options.seed, epoch=place.epoch, shuffle=self._options.shuffle)
            pools = order.pools(n_rows)
            given = place != _Place(first_epoch=place.first_epoch, epoch=place.epoch)
            for i, pool in list(enumerate(order.dealt(len(pools), shard)))[place.pool :]:
                files = FrameFiles(files=self._source.files, store=store)
                buffers = order.buffers(pool, len(pools), self._units(files, pools[pool]), shard)
                for taken, window in self._samples(files, buffers, place.taken if i == place.pool else 0):
                    given = True
                    self._place = _Place(first_epoch=place.first_epoch, epoch=place.epoch, pool=i, taken=taken)
                    yield window
            if epochs is None and not given:
                raise WrongUse(
                    f"no window of {self._options.length} frames for reader {shard.index + 1} of {shard.count}; "
                    "take shorter windows, fewer workers or a wider `where`"
                )
            place = _Place(first_epoch=place.first_epoch, epoch=place.epoch + 1)

    def _units(self, files: FrameFiles, pool: Ints) -> list[Unit]:
        """Of a pool's files, in their order. Reads small columns only."""
        options = self._options
        columns = ["shot_index", "track_index", "frame_index", *([] if options.filled else ["confidence"])]
        units: list[Unit] = []
        for file in pool.tolist():
            group_rows = files.group_rows(file)
            rows = files.read(file, range(len(group_rows)), columns)
            track, wanted = track_keys(rows), files.wanted(file)
            good = np.ones(len(track), bool) if options.filled else rows["confidence"].to_numpy() > 0
            if wanted is not None:
                good &= np.isin(track, wanted)
            frame_index = rows["frame_index"].to_numpy()
            starts = window_starts(track, frame_index, good, length=options.length, stride=options.stride)
            units += units_of(file, starts, group_rows, length=options.length)
        return units

    def _samples(self, files: FrameFiles, buffers: Iterator[Buffer], skip: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Windows after the first `skip`, each with how many are given by then. Units given already are not read."""
        taken = 0
        for buffer in buffers:
            begin = min(skip - taken, len(buffer.unit)) if taken < skip else 0
            taken += begin
            units, starts = buffer.unit[begin:].tolist(), buffer.start[begin:].tolist()
            held = {i: self._read(files, buffer.units[i]) for i in sorted(set(units))}
            for i, start in zip(units, starts, strict=True):
                taken += 1
                yield taken, held[i].window(start, self._options.length)
            del held  # before the next are read: only one buffer is ever held

    def _read(self, files: FrameFiles, unit: Unit) -> WindowRows:
        more = self._options.columns
        rows = files.read(unit.file, unit.groups, columns_to_read(more))
        widths = {"num_ws": self._source.num_ws, "w_dim": self._source.w_dim}
        return window_rows(rows, files.video_id(unit.file), more, **widths)


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Of this process: as given, else torch.distributed's, else the environment's, else the only one."""
    if (rank is None) != (world_size is None):
        raise WrongUse("rank and world_size go together; give both or none")
    if rank is None or world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        else:
            rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world_size:
        raise WrongUse(f"rank {rank} of {world_size}; ranks count from 0 to {world_size - 1}")
    return rank, world_size


def _digest(files: pa.Table) -> str:
    """Of the files and the wanted tracks: equal numbers of rows and windows stand at equal places."""
    found = hashlib.sha256()
    for path in files["path"]:
        found.update(path.as_py().encode())
    found.update(files["n_rows"].to_numpy().tobytes())
    for keys in files["wanted"].chunks:
        found.update(keys.value_lengths().fill_null(-1).to_numpy().tobytes())
        found.update(keys.flatten().to_numpy().tobytes())
    return found.hexdigest()[:16]
