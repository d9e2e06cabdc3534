"""latentreel models list | fetch: the registry of weights that others publish."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from operators.models.model_file import obtain, place_of
from operators.models.published import difference, recorded, warnings_of
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES, ModelFile, find_model


def list_models(kind: str | None, *, form: str) -> int:
    """Prints the registry. Files that are here are read whole: their sums are compared. Gives the exit code."""
    files = _of_kind(kind)
    with _progress() as shown:
        task = shown.add_task("comparing sums", total=None)
        states = []
        for file in files:
            shown.update(task, description=f"comparing {file.short}")
            states.append(_state(file))
    if form == "json":
        rows = [
            asdict(file) | {"state": state, "path": str(place_of(file))}
            for file, state in zip(files, states, strict=True)
        ]
        print(json.dumps(rows, indent=2))
        return 0
    table = Table("name", "kind", "MB", "here", "licence", "use", box=None)
    for file, state in zip(files, states, strict=True):
        size = "" if file.bytes is None else f"{file.bytes / 1e6:.1f}"
        licence = f"[red]NON-COMMERCIAL[/] {escape(file.licence)}" if file.non_commercial else escape(file.licence)
        table.add_row(file.short, file.kind, size, state, licence, escape(file.use))
    Console(highlight=False, soft_wrap=True).print(table)
    return 0


def fetch(names: Sequence[str], *, kind: str | None) -> int:
    """Fetches what is not here, checks what is. Gives the exit code, 1 where one failed; the others are done first.

    Raises: WrongUse for names that the registry does not know, before anything is fetched.
    """
    files = _of_names(names) if names else []
    if kind is not None:
        files += [file for file in _of_kind(kind) if file not in files]
    if not files:
        raise WrongUse("nothing to fetch was named; give names as `latentreel models list` shows them, or --kind")
    n_failed = 0
    for file in files:
        try:
            _fetch(file)
        except WrongUse as err:
            n_failed += 1
            print(f"latentreel: {err}", file=sys.stderr)
    if n_failed:
        others = "; the others are here" if n_failed < len(files) else ""
        print(f"latentreel: {n_failed} of {len(files)} files failed{others}", file=sys.stderr)
    return 1 if n_failed else 0


def _fetch(file: ModelFile) -> None:
    for warning in warnings_of(file):
        print(f"warning: {warning}", file=sys.stderr)
    with _progress(file) as shown:
        task = shown.add_task(file.short, total=file.bytes)
        path = obtain(file, lambda have, total: shown.update(task, completed=have, total=total))
    print(f"{file.short}  {path}  {'verified' if file.told_by_sum else 'not verifiable'}")


def _state(file: ModelFile) -> str:
    """In one word: how far the file on this machine is the published one."""
    path = place_of(file)
    if not path.is_file():
        part = path.with_name(f"{path.name}.part")
        return f"{part.stat().st_size / 1e6:.0f} MB of it" if part.is_file() else "-"
    if difference(path, file, path) is not None:
        return "ANOTHER FILE"
    if file.told_by_sum:
        return "verified"
    return "unchanged" if recorded(path) else "not verifiable"


def _of_names(names: Sequence[str]) -> list[ModelFile]:
    found = {name: find_model(name) for name in names}
    if unknown := [name for name, file in found.items() if file is None]:
        raise WrongUse(f"no published file is called {', '.join(unknown)}; see `latentreel models list`")
    return list(dict.fromkeys(file for file in found.values() if file is not None))


def _of_kind(kind: str | None) -> list[ModelFile]:
    return [file for file in MODEL_FILES.values() if kind in {None, file.kind}]


@contextmanager
def _progress(file: ModelFile | None = None) -> Iterator[Progress]:
    """On a terminal a bar, which goes when it is over; elsewhere one line where there is something to wait for."""
    console = Console(stderr=True)
    if file is not None and not console.is_terminal and not place_of(file).is_file() and file.url:
        size = "of unknown size" if file.bytes is None else f"{file.bytes / 1e6:.0f} MB"
        print(f"{file.short}: {size}, from {file.url}", file=sys.stderr)
    columns = [TextColumn("{task.description}"), BarColumn()]
    if file is not None:
        columns += [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield shown
