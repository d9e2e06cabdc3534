"""latentreel status DATASET: films by their fate, which are damaged, the reasons of quarantine, and sizes."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.attempts import unsettled
from pipeline.read import Dataset, open_dataset
from schemas.outcomes import ErrorRow
from schemas.tables import TABLES


def status(dataset: str, *, version: int | None = None, storage_options: Mapping[str, str] | None = None) -> int:
    """Prints what the dataset holds, or held at a version. Gives the exit code, 1 where films are quarantined."""
    opened = open_dataset(dataset, storage_options, version=version)
    console = Console(highlight=False)
    properties = opened.properties
    console.print(
        f"[bold]{dataset}[/]  generator {properties['generator_id']}, W+ {properties['num_ws']} x "
        f"{properties['w_dim']}, configuration {properties['config_id']}"
    )
    console.print(_fates(opened))
    console.print(_sizes(opened))
    damaged = opened.sql(
        "select uri, reason from videos where status <> 'quarantined' and reason is not null order by uri"
    )
    for uri, reason in damaged.fetchall():
        console.print(f"[yellow]damaged[/] {escape(uri)}: {escape(reason)}", soft_wrap=True)
    reasons = opened.sql("select uri, stage, attempts, reason from videos where status = 'quarantined' order by uri")
    rows = reasons.fetchall()
    for uri, stage, attempts, reason in rows:
        console.print(
            f"[red]quarantined[/] {escape(uri)} at {stage}, attempt {attempts}: {escape(reason)}", soft_wrap=True
        )
    for attempts, error in _unsettled(opened):
        console.print(
            f"[yellow]tried[/] {escape(error.uri)}, attempt {attempts} failed at {error.stage}: "
            f"{escape(error.message)}; the next `invert` tries it again",
            soft_wrap=True,
        )
    if rows:
        console.print(f"`latentreel retry {dataset}` lets the next `invert` try them again")
    return 1 if rows else 0


def _unsettled(opened: Dataset) -> list[tuple[int, ErrorRow]]:
    """Films that have failed and have no row."""
    settled = {row[0] for row in opened.sql("select video_id from videos").fetchall()}
    return list(unsettled(opened.tables.store, opened.properties["config_id"], settled))


def _fates(opened: Dataset) -> Table:
    table = Table("fate", "films", "hours", "shots", "tracks", "latents", box=None)
    rows = opened.sql(
        "select status, count(*), coalesce(sum(duration_s), 0) / 3600, coalesce(sum(n_shots), 0), sum(n_tracks), "
        "sum(n_latents) from videos group by status order by status"
    ).fetchall()
    for fate, films, hours, *counts in rows:
        table.add_row(fate, str(films), f"{hours:.2f}", *(str(count) for count in counts))
    return table


def _sizes(opened: Dataset) -> Table:
    table = Table("table", "version", "files", "MB", box=None)
    for name in TABLES:
        version, n_files, n_bytes = opened.size(name)
        table.add_row(name, str(version), str(n_files), f"{n_bytes / 1e6:.1f}")
    return table
