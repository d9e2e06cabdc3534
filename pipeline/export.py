"""The rows of a question as a file: csv, json or parquet."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage_options import open_filesystem
from pipeline.views import Views, explained
from schemas.errors import WrongUse

Form = Literal["csv", "json", "parquet"]
FORMS: tuple[Form, ...] = get_args(Form)

_BATCH_ROWS = 2_048  # DuckDB's own vectors; 75 MB where a row is a latent of 18 x 512
_GROUP_BYTES, _GROUP_ROWS = 64 * 2**20, 65_536  # of a row group: held in memory, and what a reader reads at once


def export(views: Views, query: str, path: str, *, form: Form, storage_options: dict[str, str]) -> None:
    """Writes the rows of a SELECT. json is one array of objects; in parquet, arrays of fixed sizes keep their shape.

    Takes: a path, or for parquet any fsspec URL.
    Raises: WrongUse for a question that DuckDB refuses, at once or while rows are made, and for a path that cannot be
        written.
    """
    relation = views.sql(query)
    with explained():
        if form == "parquet":
            _write_parquet(relation, path, storage_options)
            return
        options = "format json, array true" if form == "json" else "format csv"
        relation.create_view("_rows")
        try:
            views.connection.execute(f"copy _rows to '{path.replace(chr(39), chr(39) * 2)}' ({options})")
        finally:
            views.connection.execute("drop view _rows")


def _write_parquet(relation: duckdb.DuckDBPyRelation, path: str, storage_options: dict[str, str]) -> None:
    """By pyarrow: DuckDB's own writer forgets the sizes of arrays, and holds 122,880 rows at a time."""
    fs, target = open_filesystem(path, storage_options)
    part = f"{target}.part"  # what was there before stays until all rows are made
    try:
        with fs.open(part, "wb") as sink:
            _copy(relation.to_arrow_reader(_BATCH_ROWS), sink)
        fs.mv(part, target)
    except OSError as err:
        raise WrongUse(f"{path} cannot be written: {err.strerror or err}; name another file with -o") from err
    finally:
        if fs.exists(part):
            fs.rm(part)


def _copy(reader: pa.RecordBatchReader, sink: Any) -> None:
    texts = [field.name for field in reader.schema if field.type == pa.string()]
    split = dict.fromkeys(_floats(reader.schema), "BYTE_STREAM_SPLIT")  # latents take a third, as in the tables
    with pq.ParquetWriter(
        sink, reader.schema, compression="zstd", use_dictionary=texts, column_encoding=split
    ) as writer:
        waiting: list[pa.RecordBatch] = []
        for batch in reader:
            waiting.append(batch)
            full = sum(b.nbytes for b in waiting) >= _GROUP_BYTES or sum(b.num_rows for b in waiting) >= _GROUP_ROWS
            if full:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting.clear()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))


def _floats(schema: pa.Schema) -> Iterator[str]:
    """As Parquet calls the columns that hold them."""
    for field in schema:
        kind, path = field.type, field.name
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            kind, path = kind.value_type, f"{path}.list.element"
        if kind == pa.float32():
            yield path
