"""The commands that keep a dataset in order: `status`, `retry`, `replay`, `people`, `compact`, `vacuum`, `history`."""

from typing import Annotated

import typer

from jobs.exit_codes import Debug, StorageOption, exit_with, storage_options

dataset_app = typer.Typer()

DatasetPath = Annotated[str, typer.Argument(metavar="DATASET", help="Folder or URL of a dataset.")]
Version = Annotated[
    int | None, typer.Option("--version", metavar="N", min=0, help="As it was at this version; see `history`.")
]


@dataset_app.command(epilog="Example:  latentreel status dataset")
def status(
    dataset: DatasetPath, version: Version = None, storage_option: StorageOption = None, debug: Debug = False
) -> None:
    """Films by their fate, the reasons of quarantine, and sizes."""
    from jobs.status import status as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, version=version, storage_options=options), debug)


@dataset_app.command(epilog="Example:  latentreel retry dataset")
def retry(
    dataset: DatasetPath,
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="[VIDEO...]", help="Ids or files; default: all.")
    ] = None,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Clears quarantined films, so that the next `invert` tries them again."""
    from jobs.retry import retry as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, tuple(videos or ()), storage_options=options), debug)


@dataset_app.command(epilog="Example:  latentreel people dataset")
def people(
    dataset: DatasetPath,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="DISTANCE", help="Of two people's faces; default: the dataset's own, or 0.4."),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Forget all names and start over.")] = False,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Tells the people of all tracks apart, as every run does at its end, and lists them."""
    from jobs.people import people as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, threshold=threshold, anew=anew, storage_options=options), debug)


@dataset_app.command(epilog="Example:  latentreel replay dataset film.mp4 3")
def replay(
    dataset: DatasetPath,
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A film's id or uri, as `status` prints them.")],
    segment: Annotated[
        int | None, typer.Argument(metavar="[SEGMENT]", min=0, help="A piece of it; default: all.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="DIR", help="Also write crops (.png), latents (.npy) and shots (.jpg)."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, for the inversion.")] = "cpu",
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Works on one film again, in this process, without Ray, and says what comes of each step. Commits nothing."""
    from jobs.replay import replay as job

    options = storage_options(storage_option)
    exit_with(
        lambda: job(dataset, video, segment, output=output, device=device, debug=debug, storage_options=options), debug
    )


@dataset_app.command(epilog="Example:  latentreel compact dataset")
def compact(dataset: DatasetPath, storage_option: StorageOption = None, debug: Debug = False) -> None:
    """Merges small files into files of 128 MB; no row changes. Safe while a job is writing."""
    from jobs.compact import compact_dataset as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, storage_options=options), debug)


@dataset_app.command(epilog="Example:  latentreel vacuum dataset --older-than 7d --dry-run")
def vacuum(
    dataset: DatasetPath,
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Versions that were the newest within it are kept: 7d, 12h, 90m, 0s.")
    ] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Deletes nothing and prints the same.")] = False,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Deletes files that no kept version needs, and what killed jobs have left. Safe while a job is writing."""
    from jobs.vacuum import vacuum_dataset as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, older_than=older_than, dry_run=dry_run, storage_options=options), debug)


@dataset_app.command(epilog="Example:  latentreel history dataset")
def history(
    dataset: DatasetPath,
    limit: Annotated[int, typer.Option(min=1, help="How many versions.")] = 30,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Versions, the newest first: when, how many films, whether they can be read (`--version N`), what happened."""
    from jobs.history import print_history as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, limit=limit, storage_options=options), debug)
