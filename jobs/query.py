"""latentreel query DATASET "SQL": DuckDB over the committed films; table, csv, json or parquet out."""

from collections.abc import Mapping
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from pipeline.read import open_dataset
from schemas.errors import WrongUse

FORMS = ("table", "csv", "json", "parquet")
ROWS_SHOWN = 100  # a screen or two; the other formats give all rows
CELL_CHARS = 60  # a latent printed in full would be 100 kB


def query(
    dataset: str,
    sql: str,
    *,
    form: str = "table",
    output: str | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> int:
    """Prints or writes the rows of one SELECT. Gives the exit code.

    Raises: WrongUse for bad SQL (DuckDB's message and the columns there are) or an unknown format.
    """
    if form not in FORMS:
        raise WrongUse(f"--format {form}: choose one of {', '.join(FORMS)}")
    if form == "parquet" and output is None:
        raise WrongUse("--format parquet is binary; name a file with -o")
    opened = open_dataset(dataset, storage_options)
    if form == "table":
        if output is not None:
            raise WrongUse(f"--format table goes to the screen; write {output} with --format csv, json or parquet")
        _print_table(opened.sql(sql))
    else:
        opened.write(sql, output or "/dev/stdout", form=form)
    return 0


def _print_table(relation: Any) -> None:
    table = Table(*relation.columns)
    try:
        rows = relation.limit(ROWS_SHOWN + 1).fetchall()
    except duckdb.Error as err:  # some questions are only found wrong while they are answered
        raise WrongUse(" ".join(str(err).split())) from err
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*(_cell(value) for value in row))
    console = Console()
    console.print(table)
    if len(rows) > ROWS_SHOWN:
        console.print(f"the first {ROWS_SHOWN} rows; --format csv gives all")


def _cell(value: object) -> str:
    if isinstance(value, float):
        value = f"{value:.7g}"  # what a float32 knows; a rounded 25.9 would show as 25.89999962
    text = "" if value is None else str(value)
    return text if len(text) <= CELL_CHARS else text[: CELL_CHARS - 1] + "…"
