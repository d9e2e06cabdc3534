"""latentreel encoder train GENERATOR -o FOLDER: an encoder that starts every inversion of that generator."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

CARD = "encoder.md"


def train(
    generator: str,
    output: str,
    *,
    pictures: str | None = None,
    weights_seed: int = 0,
    label: int | None = None,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    command: str = "",
) -> int:
    """Needs torch, numpy and safetensors, and neither Ray nor a decoder: also for a machine that can only train.

    A killed run goes on when the same command is given again.

    Takes: `pictures`: aligned crops of the generator's size, as `generator fit` takes them; `weights_seed` of a random
    generator; `label` of a conditional one; `settings`: fields of EncoderSettings by name; `command`: how it was
    called, for the card.
    Gives: the exit code. FOLDER then holds encoder.safetensors, encoder.md, loss.csv, the checkpoint, and
    reconstructions.png: rows of faces, each above the row of what the encoder makes of them.
    Raises: WrongUse, BadInput for pictures that are damaged or of another size.
    """
    from operators.inversion.train_encoder import ENCODER_FILE, EncoderRun, EncoderSettings, train_encoder
    from operators.stylegan.checkpoint import load_generator
    from operators.stylegan.describe import describe_generator
    from operators.stylegan.training.image_sources import open_source
    from operators.stylegan.training.packed_images import pack
    from operators.training.card import card
    from operators.training.run_folder import read_curve
    from operators.training.settings import changed
    from operators.training.write_file import write_file

    folder = Path(output)
    described = describe_generator(generator, seed=weights_seed, label=label)
    run = EncoderRun(
        generator=load_generator(generator, seed=weights_seed, label=label),
        generator_id=described.generator_id,
        settings=changed(EncoderSettings(), settings or {}),
        folder=folder,
        pictures=None if pictures is None else pack(open_source(pictures), folder),
        device=device,
    )
    train_encoder(run, report=lambda row: _say(row, run.settings.steps))
    path = folder / ENCODER_FILE
    text = card(
        title=f"Encoder of {run.generator_id}",
        what="A picture's W+ latents in one pass, to start an inversion from: `inversion.encoder` of the settings.",
        command=command,
        device=device,
        facts={
            "generator": run.generator_id,
            "trained on": "its own samples" + ("" if run.pictures is None else f" and {run.pictures.what}"),
            "file": f"{path.stat().st_size / 1e6:.2f} MB",
        },
        settings=asdict(run.settings),
        curve=read_curve(folder),
    )
    write_file(folder / CARD, text)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB; its card is {CARD} beside it")
    return 0


def _say(row: Mapping[str, float], steps: int) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    print(f"step {row['step']:.0f}/{steps}  {figures}", file=sys.stderr, flush=True)
