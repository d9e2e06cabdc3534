"""The course of a run as files: a table of losses, a table of measures, and a picture of both."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

_WIDTH_PX, _PANEL_PX, _MARGIN_PX = 900, 170, 56
_COLOURS = ((66, 110, 180), (205, 92, 70), (88, 150, 84), (140, 100, 170))
_INK, _FAINT, _PAPER = (40, 42, 46), (222, 224, 228), (255, 255, 255)


class Table:
    """A CSV that grows by rows. After a resume, rows from beyond the checkpoint are dropped: they will come again."""

    def __init__(self, path: Path, columns: tuple[str, ...], *, steps_kept: int) -> None:
        self.path, self.columns = path, ("step", "images", "seconds", *columns)
        kept = [row for row in read_table(path) if row["step"] <= steps_kept]
        partial = path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(_texts(row) for row in kept)
        partial.replace(path)

    def add(self, row: Mapping[str, float]) -> None:
        """Columns that the row lacks stay empty."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(_texts(row))


class Means:
    """Means of what steps report, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, found: Mapping[str, Tensor]) -> None:
        for name, value in found.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Since the last call."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


def read_table(path: Path) -> list[dict[str, float]]:
    """Rows of a table; none where there is no file. A row cut by a kill is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if v} for row in rows if None not in row.values() and row["step"]]


def draw_curves(tables: list[list[dict[str, float]]], path: Path) -> None:
    """One panel per column, against steps. Takes: rows as `read_table` gives them."""
    from PIL import Image, ImageDraw  # noqa: PLC0415  a machine that trains may be without

    series = {}
    for rows in tables:
        for name in dict.fromkeys(name for row in rows for name in row):
            points = [(row["step"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
            if name not in ("step", "images", "seconds") and points:
                series[name] = points
    image = Image.new("RGB", (_WIDTH_PX, _PANEL_PX * max(1, len(series)) + _MARGIN_PX // 2), _PAPER)
    draw = ImageDraw.Draw(image)
    last = max((step for points in series.values() for step, _ in points), default=1.0)
    for i, (name, points) in enumerate(series.items()):
        _panel(draw, name, points, last, top=i * _PANEL_PX + _MARGIN_PX // 2, colour=_COLOURS[i % len(_COLOURS)])
    image.save(path)


def _panel(
    draw: Any, name: str, points: list[tuple[float, float]], last: float, *, top: int, colour: tuple[int, int, int]
) -> None:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    left, right, bottom = 2 * _MARGIN_PX, _WIDTH_PX - _MARGIN_PX // 2, top + _PANEL_PX - _MARGIN_PX
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        draw.line((left, y, right, y), _FAINT)
        draw.text((left - 8, y), f"{low + share * spread:.4g}", _INK, anchor="rm")
        x = left + share * (right - left)
        draw.text((x, bottom + 6), f"{share * last:.0f}", _INK, anchor="ma")
    draw.text((left, top - 4), f"{name}   last {values[-1]:.4g}", _INK, anchor="ls")
    line = [
        (left + step / last * (right - left), bottom - (value - low) / spread * (bottom - top))
        for step, value in points
    ]
    if len(line) == 1:
        draw.ellipse((line[0][0] - 2, line[0][1] - 2, line[0][0] + 2, line[0][1] + 2), colour)
    draw.line(line, colour, width=2)


def _texts(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.6g}" if name not in ("step", "images") else str(int(value)) for name, value in row.items()}
