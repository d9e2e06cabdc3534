"""The functions that SQL over a dataset has besides DuckDB's own. docs/queries.md lists them; a test holds it to this.

L style layers (num_ws), D style width (w_dim).
"""

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from schemas.emotions import EMOTIONS


@dataclass(frozen=True, kw_only=True)
class SqlFunction:
    """A DuckDB macro. `{L}` and `{D}` in its body are the dataset's."""

    signature: str
    gives: str  # its type, in DuckDB's words
    what: str
    body: str


_NAMES = "[" + ", ".join(f"'{name}'" for name in EMOTIONS) + "]"

FUNCTIONS = (
    SqlFunction(
        signature="emotion_name(id)",
        gives="VARCHAR",
        what="the emotion's name; null for null and for an unknown id",
        body=f"case when id >= 0 then {_NAMES}[id + 1] end",
    ),
    SqlFunction(
        signature="emotion_id(name)",
        gives="TINYINT",
        what="the id that the tables hold; null for an unknown name",
        body=f"(nullif(list_position({_NAMES}, lower(name)), 0) - 1)::tinyint",
    ),
    SqlFunction(
        signature="w_tensor(w)",
        gives="FLOAT[w_dim][num_ws]",
        what="the latent as an array of num_ws arrays",
        body="case when len(w) <> {L} * {D} then error('w_tensor takes w, {L} x {D} numbers; this has ' || len(w)) "
        "else _tensor(w::float[]) end",
    ),
    SqlFunction(
        signature="w_layer(w, i)",
        gives="FLOAT[w_dim]",
        what="one layer of it, from 0; for array_distance, array_cosine_similarity, …",
        body="case when i < 0 or i >= {L} then error('w_layer: there is no layer ' || i || ' of {L}; count from 0') "
        "when i is not null then w[i * {D} + 1 : (i + 1) * {D}]::float[{D}] end",
    ),
    SqlFunction(
        signature="quad_px(quad)",
        gives="DOUBLE",
        what="the side of the face's square, in pixels of the film",
        # From the top left corner to the bottom left one: FFHQ's quads are squares, turned.
        body="sqrt((quad[3] - quad[1])::double ** 2 + (quad[4] - quad[2])::double ** 2)",
    ),
    SqlFunction(
        signature="seconds(us)",
        gives="DOUBLE",
        what="of microseconds, as all times in the tables are",
        body="us / 1e6",
    ),
)


def add_functions(connection: duckdb.DuckDBPyConnection, *, num_ws: int, w_dim: int) -> None:
    """Makes all of FUNCTIONS known to the connection."""

    def tensor(w: pa.ChunkedArray) -> pa.Array:
        """N lists of L * D, never null -> (N, L, D). Slices in SQL take six times as long."""
        layers = pa.FixedSizeListArray.from_arrays(w.combine_chunks().flatten(), w_dim)
        return pa.FixedSizeListArray.from_arrays(layers, num_ws)

    connection.create_function("_tensor", tensor, ["FLOAT[]"], f"FLOAT[{w_dim}][{num_ws}]", type="arrow")
    for function in FUNCTIONS:
        body = function.body.replace("{L}", str(num_ws)).replace("{D}", str(w_dim))
        connection.execute(f"create macro {function.signature} as {body}")
