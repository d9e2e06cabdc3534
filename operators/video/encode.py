"""Write frames as an mp4 that plays everywhere: H.264, 8-bit 4:2:0."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

# x264's AVX-512 lookahead reads memory it never wrote (widths that are no multiple of 64: other bytes under another
# MALLOC_PERTURB_). SSE 4.2 is what numpy's wheels ask of a CPU anyway, and no slower here (0.80 s against 0.79 s).
_SAME_BYTES = "asm=sse4.2"


def write_mp4(
    path: str | os.PathLike[str], frames_HWC: Iterable[NDArray[np.uint8]], *, fps: Fraction, crf: int = 18
) -> None:
    """Encode frames in order; the file appears under its name only when it is complete.

    Takes: (H, W, 3) uint8 RGB frames of one even size; `crf`, x264's quality, 0 lossless to 51 worst.
    Raises: ValueError for no frames, an odd side or a frame of another size; OSError when the disk refuses.
    Gives: the same bytes for the same frames on one machine. Not promised: the same from another x264 or FFmpeg.
    """
    final = Path(path)
    unfinished = final.with_name(f".{final.name}.{os.getpid()}.unfinished")
    try:
        _encode(unfinished, final, frames_HWC, fps, crf)
        unfinished.replace(final)
    finally:
        unfinished.unlink(missing_ok=True)


def _encode(unfinished: Path, final: Path, frames_HWC: Iterable[NDArray[np.uint8]], fps: Fraction, crf: int) -> None:
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "x264-params": _SAME_BYTES})
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # x264 cuts frames into as many pieces as it has threads: other bytes on other machines
        shape: tuple[int, ...] | None = None
        for i, frame_HWC in enumerate(frames_HWC):
            if shape is None:
                shape = frame_HWC.shape
                stream.height, stream.width = _even_size(final, shape)
            if frame_HWC.shape != shape:
                raise ValueError(f"{final}: frame {i} is {frame_HWC.shape}, the first was {shape}; give one size")
            picture = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")
            picture.pts, picture.time_base = i, 1 / fps
            container.mux(stream.encode(picture))
        if shape is None:
            raise ValueError(f"{final}: no frames to write; give at least one")
        container.mux(stream.encode())


def _even_size(final: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    height, width, _ = shape
    if height % 2 or width % 2:
        raise ValueError(
            f"{final}: frames are {width}x{height}, H.264 in 4:2:0 takes even sides; crop or pad by 1 pixel"
        )
    return height, width
