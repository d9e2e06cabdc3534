"""The commands that make weights and puppets: `generator fit`, `encoder train`, `emotion train`, `puppets render`."""

import shlex
import sys
from typing import Annotated

import typer

from jobs.exit_codes import Debug, exit_with, settings

generator_app = typer.Typer(help="StyleGAN2 generators.", no_args_is_help=True)
encoder_app = typer.Typer(help="Encoders, from which an inversion starts.", no_args_is_help=True)
emotion_app = typer.Typer(help="Expression networks.", no_args_is_help=True)
puppets_app = typer.Typer(help="Rendered actors with exact truth.", no_args_is_help=True)

RunFolder = Annotated[
    str, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the run; an unfinished one goes on.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the training.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def typed() -> str:
    """The command as it was typed, for the card of what it makes."""
    return shlex.join(["latentreel", *sys.argv[1:]])


@generator_app.command(
    epilog="Example:  latentreel generator fit faces.zip -o run --objective adversarial --set batch=32",
)
def fit(
    source: Annotated[str, typer.Argument(help="A folder, a zip in NVIDIA's format, a packed .npy, or a dataset.")],
    output: RunFolder,
    objective: Annotated[str, typer.Option(help="adversarial; reconstruction where there is no GPU.")] = "adversarial",
    setting: Settings = None,
    pace: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="How often it is saved and seen.")
    ] = None,
    device: Device = "auto",
    start_from: Annotated[
        str | None, typer.Option("--from", metavar="GENERATOR", help="Goes on from it: a name or a file of any kind.")
    ] = None,
    label: Annotated[int | None, typer.Option(min=0, help="With --from: which class of a conditional one.")] = None,
    px: Annotated[int | None, typer.Option(help="Of a dataset's crops; default: its generator's.")] = None,
    frame_stride: Annotated[int, typer.Option(help="Of a dataset: every how many frames of a track.")] = 4,
    debug: Debug = False,
) -> None:
    """Trains a StyleGAN2 on pictures or on the faces of a dataset; goes on after a kill."""
    from jobs.generator import fit as job

    changes = {"objective": objective, **settings(setting)}
    exit_with(
        lambda: job(
            source,
            output=output,
            settings=changes,
            pace=settings(pace),
            device=device,
            px=px,
            frame_stride=frame_stride,
            command=typed(),
            start_from=start_from,
            label=label,
        ),
        debug,
    )


@encoder_app.command(
    "train",
    epilog="Example:  latentreel encoder train run/generator.safetensors -o encoder-run",
)
def train_encoder(
    generator: Annotated[str, typer.Argument(help="A generator's file, or random-64 and so on.")],
    output: RunFolder,
    pictures: Annotated[str | None, typer.Option(help="Aligned crops to train on beside the samples.")] = None,
    seed: Annotated[int, typer.Option(help="Of a random generator's weights.")] = 0,
    label: Annotated[int | None, typer.Option(min=0, help="Which class a conditional generator draws.")] = None,
    setting: Settings = None,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Trains an encoder (picture to W+) on a generator's own samples; goes on after a kill."""
    from jobs.encoder import train as job

    exit_with(
        lambda: job(
            generator,
            output,
            pictures=pictures,
            weights_seed=seed,
            label=label,
            device=device,
            settings=settings(setting),
            command=typed(),
        ),
        debug,
    )


@emotion_app.command("train", epilog="Example:  latentreel emotion train faces.npz -o emotion-run")
def train_emotion(
    faces: Annotated[str, typer.Argument(help="Labelled faces: an .npz, or a folder with one folder an expression.")],
    output: RunFolder,
    crop_margin: Annotated[float, typer.Option(help="With which the faces were cut.")] = 0.0,
    setting: Settings = None,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Trains an expression network, and writes it as ONNX with its manifest; goes on after a kill."""
    from jobs.emotion import train as job

    exit_with(
        lambda: job(faces, output, crop_margin=crop_margin, device=device, settings=settings(setting), command=typed()),
        debug,
    )


@puppets_app.command(epilog="Example:  latentreel puppets render movie.mp4 --seed 7 --seconds 20")
def render(
    output: Annotated[str, typer.Argument(metavar="MOVIE.mp4", help="The movie; its truth lies beside it.")],
    seed: Annotated[int, typer.Option(help="Of the actors, the script and the cameras.")] = 0,
    seconds: Annotated[float, typer.Option(help="Of the movie.")] = 12.0,
    width: Annotated[int, typer.Option(help="In pixels, even.")] = 640,
    height: Annotated[int, typer.Option(help="In pixels, even.")] = 360,
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 24,
    debug: Debug = False,
) -> None:
    """Renders a movie of talking heads and all that is true of it: shots, boxes, landmarks, emotions, poses, actors."""
    from jobs.puppets import render as job

    exit_with(lambda: job(output, seed=seed, seconds=seconds, width=width, height=height, fps=fps), debug)


@puppets_app.command(epilog="Example:  latentreel puppets crops faces --count 20000 --px 128")
def crops(
    folder: Annotated[str, typer.Argument(help="Where pictures.npy, latents.npy and faces.npz go.")],
    count: Annotated[int, typer.Option(help="How many.")] = 20_000,
    px: Annotated[int, typer.Option(help="Side of the aligned crops: a generator's.")] = 128,
    seed: Annotated[int, typer.Option(help="Of the faces.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
    debug: Debug = False,
) -> None:
    """Draws a training set: aligned crops of random puppets, their parameters and expressions."""
    from jobs.puppets import crops as job

    exit_with(lambda: job(folder, n=count, px=px, seed=seed, workers=workers), debug)


@puppets_app.command(epilog="Example:  latentreel puppets sample latentreel/assets")
def sample(
    folder: Annotated[str, typer.Argument(help="Where sample.mp4 and its truth go.")], debug: Debug = False
) -> None:
    """Renders the embedded sample movie and its truth, bit for bit as they are shipped."""
    from jobs.puppets import render_sample as job

    exit_with(lambda: job(folder), debug)
