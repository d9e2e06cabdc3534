"""Small films whose every frame shows its own number, so that a wrong frame is seen without a second decoder."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8
TICKS_PER_S = 1000  # of the made films' clock; FFmpeg's muxers may choose a finer one, times stay exact
FRAME_TICKS = 40


def numbered(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """The upper half shows the number as black and white blocks, the lower half a gradient that moves."""
    frame_HWC = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            frame_HWC[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 255
    frame_HWC[height // 2 :] = ((np.arange(width) + 7 * number) % 256)[None, :, None] * np.array([1.0, 0.6, 0.3])
    return frame_HWC


def shown_number(rgb_HWC: np.ndarray) -> int:
    height, width, _ = rgb_HWC.shape
    row = rgb_HWC[height // 4].mean(axis=-1)
    return sum(1 << bit for bit in range(BITS) if row[(2 * bit + 1) * width // (2 * BITS)] > 128)


def write_clip(
    path: Path,
    *,
    n_frames: int = 40,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] = {},
    pts: Sequence[int] | None = None,
    turned_deg: int = 0,
    aspect: Fraction | None = None,
    frames: Iterable[np.ndarray] | None = None,
    index_first: bool = False,
) -> Path:
    """Key frames every 12 frames, B-frames where the codec has them; pts in milliseconds."""
    width, height = size
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream = container.add_stream(codec, rate=TICKS_PER_S // FRAME_TICKS, options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        stream.gop_size = 12
        stream.thread_count = 1
        if turned_deg:
            stream.set_display_rotation(turned_deg)
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        pictures = frames if frames is not None else (numbered(i, width, height) for i in range(n_frames))
        for i, frame_HWC in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24").reformat(format=pix_fmt)
            frame.pts = pts[i] if pts is not None else i * FRAME_TICKS
            frame.time_base = Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def erase_packet(path: Path, number: int) -> None:
    """Overwrite one packet with zeros: it is read, and cannot be decoded."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        assert packet.pos is not None
        start, size = packet.pos, packet.size
    damaged = bytearray(path.read_bytes())
    damaged[start : start + size] = bytes(size)
    path.write_bytes(damaged)
