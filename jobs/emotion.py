"""latentreel emotion train FACES -o FOLDER: an expression network from labelled faces."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

CARD = "emotion.md"


def train(
    faces: str,
    output: str,
    *,
    crop_margin: float = 0.0,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    command: str = "",
) -> int:
    """Needs torch, numpy, Pillow and, for its last second, ONNX Runtime.

    A killed run goes on when the same command is given again, as does one that lacked ONNX Runtime.

    Takes: `faces`: an .npz or a folder, see labelled_faces.py; `crop_margin` with which they were cut, as in the
    network's manifest; `settings`: fields of EmotionTraining by name; `command`: how it was called, for the card.
    Gives: the exit code. FOLDER then holds emotion.onnx, its manifest emotion.json, emotion.md, confusion.png and .csv,
    loss.csv and the checkpoint.
    Raises: WrongUse.
    """
    from operators.emotion.labelled_faces import read_faces
    from operators.emotion.train_emotion import MODEL_FILE, EmotionTraining, train_emotion
    from operators.training.card import card
    from operators.training.run_folder import read_curve
    from operators.training.settings import changed
    from operators.training.write_file import write_file

    folder = Path(output)
    training = changed(EmotionTraining(), settings or {})
    labelled = read_faces(faces)
    reading = train_emotion(
        labelled,
        training,
        folder,
        crop_margin=crop_margin,
        device=device,
        report=lambda row: _say(row, training.steps),
    )
    path = folder / MODEL_FILE
    text = card(
        title="Expression network",
        what="Reads one of the seven expressions from a face of 64 px: `emotion.model` of the settings.",
        command=command,
        device=device,
        facts={
            "faces trained on": reading.n_train,
            "faces held out": f"{reading.n_held_out}, {'other persons' if labelled.identity is not None else 'any'}",
            "of them right": f"{reading.accuracy:.1%}",
            "right where intensity is above 0.5": f"{reading.strong_accuracy:.1%}",
            "file": f"{path.stat().st_size / 1e6:.2f} MB",
        },
        settings=asdict(training),
        curve=read_curve(folder),
    )
    write_file(folder / CARD, text)
    print(f"{path}: {reading.accuracy:.1%} of {reading.n_held_out} held-out faces right, strong ones", end=" ")
    print(f"{reading.strong_accuracy:.1%}; {CARD} and confusion.png are beside it")
    return 0


def _say(row: Mapping[str, float], steps: int) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    print(f"step {row['step']:.0f}/{steps}  {figures}", file=sys.stderr, flush=True)
