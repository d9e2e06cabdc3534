"""What commands share: `--debug`, `--set`, `--storage-option`, and how a job's end becomes an exit code."""

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from schemas.errors import LatentreelError, WrongUse

Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback when something goes wrong.")]
StorageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="NAME=VALUE",
        help="Of an object store, as AWS_REGION=eu-west-1, over the environment; secrets are safer there.",
    ),
]


def storage_options(pairs: list[str] | None) -> dict[str, str]:
    """`--storage-option NAME=VALUE` given any number of times. None is ever repeated: it may be a secret."""
    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter("one has no value; write NAME=VALUE", param_hint="--storage-option")
        found[name] = value
    return found


def settings(pairs: list[str] | None) -> dict[str, Any]:
    """`--set name=value` given any number of times; values are read as YAML reads them."""
    import yaml

    found = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} has no value; write --set name=value", param_hint="--set")
        found[name] = yaml.safe_load(value)
    return found


def exit_with(job: Callable[[], int], debug: bool) -> None:
    """0 done, 1 some inputs failed (and are named), 2 wrong use. One line for what a user can mend."""
    try:
        code = job()
    except LatentreelError as err:
        if debug:
            traceback.print_exc()
        print(f"latentreel: {err}", file=sys.stderr)
        code = 2 if isinstance(err, WrongUse) else 1
    except KeyboardInterrupt:
        print("latentreel: stopped; run the same command again, what is done will be used", file=sys.stderr)
        code = 130
    raise typer.Exit(code)
