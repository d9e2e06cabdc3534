"""latentreel vacuum DATASET --older-than 7d: deletes what no version needs that was the newest within that time."""

import re
from collections.abc import Mapping

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.tables import open_tables
from pipeline.vacuum import Vacuumed, vacuum
from schemas.errors import WrongUse

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def vacuum_dataset(
    dataset: str, *, older_than: str, dry_run: bool = False, storage_options: Mapping[str, str] | None = None
) -> int:
    """Prints what was deleted, or would be. Gives the exit code.

    Raises: WrongUse for what is no dataset or no time, for clocks that disagree, and where nothing can be deleted.
    """
    older_than_s = seconds(older_than)
    tables = open_tables(dataset, storage_options)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking for files that no version needs", total=None)

        def report(n_files: int) -> None:
            progress.update(task, description="deleting", advance=n_files)

        try:
            done = vacuum(tables, older_than_s=older_than_s, dry_run=dry_run, report=report)
        except OSError as err:
            raise WrongUse(f"{dataset}: {err.strerror or err}; nothing that a version needs was touched") from err
    _print(done, dry_run=dry_run)
    return 0


def seconds(text: str) -> float:
    """Of `7d`, `12h`, `90m` or `0s`. Raises: WrongUse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([dhms])", text.strip())
    if match is None:
        raise WrongUse(f"--older-than {text}: is no time; write 7d, 12h, 90m or 0s")
    return float(match[1]) * _SECONDS[match[2]]


def _print(done: Vacuumed, *, dry_run: bool) -> None:
    console = Console(highlight=False)
    table = Table("would be deleted" if dry_run else "deleted", "files", "MB", box=None)
    for name, files in done.groups.items():
        table.add_row(name, str(len(files)), _mb(sum(file.size for file in files)))
    console.print(table)
    total = sum(file.size for files in done.groups.values() for file in files)
    console.print(f"{_mb(total)} MB {'would be' if dry_run else 'are'} free")
    if done.swept:
        console.print(
            f"{len(done.swept)} films that are gone {'have' if dry_run else 'had'} rows left in other tables; "
            f"{'these would be taken out' if dry_run else 'these are taken out'}"
        )


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.3f}"
