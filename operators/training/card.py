"""The card of a trained network: what it is, how it was made, how good it is. Markdown."""

import platform
from collections.abc import Iterable, Mapping, Sequence

import torch

_ROWS_SHOWN = 10  # of the loss curve, evenly; all of it is in its file


def card(
    *,
    title: str,
    what: str,
    command: str,
    device: str,
    facts: Mapping[str, object],
    settings: Mapping[str, object],
    curve: Sequence[Mapping[str, float]],
) -> bytes:
    """Takes: `facts`: figures and origins worth knowing before it is used; `curve`: all rows of the run."""
    machine = torch.cuda.get_device_name(device) if device != "cpu" else f"CPU ({platform.machine()})"
    n = len(curve)
    shown = [curve[i] for i in sorted({round(k * (n - 1) / (_ROWS_SHOWN - 1)) for k in range(_ROWS_SHOWN)})]
    lines = [f"# {title}", "", what, "", "```", command, "```", "", *_table(["", ""], facts.items()), ""]
    lines += [f"Trained on {machine} with torch {torch.__version__}.", "", "## Course", ""]
    lines += _table(list(curve[0]), ([f"{value:.5g}" for value in row.values()] for row in shown))
    lines += ["", "## Settings", "", *_table(["setting", "value"], settings.items()), ""]
    return "\n".join(lines).encode()


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]
