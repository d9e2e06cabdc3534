"""Reading a dataset: tables as Arrow, latents as numpy, SQL over all of it. Only committed films are visible."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.inversion.scene_path import ScenePath
from pipeline.data_files import DataFile
from pipeline.export import Form, export
from pipeline.frame_files import wanted_files, wanted_tracks
from pipeline.tables import Tables, open_tables
from pipeline.views import Views
from schemas.errors import WrongUse
from schemas.tables import TABLES, TableName

if TYPE_CHECKING:
    import ray.data

    from pipeline.windows import Windows


@dataclass(frozen=True)
class Dataset:
    """A dataset as it was at one version; open it again to see what has been committed since.

    num_ws style layers and w_dim style width are those of the dataset's generator.
    Not promised: that a version older than the limit of the last `latentreel vacuum` can still be read.
    """

    tables: Tables
    version: int  # of `videos`, which is the dataset's

    @cached_property
    def properties(self) -> dict[str, str]:
        """generator_id, num_ws, w_dim, space, config_id, as strings."""
        found = self.tables.properties(self.version)
        return {key.removeprefix("latentreel."): value for key, value in found.items()}

    @property
    def videos(self) -> pa.Table:
        return self.table("videos")

    @property
    def shots(self) -> pa.Table:
        return self.table("shots")

    @property
    def tracks(self) -> pa.Table:
        return self.table("tracks")

    @property
    def frames(self) -> pa.Table:
        """All latents at once; for more than fits into memory use `sql` or `windows`."""
        return self.table("frames")

    def table(self, name: TableName) -> pa.Table:
        return self.sql(f"select * from {name}").to_arrow_table()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """One SELECT over the views videos, shots, tracks, frames, with the functions of docs/queries.md.

        Gives: rows that are made when they are fetched, as `.df()`, `.to_arrow_table()`, `.fetchall()`; DuckDB's own
            errors may come from there.
        Raises: WrongUse with DuckDB's message and the columns there are.
        """
        return self._views.sql(query)

    def write(self, query: str, path: str, *, form: Form) -> None:
        """Writes the rows of a SELECT as csv, json (one array of objects) or parquet. Raises: WrongUse as `sql`."""
        export(self._views, query, path, form=form, storage_options=self.tables.storage_options)

    def files(self, name: TableName) -> list[DataFile]:
        """The Parquet files of a table at this version, sorted by path. Of `frames` only those of committed films."""
        if name not in self._files:
            made_with = {f"latentreel.{key}": value for key, value in self.properties.items()}
            found = self.tables.files(name, self._versions[name], made_with=made_with)
            if name == "frames":
                found = [file for file in found if file.partition["video_id"] in self._committed]
            self._files[name] = found
        return self._files[name]

    def uris(self, name: TableName) -> list[str]:
        """Those files as paths or URLs that other readers take.

        Not promised: that files of `shots` and `tracks` hold rows of committed films only; join them with `videos`.
        """
        return [self.tables.store.uri(f"{name}/{file.path}") for file in self.files(name)]

    def size(self, name: TableName) -> tuple[int, int, int]:
        """Version, number of files and their bytes."""
        version = self._versions[name]
        files = self.files(name)
        newest = self.tables.open(name).version() if version is None else version
        return newest, len(files), sum(file.size for file in files)

    def track(self, track_id: str) -> NDArray[np.float32]:
        """W+ of one track, (T, num_ws, w_dim), in the order of its frames. Raises: WrongUse for an unknown track."""
        return self._latents(self._rows_of(track_id, ["w"]))

    def path(self, track_id: str) -> ScenePath:
        """The straight pieces on which a track's latents lie: `path.at(pts_us)` samples them at any time.

        Raises: WrongUse for an unknown track, and for one that was not inverted as a scene.
        """
        rows = self._rows_of(track_id, ["w", "pts_us", "knot"])
        if rows["knot"].null_count:
            raise WrongUse(f"track {track_id}: has a latent for every frame; invert with --method scene for a path")
        knots = rows.filter(rows["knot"])
        return ScenePath(pts_us=knots["pts_us"].to_numpy(), w_KLD=self._latents(knots))

    def windows(
        self,
        length: int = 25,
        stride: int | None = None,
        where: str | None = None,
        *,
        seed: int = 0,
        shuffle: bool = True,
        filled: bool = False,
        epochs: int | None = 1,
        rank: int | None = None,
        world_size: int | None = None,
        columns: tuple[str, ...] = (),
    ) -> "Windows":
        """Frames in a row, for training: a torch IterableDataset that gives every window once per epoch.

        Takes: length and stride in frames (stride None: as length); where, a condition over the columns of `tracks`, in
            SQL; filled, to keep frames that the finder missed and the tracker filled in; epochs, None for no end; rank
            and world_size, None for torch.distributed's or the environment's; columns, more of `frames`.
        Gives: see `pipeline.windows.Windows`, and docs/reading.md for loaders. No window crosses a shot, a track or a
            gap. A run of frames has windows at its first frame and every `stride` after it.
        Raises: WrongUse for values that cannot be, and as `sql`.
        """
        from pipeline.windows import WindowOptions, Windows, WindowSource

        stride = length if stride is None else stride
        options = WindowOptions(
            length=length,
            stride=stride,
            seed=seed,
            shuffle=shuffle,
            filled=filled,
            epochs=epochs,
            columns=tuple(columns),
        )
        source = WindowSource(
            root=self.tables.root,
            storage_options=self.tables.storage_options,
            version=self.version,
            files=self._wanted_files(where),
            where=where,
            num_ws=int(self.properties["num_ws"]),
            w_dim=int(self.properties["w_dim"]),
        )
        return Windows(source, options, rank=rank, world_size=world_size)

    def ray(self, where: str | None = None) -> "ray.data.Dataset":
        """Rows of `frames` as a Ray Dataset, `w` as a tensor (num_ws, w_dim). Takes: a condition as `windows` does.

        Not promised: an order.
        """
        from pipeline.ray_frames import ray_frames

        widths = (int(self.properties[name]) for name in ("num_ws", "w_dim"))
        return ray_frames(self._wanted_files(where), self.tables.store, *widths)

    def _wanted_files(self, where: str | None) -> pa.Table:
        chosen = None if where is None else self.sql(wanted_tracks(where)).to_arrow_table()
        return wanted_files(self.files("frames"), chosen)

    def _rows_of(self, track_id: str, columns: list[str]) -> pa.Table:
        import pyarrow.dataset as ds  # loads pandas, 1.5 s that a question in SQL does without

        video_id = track_id.split("-", maxsplit=1)[0]
        files = [f"frames/{file.path}" for file in self.files("frames") if file.partition["video_id"] == video_id]
        if files:
            store = self.tables.store
            film = ds.dataset([store.path(file) for file in files], filesystem=store.arrow_filesystem)
            rows = film.to_table([*columns, "frame_index"], filter=ds.field("track_id") == track_id)
            if rows.num_rows:
                return rows.sort_by("frame_index")
        raise WrongUse(f"no track {track_id}; `select track_id from tracks` lists them")

    def _latents(self, rows: pa.Table) -> NDArray[np.float32]:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in rows["w"].chunks])
        return flat.reshape(rows.num_rows, int(self.properties["num_ws"]), int(self.properties["w_dim"]))

    @cached_property
    def _views(self) -> Views:
        widths = (int(self.properties[name]) for name in ("num_ws", "w_dim"))
        return Views(
            self.tables.store, lambda name: {f"{name}/{file.path}": file.size for file in self.files(name)}, *widths
        )

    @cached_property
    def _versions(self) -> dict[TableName, int | None]:
        """Of each table. None, the newest, where the log does not say: then `videos` alone decides what shows."""
        pins = self.tables.pins(self.version)
        return {name: self.version if name == "videos" else pins.get(name) for name in TABLES}

    @cached_property
    def _files(self) -> dict[TableName, list[DataFile]]:
        return {}

    @cached_property
    def _committed(self) -> set[str]:
        return {name for (name,) in self.sql("select video_id from videos where status = 'committed'").fetchall()}

    def __repr__(self) -> str:
        counts: dict[str, Any] = {name: self.sql(f"select count(*) from {name}").fetchall()[0][0] for name in TABLES}
        return f"Dataset({self.tables.root}, {counts})"


def open_dataset(path: str, storage_options: Mapping[str, str] | None = None, *, version: int | None = None) -> Dataset:
    """Takes: a folder or URL; `storage_options` of an object store under delta-rs' names, as AWS_ACCESS_KEY_ID, over
    what the environment says; a version that `latentreel history` lists, default the newest.

    Raises: WrongUse when there is no dataset at the path, no such version, or its files were vacuumed.
    """
    tables = open_tables(path, storage_options)
    if version is not None:
        tables.refuse_vacuumed(version)
    return Dataset(tables, tables.open("videos", version).version())
