"""Reading a dataset: tables as Arrow, latents as numpy, SQL over all of it. Only committed films are visible."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.inversion.scene_path import ScenePath
from pipeline.tables import Tables, open_tables
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from schemas.tables import TABLES, TableName


@dataclass(frozen=True)
class Dataset:
    """A dataset as it was when it was opened; open it again to see what has been committed since.

    num_ws style layers and w_dim style width are those of the dataset's generator.
    """

    tables: Tables

    @cached_property
    def properties(self) -> dict[str, str]:
        """generator_id, num_ws, w_dim, space, config_id, as strings."""
        found = self.tables.properties()
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
        """All latents at once; for more than fits into memory use `sql`."""
        return self.table("frames")

    def table(self, name: TableName) -> pa.Table:
        return self.sql(f"select * from {name}").to_arrow_table()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """DuckDB over the views videos, shots, tracks, frames, and the function emotion_name(id).

        Raises: WrongUse with DuckDB's message and the columns there are.
        """
        try:
            relation = self._connection.sql(query)
        except duckdb.Error as err:
            raise WrongUse(f"{' '.join(str(err).split())} ({self._columns()})") from err
        if relation is None:
            raise WrongUse("that statement gives no rows; the views are read-only: write a SELECT")
        return relation

    def write(self, query: str, path: str, *, form: str) -> None:
        """Writes the rows of a SELECT as csv, json (one array of objects) or parquet. Raises: WrongUse as `sql`."""
        self.sql(query).create_view("_result", replace=True)
        options = "format json, array true" if form == "json" else f"format {form}"
        try:
            self._connection.execute(f"copy _result to '{path.replace(chr(39), chr(39) * 2)}' ({options})")
        except duckdb.Error as err:
            raise WrongUse(f"{path}: {' '.join(str(err).split())}") from err

    def size(self, name: TableName) -> tuple[int, int, int]:
        """Version, number of files and their bytes."""
        return self.tables.size(name)

    def track(self, track_id: str) -> NDArray[np.float32]:
        """W+ of one track, (T, num_ws, w_dim), in the order of its frames. Raises: WrongUse for an unknown track."""
        return self._latents(self._rows_of(track_id, "w"))

    def path(self, track_id: str) -> ScenePath:
        """The straight pieces on which a track's latents lie: `path.at(pts_us)` samples them at any time.

        Raises: WrongUse for an unknown track, and for one that was not inverted as a scene.
        """
        rows = self._rows_of(track_id, "w, pts_us, knot")
        if rows["knot"].null_count:
            raise WrongUse(f"track {track_id}: has a latent for every frame; invert with --method scene for a path")
        knots = rows.filter(rows["knot"])
        return ScenePath(pts_us=knots["pts_us"].to_numpy(), w_KLD=self._latents(knots))

    def _rows_of(self, track_id: str, columns: str) -> pa.Table:
        # The partition is named too, so that only one film's files are opened.
        rows = self._connection.sql(
            f"select {columns} from frames where video_id = ? and track_id = ? order by frame_index",
            params=[track_id.split("-", maxsplit=1)[0], track_id],
        ).to_arrow_table()
        if rows.num_rows == 0:
            raise WrongUse(f"no track {track_id}; `select track_id from tracks` lists them")
        return rows

    def _latents(self, rows: pa.Table) -> NDArray[np.float32]:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in rows["w"].chunks])
        return flat.reshape(rows.num_rows, int(self.properties["num_ws"]), int(self.properties["w_dim"]))

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        for name in TABLES:
            connection.register(f"_{name}", self.tables.open(name).to_pyarrow_dataset())
        connection.execute("create view videos as from _videos")
        committed = "select video_id from _videos where status <> 'quarantined'"
        for name in TABLES:
            if name != "videos":
                connection.execute(f"create view {name} as from _{name} where video_id in ({committed})")
        names = ", ".join(f"'{name}'" for name in EMOTIONS)
        connection.execute(f"create macro emotion_name(id) as ([{names}])[id + 1]")
        return connection

    def _columns(self) -> str:
        columns: dict[str, list[str]] = {}
        for name in TABLES:
            columns[name] = [str(c) for c in self._connection.sql(f"from {name} limit 0").columns]
        return "; ".join(f"{name}: {', '.join(found)}" for name, found in columns.items())

    def __repr__(self) -> str:
        counts: dict[str, Any] = {name: self.sql(f"select count(*) from {name}").fetchall()[0][0] for name in TABLES}
        return f"Dataset({self.tables.root}, {counts})"


def open_dataset(path: str, storage_options: dict[str, str] | None = None) -> Dataset:
    """Raises: WrongUse when there is no dataset at the path."""
    return Dataset(open_tables(path, storage_options))
