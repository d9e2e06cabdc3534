"""The state of a run in one file, from which it goes on as if nothing had happened."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from operators.stylegan.training.settings import difference
from schemas.errors import WrongUse

_FORMAT = 1  # rises when older code would read it wrongly
NAME = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Randomness is not in it: every step is seeded by its own number."""

    identity: dict[str, Any]  # settings, pictures, number of processes: what must be the same to go on
    step: int  # steps done
    seconds: float  # spent on them
    state: dict[str, Any]  # of the objective

    def write(self, folder: Path) -> None:
        """A kill at any moment leaves the old file or the new one."""
        partial = folder / f"{NAME}.partial"
        content = {"format": _FORMAT, "identity": self.identity, "step": self.step}
        with partial.open("wb") as file:
            torch.save(content | {"seconds": self.seconds, "state": self.state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / NAME)


def read_checkpoint(folder: Path, identity: dict[str, Any], device: torch.device) -> Checkpoint | None:
    """None where there is none yet.

    Raises: WrongUse naming what differs from the run that wrote it, or for a damaged file. Nothing in it is executed.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as err:
        raise WrongUse(f"{path}: not a whole checkpoint; delete it to begin anew") from err
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise WrongUse(f"{path}: not a checkpoint of this version; delete it to begin anew")
    if changed := difference(content["identity"], identity):
        raise WrongUse(f"{folder} was begun with {changed}; give the old settings, or another output folder")
    return Checkpoint(
        identity=content["identity"], step=content["step"], seconds=content["seconds"], state=content["state"]
    )
