"""latentreel query DATASET "SQL": DuckDB over the committed films; table, csv, json or parquet out."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.export import FORMS, Form
from pipeline.read import Dataset, open_dataset
from pipeline.views import explained
from schemas.errors import WrongUse

ROWS_SHOWN = 100  # a screen or two; the other formats give all rows
CELL_CHARS = 60  # a latent printed in full would be 100 kB


def query(
    dataset: str,
    sql: str,
    *,
    form: str = "table",
    output: str | None = None,
    version: int | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> int:
    """Prints or writes the rows of one SELECT. Gives the exit code.

    Raises: WrongUse for bad SQL (DuckDB's message and the columns there are) or an unknown format.
    """
    if form == "table":
        if output is not None:
            raise WrongUse(f"--format table goes to the screen; write {output} with --format csv, json or parquet")
        _print_table(open_dataset(dataset, storage_options, version=version).sql(sql))
        return 0
    known = [name for name in FORMS if name == form]
    if not known:
        raise WrongUse(f"--format {form}: choose one of table, {', '.join(FORMS)}")
    if form == "parquet" and output is None:
        raise WrongUse("--format parquet is binary; name a file with -o")
    opened = open_dataset(dataset, storage_options, version=version)
    if output is None:
        _print_file(opened, sql, known[0])
    else:
        opened.write(sql, output, form=known[0])
    return 0


def _print_file(opened: Dataset, sql: str, form: Form) -> None:
    with TemporaryDirectory() as folder:  # DuckDB would open /dev/stdout anew, and `>> log` would lose the log
        path = Path(folder) / "rows"
        opened.write(sql, str(path), form=form)
        try:
            with path.open("rb") as rows:
                copyfileobj(rows, sys.stdout.buffer)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has seen enough; Python would complain once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_table(relation: Any) -> None:
    with explained():  # some questions are only found wrong while they are answered
        rows = relation.limit(ROWS_SHOWN + 1).fetchall()
    table = Table(*relation.columns)
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
