"""Write frames as an mp4 that plays everywhere: H.264, 8-bit 4:2:0."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

# x264's AVX-512 lookahead reads memory it never wrote (widths that are no multiple of 64: other bytes under another
# MALLOC_PERTURB_). SSE 4.2 is what numpy's wheels ask of a CPU anyway, and no slower here (0.80 s against 0.79 s).
_SAME_BYTES = "asm=sse4.2"


_US = Fraction(1, 1_000_000)
# A B-frame is stored after a later frame, so the file counts its time in steps that are only right where all steps are
# equal: a variable rate then gets a wrong duration, at which players stop.
_EXACT_TIMES = {"bf": "0"}


def write_mp4(
    path: str | os.PathLike[str], frames_HWC: Iterable[NDArray[np.uint8]], *, fps: Fraction, crf: int = 18
) -> None:
    """Encode frames in order, all equally long; the file appears under its name only when it is complete.

    Takes: (H, W, 3) uint8 RGB frames of one even size; `crf`, x264's quality, 0 lossless to 51 worst.
    Raises: ValueError for no frames, an odd side or a frame of another size; OSError when the disk refuses.
    Gives: the same bytes for the same frames on one machine. Not promised: the same from another x264 or FFmpeg.
    """
    final = Path(path)
    with _complete_or_absent(final) as unfinished:
        _encode(unfinished, final, enumerate(frames_HWC), clock=1 / fps, fps=fps, options={"crf": str(crf)})


def write_timed_mp4(
    path: str | os.PathLike[str], timed_frames: Iterable[tuple[int, NDArray[np.uint8]]], *, fps: Fraction, crf: int = 18
) -> None:
    """As `write_mp4`, each frame at its own time, exactly.

    Takes: (pts_us, frame) with rising times from 0; `fps`, the mean rate: the last frame stays for 1 / fps.
    Raises: ValueError also for a time that does not rise, and for a first time that is not 0.
    Not promised: a frame that stays for more than half an hour; steps in an mp4 have 32 bits.
    """
    final = Path(path)
    with _complete_or_absent(final) as unfinished:
        frames = _rising(final, timed_frames)
        _encode(unfinished, final, frames, clock=_US, fps=fps, options={"crf": str(crf), **_EXACT_TIMES})


@contextmanager
def _complete_or_absent(final: Path) -> Iterator[Path]:
    unfinished = final.with_name(f".{final.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(final)
    finally:
        unfinished.unlink(missing_ok=True)


def _rising(
    final: Path, timed_frames: Iterable[tuple[int, NDArray[np.uint8]]]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    last_us: int | None = None
    for pts_us, frame_HWC in timed_frames:
        if last_us is None and pts_us != 0:
            raise ValueError(f"{final}: the first frame is at {pts_us} us; count times from the first frame, at 0")
        if last_us is not None and pts_us <= last_us:
            raise ValueError(f"{final}: a frame at {pts_us} us follows one at {last_us} us; sort frames by time")
        yield pts_us, frame_HWC
        last_us = pts_us


def _encode(
    unfinished: Path,
    final: Path,
    frames: Iterable[tuple[int, NDArray[np.uint8]]],
    *,
    clock: Fraction,
    fps: Fraction,
    options: dict[str, str],
) -> None:
    """Frames come with their times in ticks of `clock` seconds."""
    with av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={**options, "x264-params": _SAME_BYTES})
        stream.codec_context.time_base = clock
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # x264 cuts frames into as many pieces as it has threads: other bytes on other machines
        shape: tuple[int, ...] | None = None
        for i, (ticks, frame_HWC) in enumerate(frames):
            if shape is None:
                shape = frame_HWC.shape
                stream.height, stream.width = _even_size(final, shape)
            if frame_HWC.shape != shape:
                raise ValueError(f"{final}: frame {i} is {frame_HWC.shape}, the first was {shape}; give one size")
            picture = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")
            picture.pts, picture.time_base = ticks, clock
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
