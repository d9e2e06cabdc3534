"""One picture of a film's cut: the middle frame of each shot, in order, with its place and length."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from operators.latents.contact_sheet import BACKGROUND, BRIGHT, CARD, EMPTY, FAINT, TEXT
from operators.latents.side_by_side import clock

THUMB_PX = 320  # the longer side of the stored pictures
COLUMNS_MAX = 5  # 1,700 px wide: a common screen
HEIGHT_MAX_PX = 16_384  # a trailer's 60 shots take 3,000, a film's first 350 the rest; many viewers refuse more
MARGIN_PX, GAP_PX, TITLE_PX, LINE_PX = 24, 12, 40, 24


@dataclass(frozen=True, kw_only=True)
class ShotPicture:
    """What is shown of one shot."""

    shot_index: int
    first_frame: int
    n_frames: int
    start_us: int
    end_us: int
    jpeg: bytes | None  # None: there is none, and its place stays empty


def shot_sheet(title: str, shots: Sequence[ShotPicture]) -> Image.Image:
    """The sheet, RGB; what does not fit is left out from the end, and the sheet says so.

    Takes: shots in their order; all pictures have the sides of the first one that is there.
    """
    pictures = [None if shot.jpeg is None else Image.open(io.BytesIO(shot.jpeg)) for shot in shots]
    width, height = next((picture.size for picture in pictures if picture is not None), (THUMB_PX, THUMB_PX * 9 // 16))
    card_width, card_height = max(width, 200), height + LINE_PX  # 200: the line below fits
    columns = max(1, min(COLUMNS_MAX, len(shots)))
    rows_max = (HEIGHT_MAX_PX - 2 * MARGIN_PX - TITLE_PX) // (card_height + GAP_PX)
    shown = min(len(shots), rows_max * columns)
    rows = max(1, -(-shown // columns))
    sheet = Image.new(
        "RGB",
        (
            2 * MARGIN_PX + columns * (card_width + GAP_PX) - GAP_PX,
            2 * MARGIN_PX + TITLE_PX + rows * (card_height + GAP_PX) - GAP_PX,
        ),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    count = f"{len(shots)} shot{'' if len(shots) == 1 else 's'}"
    left_out = "" if shown == len(shots) else f", the first {shown} are shown"
    draw.text((MARGIN_PX, MARGIN_PX - 6), f"{count}{left_out}", BRIGHT, _font(20))
    draw.text((MARGIN_PX, MARGIN_PX + 18), title, FAINT, _font(12))
    for i, (shot, picture) in enumerate(zip(shots[:shown], pictures, strict=False)):
        row, column = divmod(i, columns)
        x, y = MARGIN_PX + column * (card_width + GAP_PX), MARGIN_PX + TITLE_PX + row * (card_height + GAP_PX)
        draw.rectangle((x, y, x + card_width - 1, y + card_height - 1), CARD)
        if picture is None:
            draw.rectangle((x, y, x + width - 1, y + height - 1), EMPTY)
        else:
            sheet.paste(picture.convert("RGB"), (x, y))
        seconds = (shot.end_us - shot.start_us) / 1e6
        text = f"{shot.shot_index}   frame {shot.first_frame}   {clock(shot.start_us)}   {seconds:.2f} s"
        draw.text((x + 6, y + height + 4), text, TEXT, _font(12))
    return sheet


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)
