"""Grids of faces as PNG, without a library: a machine that trains may have torch and numpy only.

N pictures, H and W pixels, R side in pixels.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def write_grid(x_N3RR: Tensor, path: Path, *, columns: int) -> None:
    """Takes: (N, 3, R, R) in [-1, 1]; N a multiple of `columns`."""
    levels = ((x_N3RR.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()
    rows = levels.reshape(-1, columns, *levels.shape[1:])  # rows, columns, 3, R, R
    write_png(rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1).numpy(), path)  # (H, W, 3)


def write_png(rgb_HW3: NDArray[np.uint8], path: Path) -> None:
    """8 bits, RGB. Format: W3C, Portable Network Graphics (third edition)."""
    height, width, _ = rgb_HW3.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rgb_HW3.reshape(height, -1)], axis=1)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in chunks:
            crc = zlib.crc32(kind + content)
            file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc))
    partial.replace(path)
