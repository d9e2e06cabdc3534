"""The folder of one training run: a checkpoint to go on from, the loss curve, and what may not change between."""

import csv
import io
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from operators.training.write_file import write_file
from schemas.errors import WrongUse

CHECKPOINT = "checkpoint.pt"
CURVE = "loss.csv"
_FORMAT = "latentreel-training-1"  # the number rises when an older reader would misread the file

Described = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything the rest of a run depends on. Randomness is drawn anew for each step, so it has no state to keep."""

    step: int = 0  # of those that are done
    state: dict[str, Any] = field(default_factory=dict)  # tensors, numbers and strings, in dicts and lists
    curve: list[dict[str, float]] = field(default_factory=list)


def require_finite(row: Mapping[str, float], folder: Path) -> None:
    """To be asked before a checkpoint: one that holds NaN could not be mended. Raises: WrongUse."""
    if not all(math.isfinite(value) for value in row.values()):
        raise WrongUse(f"{folder}: the loss is no longer finite; lower learning_rate and train in another folder")


class RunFolder:
    """Takes: `described`: all settings that may not change between a kill and the resume."""

    def __init__(self, path: str | Path, described: Described) -> None:
        self.path = Path(path)
        self.described = described
        self.path.mkdir(parents=True, exist_ok=True)

    def load(self) -> Checkpoint:
        """The checkpoint; the empty one at step 0 where there is none. Nothing in the file is executed.

        Raises: WrongUse when it is damaged, or belongs to a run with other settings, which are named.
        """
        path = self.path / CHECKPOINT
        if not path.is_file():
            return Checkpoint()
        try:
            # `weights_only`: a restricted reader that makes tensors and plain values, and refuses everything else
            found = torch.load(path, weights_only=True, map_location="cpu")
            if found["format"] != _FORMAT:
                raise WrongUse(f"{path}: format {found['format']}, expected {_FORMAT}; train in another folder")
            theirs = found["described"]
            checkpoint = Checkpoint(step=found["step"], state=found["state"], curve=found["curve"])
        except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as err:
            reason = " ".join(str(err).split())[:120]
            raise WrongUse(f"{path}: not a whole checkpoint ({reason}); delete it to start anew") from err
        if differ := [
            f"{name}: {self.described.get(name)}, not {theirs.get(name)}"
            for name in sorted(self.described.keys() | theirs.keys())
            if self.described.get(name) != theirs.get(name)
        ]:
            raise WrongUse(
                f"{self.path} holds a run with other settings ({'; '.join(differ)}); give the same, or another folder"
            )
        return checkpoint

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint, then the curve. A kill before the first leaves the old one, whole; a kill between the
        two leaves a curve that the next save catches up with.
        """
        buffer = io.BytesIO()
        content = {
            "format": _FORMAT,
            "described": self.described,
            "step": checkpoint.step,
            "state": checkpoint.state,
            "curve": checkpoint.curve,
        }
        torch.save(content, buffer)
        write_file(self.path / CHECKPOINT, buffer.getvalue())
        if checkpoint.curve:
            lines = io.StringIO()
            table = csv.DictWriter(lines, fieldnames=list(checkpoint.curve[0]), lineterminator="\n")
            table.writeheader()
            table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in checkpoint.curve)
            write_file(self.path / CURVE, lines.getvalue().encode())


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The loss curve of a run, as it was written."""
    with (folder / CURVE).open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
