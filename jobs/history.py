"""latentreel history DATASET: its versions, the newest first."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.history import history
from pipeline.tables import open_tables
from pipeline.vacuum import utc


def print_history(dataset: str, *, limit: int, storage_options: Mapping[str, str] | None = None) -> int:
    """Prints when each version was committed, what it did, and whether it can be read. Gives the exit code."""
    table = Table("version", "time (UTC)", "films", "readable", "what", box=None)
    for version in history(open_tables(dataset, storage_options), limit=limit):
        films = "" if version.n_films is None else str(version.n_films)
        readable = "no" if version.n_films is None else "yes"
        table.add_row(str(version.version), utc(version.committed_s), films, readable, escape(version.what))
    Console(highlight=False, soft_wrap=True).print(table)
    return 0
