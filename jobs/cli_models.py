"""The commands for weights that others publish: `models list`, `models fetch`."""

from enum import StrEnum
from typing import Annotated

import typer

from jobs.exit_codes import Debug, exit_with

models_app = typer.Typer(help="Weights that others publish: what there is, and fetching it.", no_args_is_help=True)


class Kind(StrEnum):
    """What a file is for; as schemas.model_files.ModelKind, whose module takes too long for `--help`."""

    GENERATOR = "generator"
    ENCODER = "encoder"
    BACKBONE = "backbone"
    DETECTOR = "detector"
    LANDMARKS = "landmarks"
    EMOTION = "emotion"


class Form(StrEnum):
    """How the list is written."""

    TABLE = "table"
    JSON = "json"


@models_app.command("list", epilog="Example:  latentreel models list --kind generator")
def list_models(
    kind: Annotated[Kind | None, typer.Option(help="Only files of this kind.")] = None,
    form: Annotated[Form, typer.Option("--format", help="How it is written.")] = Form.TABLE,
    debug: Debug = False,
) -> None:
    """What the registry knows, under which licence, and whether it is here and is the published file."""
    from jobs.models import list_models as job

    exit_with(lambda: job(kind, form=form), debug)


@models_app.command(epilog="Example:  latentreel models fetch ffhq-1024 e4e-ffhq lpips-vgg")
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Short names or files, as `models list` shows them.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="All files of this kind.")] = None,
    debug: Debug = False,
) -> None:
    """Fetches files into the cache, goes on where a fetch broke off, and checks them; a mirror is only checked."""
    from jobs.models import fetch as job

    exit_with(lambda: job(names or [], kind=kind), debug)
