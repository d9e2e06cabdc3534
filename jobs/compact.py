"""latentreel compact DATASET: small files merged into large ones."""

from collections.abc import Mapping

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.compact import SMALL_BYTES_MAX, Compacted, compact
from pipeline.tables import open_tables
from schemas.errors import WrongUse
from schemas.tables import TABLES, TableName


def compact_dataset(dataset: str, *, storage_options: Mapping[str, str] | None = None) -> int:
    """Prints what was merged. Gives the exit code.

    Raises: WrongUse for what is no dataset, and where its files cannot be written.
    """
    tables = open_tables(dataset, storage_options)
    total = sum(file.size < SMALL_BYTES_MAX for name in TABLES for file in tables.files(name))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("merging small files", total=total)

        def report(name: TableName, n_files: int) -> None:
            progress.advance(task, n_files)

        try:
            done = compact(tables, report=report)
        except OSError as err:
            raise WrongUse(f"{dataset}: {err.strerror or err}; what was merged until then is committed") from err
    Console(highlight=False).print(_table(done))
    return 0


def _table(done: dict[TableName, Compacted]) -> Table:
    table = Table("table", "small files", "became", "MB", "became", box=None)
    for name, what in done.items():
        sizes = (f"{n_bytes / 1e6:.1f}" for n_bytes in (what.bytes_before, what.bytes_after))
        before, after = sizes
        table.add_row(name, str(what.n_before), str(what.n_after), before, after)
    return table
