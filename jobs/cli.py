"""The command line. One function per command; what a command needs is imported when it is called."""

from typing import Annotated

import typer

from jobs.cli_dataset import DatasetPath, Version, dataset_app
from jobs.cli_generators import generator_app
from jobs.cli_models import models_app
from jobs.cli_training import emotion_app, encoder_app, puppets_app
from jobs.exit_codes import Debug, StorageOption, exit_with, settings, storage_options

app = typer.Typer(
    name="latentreel",
    help="Turns movies into latent sequences: every face found, followed, aligned and inverted into StyleGAN2's W+.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(dataset_app)
app.add_typer(generator_app, name="generator")
app.add_typer(encoder_app, name="encoder")
app.add_typer(emotion_app, name="emotion")
app.add_typer(puppets_app, name="puppets")
app.add_typer(models_app, name="models")

Sources = Annotated[
    list[str], typer.Argument(help="Files, folders, globs, fsspec URLs, or manifests (.txt .csv .jsonl .parquet).")
]

DecodeDeadline = Annotated[
    float,
    typer.Option(min=1.0, metavar="SECONDS", help="A decoder without a sign of life is stopped. Changes no result."),
]


@app.command(
    epilog="Example:  latentreel invert trailers/*.mp4 -o dataset --generator ffhq.pkl --method sequential",
)
def invert(
    sources: Sources,
    output: Annotated[str, typer.Option("-o", "--output", metavar="DATASET", help="Folder or URL of the dataset.")],
    config: Annotated[
        list[str] | None,
        typer.Option(help="YAML file of settings, several times too: later ones, then flags, go over."),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="puppet-128 (shipped), random-32 … random-1024, or a file: .safetensors, .pkl, .pt."),
    ] = None,
    label: Annotated[int | None, typer.Option(min=0, help="Which class a conditional generator draws.")] = None,
    method: Annotated[str | None, typer.Option(help="naive, sequential or scene.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="projector: every frame alone, in W, with NVIDIA's schedule of 1000 steps.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="face, or frame: the centre square of whole frames, one track a shot.")
    ] = None,
    finder: Annotated[str | None, typer.Option(help="dlib or face-alignment.")] = None,
    emotion: Annotated[
        str | None, typer.Option(help="An .onnx expression network, its manifest beside it, or a name as enet-b0-8.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Where inversions start: mean, or encoder; default: an encoder where there is one."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="To start from: a .safetensors, or pSp's, e4e's or ReStyle's .pt; default: the generator's own."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting, as faces.max_gap_s=1.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for faces, and as many for inversion. Changes no result.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda: inversion, and face-alignment.")] = "cpu",
    decode_deadline: DecodeDeadline = 60.0,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to join; default: this machine.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Drop a dataset made with other settings.")] = False,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Bulk job: every film of the sources becomes rows of a dataset; what is there already is not done again."""
    from jobs.invert import InvertOptions
    from jobs.invert import invert as job

    flags = {
        "generator": generator,
        "label": label,
        "inversion.method": method,
        "inversion.preset": preset,
        "subject": subject,
        "faces.finder": finder,
        "emotion.model": emotion,
        "inversion.init": init,
        "inversion.encoder": encoder,
        "seed": seed,
    }
    options = InvertOptions(
        sources=tuple(sources),
        dataset=output,
        config=tuple(config or ()),
        overrides={**settings(setting), **{name: value for name, value in flags.items() if value is not None}},
        workers=workers,
        decode_deadline_s=decode_deadline,
        device=device,
        address=address,
        replace=replace,
        storage_options=storage_options(storage_option),
    )
    exit_with(lambda: job(options), debug)


@app.command(epilog="Example:  latentreel ingest dataset films/ --watch")
def ingest(
    dataset: DatasetPath,
    sources: Sources,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep looking, until SIGTERM or Ctrl-C; what is at work is finished.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="With --watch: between two looks.")] = 30.0,
    prune: Annotated[bool, typer.Option("--prune", help="Drop the rows of films whose files are gone.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes for faces, and as many for inversion. Changes no result.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda: inversion, and face-alignment.")] = "cpu",
    decode_deadline: DecodeDeadline = 60.0,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to join; default: this machine.")] = None,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """Only films that are new or changed, with the dataset's own settings; renamed ones are not done again."""
    from jobs.ingest import IngestOptions
    from jobs.ingest import ingest as job

    options = IngestOptions(
        dataset=dataset,
        sources=tuple(sources),
        watch=watch,
        every_s=every,
        prune=prune,
        workers=workers,
        decode_deadline_s=decode_deadline,
        device=device,
        address=address,
        storage_options=storage_options(storage_option),
    )
    exit_with(lambda: job(options), debug)


@app.command(
    epilog='Example:  latentreel query dataset "select emotion_name(emotion), count(*) from frames group by 1"'
)
def query(
    dataset: DatasetPath,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="DuckDB over videos, shots, tracks, frames.")],
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    output: Annotated[str | None, typer.Option("-o", "--output", help="A file; parquet needs one.")] = None,
    version: Version = None,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """SQL over the committed films."""
    from jobs.query import query as job

    options = storage_options(storage_option)
    exit_with(lambda: job(dataset, sql, form=form, output=output, version=version, storage_options=options), debug)


@app.command(epilog="Example:  latentreel render dataset 1a2b3c4-00002-000 -o track.mp4")
def render(
    dataset: DatasetPath,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="The film (.mp4); without TRACK a picture (.png).")
    ],
    track: Annotated[
        str | None, typer.Argument(metavar="TRACK", help="A track's id, or its end; without it: a contact sheet.")
    ] = None,
    paste: Annotated[
        bool, typer.Option("--paste", help="The film itself, the track's face in it replaced by its reconstruction.")
    ] = False,
    video: Annotated[
        str | None, typer.Option(metavar="VIDEO", help="With --paste: a film's id or uri, for all its faces at once.")
    ] = None,
    shots: Annotated[
        str | None, typer.Option(metavar="VIDEO", help="A sheet (.png) of the shots of a film, by its id or uri.")
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="With --paste: what is replaced; face (default), ellipse, or square.")
    ] = None,
    feather: Annotated[
        float | None, typer.Option(help="With --paste: width of its soft edge, as a share of the crop; default 0.05.")
    ] = None,
    resample: Annotated[
        str | None, typer.Option(metavar="60fps", help="Of a scene's track: the reconstruction alone, at this rate.")
    ] = None,
    generator: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another one draws the latents: `generator tune` made it.")
    ] = None,
    version: Version = None,
    storage_option: StorageOption = None,
    debug: Debug = False,
) -> None:
    """A track's face, its reconstruction and the difference as a film; without TRACK a contact sheet of all tracks."""
    from jobs.render import Pasting
    from jobs.render import render as job

    if not paste and (video, mask, feather) != (None, None, None):
        raise typer.BadParameter("--video, --mask and --feather belong to it", param_hint="--paste")
    pasting = Pasting(video=video, shape=mask, feather=feather) if paste else None  # type: ignore[arg-type]  # checked
    fps = None if resample is None else _frames_per_second(resample)
    options = storage_options(storage_option)
    exit_with(
        lambda: job(
            dataset,
            track,
            output=output,
            resample_fps=fps,
            pasting=pasting,
            shots=shots,
            generator=generator,
            version=version,
            storage_options=options,
        ),
        debug,
    )


@app.command(epilog="Example:  latentreel demo -o demo")
def demo(
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Folder of the demo's dataset.")
    ] = "demo",
    debug: Debug = False,
) -> None:
    """The whole road on the embedded sample movie; ends with a table and a picture."""
    from jobs.demo import demo as job

    exit_with(lambda: job(output), debug)


def _frames_per_second(text: str) -> float:
    """`60fps` or `60`."""
    try:
        return float(text.removesuffix("fps"))
    except ValueError as err:
        raise typer.BadParameter(f"{text!r} is no rate; write 60fps", param_hint="--resample") from err


def main() -> None:
    """The `latentreel` command."""
    app()
