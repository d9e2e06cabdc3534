"""What a film of three panels shows, measured as it is played."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.latents.side_by_side import SideBySide


def played_psnr(frame_HWC: NDArray[Any], draw: SideBySide) -> float:
    """dB between the first panel, the face as filmed, and the second, its reconstruction, at the size of the crop."""
    y, panel_px, px = draw.panels_y, draw.panel_px, draw.crop_px
    film, made = (frame_HWC[y : y + panel_px, x : x + panel_px].astype(float) for x in draw.panels_x[:2])
    film, made = (panel.reshape(px, panel_px // px, px, panel_px // px, 3).mean(axis=(1, 3)) for panel in (film, made))
    return float(10 * np.log10(255**2 / np.mean((film - made) ** 2)))
