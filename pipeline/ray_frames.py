"""The table `frames` as a Ray Dataset, latents as tensors. L style layers (num_ws), D style width (w_dim)."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.data.datasource import Partitioning
from ray.data.extensions import ArrowTensorArray

from pipeline.frame_files import track_keys
from pipeline.store import Store
from schemas.tables import FRAMES


def ray_frames(files: pa.Table, store: Store, num_ws: int, w_dim: int) -> ray.data.Dataset:
    """Takes: what `wanted_files` gives. Starts Ray where it does not run, as Ray Data does."""
    if files.num_rows == 0:
        return ray.data.from_arrow(_with_tensors(FRAMES.empty_table(), num_ws, w_dim))
    # Sent once, not with every task: of all tracks it is 8 bytes each.
    wanted_ref = None if files["wanted"].null_count else ray.put(files.select(["video_id", "wanted"]))

    def wanted_rows(rows: pa.Table) -> pa.Table:
        if wanted_ref is not None:
            rows = rows.filter(_is_wanted(rows, ray.get(wanted_ref)))
        return _with_tensors(rows, num_ws, w_dim)

    base = store.path("frames")  # a folder above it may be named x=1 and is no column
    rows = ray.data.read_parquet(
        [store.path(path) for path in files["path"].to_pylist()],
        filesystem=store.arrow_filesystem,
        partitioning=Partitioning("hive", base_dir=base, field_types={"video_id": str}),
    )
    return rows.map_batches(wanted_rows, batch_format="pyarrow", zero_copy_batch=True)


def _is_wanted(rows: pa.Table, wanted: pa.Table) -> pa.Array:
    """A block may hold several films."""
    keys = track_keys(rows)
    found = np.zeros(rows.num_rows, bool)
    for video_id in rows["video_id"].unique():
        tracks = wanted["wanted"][pc.index(wanted["video_id"], video_id).as_py()].values
        found |= pc.equal(rows["video_id"], video_id).to_numpy() & np.isin(keys, tracks.to_numpy())
    return pa.array(found)


def _with_tensors(rows: pa.Table, num_ws: int, w_dim: int) -> pa.Table:
    """The columns in the table's own order."""
    rows = rows.select(FRAMES.names).combine_chunks()
    w = rows["w"].combine_chunks() if rows.num_rows else pa.array([], FRAMES.field("w").type)
    w_NLD = w.flatten().to_numpy().reshape(rows.num_rows, num_ws, w_dim)
    return rows.set_column(rows.schema.get_field_index("w"), "w", ArrowTensorArray.from_numpy(w_NLD))
