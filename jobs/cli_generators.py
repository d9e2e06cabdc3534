"""The commands on a generator that is there already: `generator info`, `generator convert`, `generator tune`."""

from typing import Annotated

import typer

from jobs.cli_dataset import Version
from jobs.cli_training import Device, RunFolder, Settings, generator_app, typed
from jobs.exit_codes import Debug, StorageOption, exit_with, settings, storage_options

__all__ = ["generator_app"]

Name = Annotated[
    str, typer.Argument(metavar="GENERATOR", help="A name (puppet-128, random-64), or a file: .safetensors, .pkl, .pt.")
]
Label = Annotated[int | None, typer.Option(min=0, help="Which class a conditional generator draws.")]
Seed = Annotated[int, typer.Option(help="Of the pictures, and of a random generator's weights.")]


@generator_app.command(epilog="Example:  latentreel generator info ffhq.pkl --grid ffhq.png")
def info(
    generator: Name,
    grid: Annotated[str | None, typer.Option(metavar="FILE.png", help="A picture of 16 samples.")] = None,
    truncation: Annotated[float, typer.Option(help="Of the samples: 1 none, 0 the mean.")] = 0.7,
    seed: Seed = 0,
    label: Label = None,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    debug: Debug = False,
) -> None:
    """What a generator's file is: kind, architecture, resolution, parameters, where its w lie; nothing is executed."""
    from jobs.generator_file import info as job

    exit_with(lambda: job(generator, seed=seed, label=label, grid=grid, truncation_psi=truncation, form=form), debug)


@generator_app.command(epilog="Example:  latentreel generator convert ffhq.pkl -o ffhq.safetensors")
def convert(
    generator: Name,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE.safetensors", help="Card and grid go beside it.")
    ],
    seed: Seed = 0,
    label: Label = None,
    licence: Annotated[str | None, typer.Option(help="For the card; files do not say it.")] = None,
    debug: Debug = False,
) -> None:
    """A generator of any kind as .safetensors, with a card and a grid of its pictures."""
    from jobs.generator_file import convert as job

    exit_with(lambda: job(generator, output=output, seed=seed, label=label, licence=licence, command=typed()), debug)


@generator_app.command(epilog="Example:  latentreel generator tune --on dataset --track 1a2b3c4-00002-000 -o tuned")
def tune(
    on: Annotated[str, typer.Option("--on", metavar="DATASET", help="Whose generator is tuned, to what it inverted.")],
    track: Annotated[str, typer.Option(metavar="TRACK", help="A track's id, or its end.")],
    output: RunFolder,
    setting: Settings = None,
    device: Device = "cpu",
    version: Version = None,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Pivotal tuning: the generator draws a track's frames from the latents that they have (PTI, STIT)."""
    from jobs.tune import tune as job

    options = storage_options(storage_option)
    exit_with(
        lambda: job(
            on,
            track,
            output=output,
            device=device,
            settings=settings(setting),
            version=version,
            storage_options=options,
            command=typed(),
        ),
        debug,
    )
