"""The model card of a finished generator: what it was trained with, on what, how, and what came of it."""

import platform
from pathlib import Path
from typing import Any

import torch

_ROWS_SHOWN = 12  # of the log: its course on one screen; all of it is in log.csv

_OBJECTIVES = {
    "adversarial": "adversarial: non-saturating logistic loss, lazy R1 and path length regularisation, adaptive "
    "discriminator augmentation (StyleGAN2-ADA)",
    "reconstruction": "reconstruction: an autodecoder, each picture drawn from its own z through the mapping network, "
    "multi-scale L1 and edges. No discriminator was used",
}


def write_card(path: Path, **parts: Any) -> None:
    """Takes: as `card_text`. A kill leaves the old card or the new one."""
    partial = path.with_suffix(".partial")
    partial.write_text(card_text(**parts))
    partial.replace(path)


def card_text(
    *,
    name: str,
    settings: dict[str, Any],
    sizes: dict[str, Any],
    data: str,
    command: str,
    z: str,
    start: str,
    seconds: float,
    device: torch.device,
    log: list[dict[str, float]],
    figures: dict[str, float],
) -> str:
    """Markdown. `log` and `figures` are the rows and the last measures of the run."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    n_steps = int(settings["steps"])
    lines = [
        f"# {name}",
        "",
        "A StyleGAN2 generator trained by `latentreel generator fit`.",
        "",
        f"- Objective: {_OBJECTIVES[settings['objective']]}.",
        f"- Pictures: {data}.",
        f"- Started from: {start}.",
        f"- z: {z}.",
        f"- Trained for {n_steps} steps of {settings['batch']} pictures in {seconds:.0f} s on {machine}, "
        f"torch {torch.__version__}, {settings['precision']}.",
        "",
        "## Command",
        "",
        "```",
        command,
        "```",
        "",
        "## Figures",
        "",
        *(_table([{"figure": k, "value": f"{v:.6g}"} for k, v in {**sizes, **figures}.items()])),
        "",
        "`random_features_frechet` is a Fréchet distance on features of a fixed random network. It is not FID, and can",
        "be compared only between runs on the same pictures.",
        "",
        "## Log",
        "",
        *_table([{k: f"{v:.5g}" for k, v in row.items()} for row in _excerpt(log)]),
        "",
        "## Settings",
        "",
        *_table([{"setting": k, "value": str(v)} for k, v in settings.items()]),
        "",
    ]
    return "\n".join(lines)


def _excerpt(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Evenly, with the first and the last."""
    if len(rows) <= _ROWS_SHOWN:
        return rows
    return [rows[round(i * (len(rows) - 1) / (_ROWS_SHOWN - 1))] for i in range(_ROWS_SHOWN)]


def _table(rows: list[dict[str, str]]) -> list[str]:
    if not rows:
        return ["None."]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    body = [f"| {' | '.join(row.get(name, '') for name in columns)} |" for row in rows]
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *body]
