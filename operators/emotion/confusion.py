"""Which expressions are taken for which: a table, and a picture of it.

Rows are what the label says, columns what the network reads.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from schemas.emotions import EMOTIONS, N_EMOTIONS

_CELL_PX, _LEFT_PX, _TOP_PX = 64, 96, 40
_PAPER, _INK = (250, 250, 250), (30, 30, 34)
_DEEP = (32, 84, 147)  # of a cell that holds its whole row


def confusion_matrix(labels: NDArray[np.int64], read: NDArray[np.int64]) -> NDArray[np.int64]:
    """(7, 7) counts."""
    counts = np.zeros((N_EMOTIONS, N_EMOTIONS), np.int64)
    np.add.at(counts, (labels, read), 1)
    return counts


def confusion_csv(counts: NDArray[np.int64]) -> bytes:
    """The table with names at its head and side."""
    lines = [",".join(("label", *EMOTIONS))]
    lines += [",".join((name, *map(str, row))) for name, row in zip(EMOTIONS, counts, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def confusion_png(counts: NDArray[np.int64]) -> bytes:
    """The table as a picture: counts in cells, the darker the larger their share of the row."""
    side = N_EMOTIONS * _CELL_PX
    sheet = Image.new("RGB", (_LEFT_PX + side + 16, _TOP_PX + side + 16), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for row, name in enumerate(EMOTIONS):
        y = _TOP_PX + row * _CELL_PX
        pen.text((_LEFT_PX - 8, y + _CELL_PX / 2), name, _INK, font, anchor="rm")
        pen.text((_LEFT_PX + (row + 0.5) * _CELL_PX, _TOP_PX - 8), name, _INK, font, anchor="ms")
        for column in range(N_EMOTIONS):
            x, share = _LEFT_PX + column * _CELL_PX, float(shares[row, column])
            colour = tuple(round(a + (b - a) * share) for a, b in zip(_PAPER, _DEEP, strict=True))
            pen.rectangle((x, y, x + _CELL_PX - 2, y + _CELL_PX - 2), fill=colour, outline=(215, 215, 218))
            if counts[row, column]:
                middle = (x + _CELL_PX / 2, y + _CELL_PX / 2)
                pen.text(middle, str(counts[row, column]), _PAPER if share > 0.5 else _INK, font, anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
