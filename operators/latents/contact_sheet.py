"""One picture of a whole dataset: every track's first, middle and last face above its reconstruction.

N faces shown of a track (1 to 3), R side of the crops and S side of the reconstructions in pixels, C = 3 (RGB).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from schemas.emotions import EMOTIONS

SHOWN_MAX = 3
THUMB_PX = 128  # large enough to judge a likeness, small enough that a trailer's tracks fit a screen
HEIGHT_MAX_PX = 4096  # browsers and image viewers scroll that; decoders refuse sheets of tens of thousands
COLUMNS_MAX = 4  # 1,700 px wide: a common screen
MARGIN_PX, PADDING_PX, GAP_PX = 28, 16, 6
TITLE_PX, LINE_PX = 44, 20

BACKGROUND, CARD, EMPTY = (24, 25, 28), (34, 36, 40), (44, 46, 51)  # neutral, so that skin keeps its colour
BRIGHT, TEXT, FAINT = (236, 236, 238), (178, 180, 186), (120, 123, 130)
EMOTION_COLOURS = dict(
    zip(
        EMOTIONS,
        [
            (214, 90, 80),
            (140, 168, 84),
            (150, 118, 196),
            (232, 186, 84),
            (96, 140, 204),
            (232, 140, 72),
            (150, 153, 160),
        ],
        strict=True,
    )
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetEntry:
    """What is shown of one track. `shown_frames` says which frames to bring."""

    track_id: str
    shot_index: int
    frame_index: tuple[int, ...]  # (N,)
    crops_NRRC: NDArray[np.uint8]  # (N, R, R, 3)
    reconstructions_NSSC: NDArray[np.uint8]  # (N, S, S, 3)
    emotion: str | None  # one of EMOTIONS; None: not read
    psnr: float  # dB, mean over the whole track

    def __post_init__(self) -> None:
        n = [len(self.frame_index), len(self.crops_NRRC), len(self.reconstructions_NSSC)]
        if min(n) != max(n) or not 1 <= n[0] <= SHOWN_MAX:
            raise ValueError(f"track {self.track_id}: {n} frames, crops and pictures; give 1 to {SHOWN_MAX} each")
        for pictures in (self.crops_NRRC, self.reconstructions_NSSC):
            if pictures.dtype != np.uint8 or pictures.shape[1:] != (pictures.shape[1], pictures.shape[1], 3):
                raise ValueError(f"track {self.track_id}: {pictures.dtype} {pictures.shape}; give uint8 (N, R, R, 3)")
        if self.emotion is not None and self.emotion not in EMOTIONS:
            raise ValueError(f"track {self.track_id}: emotion {self.emotion!r}; give one of {', '.join(EMOTIONS)}")


def shown_frames(n_frames: int) -> list[int]:
    """Positions of a track's first, middle and last frame; a track of one or two frames has no more to show."""
    return sorted({0, n_frames // 2, n_frames - 1})


def contact_sheet(entries: Sequence[SheetEntry], *, n_tracks: int | None = None) -> Image.Image:
    """The sheet, RGB, at most HEIGHT_MAX_PX high; what does not fit is left out from the end, and the sheet says so.

    Takes: tracks in the order to show; `n_tracks`, how many there are where not all are given.
    Gives: a picture also for no tracks at all.
    """
    columns = max(1, min(COLUMNS_MAX, len(entries)))
    rows_max = (HEIGHT_MAX_PX - 2 * MARGIN_PX - TITLE_PX) // (_CARD_HEIGHT + PADDING_PX)
    shown = entries[: columns * rows_max]
    rows = -(-len(shown) // columns)
    size = (
        2 * MARGIN_PX + columns * (_CARD_WIDTH + PADDING_PX) - PADDING_PX,
        2 * MARGIN_PX + TITLE_PX + max(rows, 1) * (_CARD_HEIGHT + PADDING_PX) - PADDING_PX,
    )
    sheet = Image.new("RGB", size, BACKGROUND)
    _title(sheet, len(shown), n_tracks or len(entries))
    for i, entry in enumerate(shown):
        row, column = divmod(i, columns)
        x = MARGIN_PX + column * (_CARD_WIDTH + PADDING_PX)
        y = MARGIN_PX + TITLE_PX + row * (_CARD_HEIGHT + PADDING_PX)
        sheet.paste(_card(entry), (x, y))
    return sheet


_CARD_WIDTH = 2 * PADDING_PX + SHOWN_MAX * (THUMB_PX + GAP_PX) - GAP_PX
_CARD_HEIGHT = PADDING_PX + 2 * LINE_PX + 4 + 2 * (THUMB_PX + GAP_PX) + LINE_PX + 4


def _title(sheet: Image.Image, n_shown: int, n_all: int) -> None:
    draw = ImageDraw.Draw(sheet)
    text = f"{n_all} track{'' if n_all == 1 else 's'}"
    draw.text((MARGIN_PX, MARGIN_PX - 6), text, BRIGHT, _font(22))
    x = MARGIN_PX + draw.textlength(text, _font(22)) + PADDING_PX
    if n_shown < n_all:
        text = f"the first {n_shown} are shown, {n_all - n_shown} did not fit"
        draw.text((x, MARGIN_PX + 1), text, BRIGHT, _font(14))
        x += draw.textlength(text, _font(14)) + PADDING_PX
    draw.text((x, MARGIN_PX + 1), "above: film   below: reconstruction", FAINT, _font(14))


def _card(entry: SheetEntry) -> Image.Image:
    card = Image.new("RGB", (_CARD_WIDTH, _CARD_HEIGHT), CARD)
    draw = ImageDraw.Draw(card)
    inner_px = _CARD_WIDTH - 2 * PADDING_PX
    draw.text((PADDING_PX, PADDING_PX - 4), _fitted(draw, entry.track_id, inner_px), BRIGHT, _font(15))
    y = PADDING_PX + LINE_PX
    draw.text((PADDING_PX, y - 2), f"shot {entry.shot_index}", TEXT, _font(13))
    if entry.emotion is not None:
        x = PADDING_PX + THUMB_PX + GAP_PX
        draw.ellipse((x, y + 2, x + 9, y + 11), EMOTION_COLOURS[entry.emotion])
        draw.text((x + 15, y - 2), entry.emotion, TEXT, _font(13))
    quality = f"{entry.psnr:.1f} dB"
    draw.text((_CARD_WIDTH - PADDING_PX - draw.textlength(quality, _font(13)), y - 2), quality, TEXT, _font(13))
    for k in range(SHOWN_MAX):
        x, y = PADDING_PX + k * (THUMB_PX + GAP_PX), PADDING_PX + 2 * LINE_PX + 4
        below = y + THUMB_PX + GAP_PX
        if k >= len(entry.frame_index):
            draw.rectangle((x, y, x + THUMB_PX - 1, below + THUMB_PX - 1), EMPTY)
            continue
        card.paste(_thumb(entry.crops_NRRC[k]), (x, y))
        card.paste(_thumb(entry.reconstructions_NSSC[k]), (x, below))
        draw.text((x, below + THUMB_PX + 4), f"frame {entry.frame_index[k]}", FAINT, _font(12))
    return card


def _thumb(picture_RRC: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(picture_RRC).resize((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)


def _fitted(draw: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    """The text, its middle left out where it is too long: the ends of an id tell tracks apart."""
    keep = len(text)
    fitted = text
    while draw.textlength(fitted, _font(15)) > width_px:
        keep -= 1
        fitted = f"{text[: keep // 2]}…{text[len(text) - (keep - keep // 2) :]}"
    return fitted


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)
