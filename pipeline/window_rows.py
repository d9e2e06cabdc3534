"""Rows of `frames` that were read together, from which windows are cut.

T rows, L style layers (num_ws), D style width (w_dim).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from schemas.errors import WrongUse
from schemas.tables import FRAMES, track_id

ALWAYS = ("frame_index", "pts_us", "w")  # in every sample
MORE = tuple(name for name in FRAMES.names if name not in ("video_id", "track_id", *ALWAYS))  # on request
_TRACK = ("shot_index", "track_index")


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowRows:
    """Columns as arrays, one row each, in the memory that they were read into."""

    video_id: str
    shot_index: NDArray[np.int32]
    track_index: NDArray[np.int32]
    columns: dict[str, NDArray[Any]]

    def window(self, start: int, length: int) -> dict[str, Any]:
        """Copies: windows may overlap, and one that is kept shall not keep its neighbours."""
        sample: dict[str, Any] = {
            name: torch.from_numpy(values[start : start + length].copy()) for name, values in self.columns.items()
        }
        track = (self.video_id, int(self.shot_index[start]), int(self.track_index[start]))
        return sample | {"track_id": track_id(*track)}


def columns_to_read(more: tuple[str, ...]) -> list[str]:
    """Takes: what is asked for beyond what is always given."""
    return list(dict.fromkeys((*_TRACK, *ALWAYS, *more)))


def window_rows(rows: pa.Table, video_id: str, more: tuple[str, ...], *, num_ws: int, w_dim: int) -> WindowRows:
    """Takes: rows with the columns of `columns_to_read`. Raises: WrongUse when an asked-for list is null."""
    columns = {name: _array(name, rows[name]) for name in (*ALWAYS, *more)}
    columns["w"] = columns["w"].reshape(-1, num_ws, w_dim)  # T LD -> T L D
    shot, track = (rows[name].to_numpy() for name in _TRACK)
    return WindowRows(video_id=video_id, shot_index=shot, track_index=track, columns=columns)


def _array(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """(T,) or (T, values of a list); null is NaN among floats and -1 among other numbers."""
    if pa.types.is_list(column.type):
        if column.null_count:
            raise WrongUse(f"column {name} is null where windows are; choose tracks that have it, or leave it out")
        flat = [chunk.flatten().to_numpy() for chunk in column.chunks]
        return (flat[0] if len(flat) == 1 else np.concatenate(flat)).reshape(len(column), -1)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if column.null_count and not pa.types.is_floating(column.type):
        column = column.fill_null(-1)
    found: NDArray[Any] = column.to_numpy()
    return found
