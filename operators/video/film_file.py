"""Open a film with PyAV, within limits, so that no file can make FFmpeg read other files, wait or fill the memory.

Probe and decoder both open films here: what one of them refuses, the other never sees.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from schemas.errors import BadInput

PIXELS_MAX = 8192 * 4320  # 8K DCI; a frame is then 106 MB of RGB. A 0.7 MB file can claim 16000x16000
# Containers that hold a film themselves. Playlists (HLS, DASH, concat) are text that makes FFmpeg open other files
# and addresses, so a file with a film's name could read what its sender may not.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf"
_HEAD_BYTES = 4096
_WORDS: dict[type[av.FFmpegError], str] = {
    av.error.InvalidDataError: "its data is damaged",
    av.error.EOFError: "it ends there",
    av.error.PatchWelcomeError: "it uses something that FFmpeg does not support",
    # A system kills whom it has no memory for. It refuses only an absurd size, which a damaged film asks for.
    av.error.MemoryError: "it asks for more memory than there is",
}


def open_film(path: str, *, uri: str) -> InputContainer:
    """PyAV's container; close it.

    Takes: a local file, and the name its user knows it by. Raises: BadInput with the cure; OSError as it comes.
    """
    file = Path(path).absolute()  # absolute: `data:x.mp4` is then a name and no protocol of FFmpeg's
    head = _head(file, uri)
    if not head:
        raise BadInput(f"{uri}: is empty (0 bytes); fetch it again")
    try:
        # Titles may be in any encoding; nobody reads them here.
        options = {"format_whitelist": _CONTAINERS, "max_pixels": str(PIXELS_MAX)}
        return av.open(str(file), options=options, metadata_errors="replace")
    except av.FFmpegError as err:
        raise BadInput(f"{uri}: {_why_not_a_film(head, err)}") from err


def _head(file: Path, uri: str) -> bytes:
    kind = file.stat().st_mode
    if stat.S_ISDIR(kind):
        raise BadInput(f"{uri}: is a folder, not a film; give the films in it")
    if not stat.S_ISREG(kind):
        raise BadInput(f"{uri}: is a pipe or a device, not a file; copy the film to a file first")
    opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # never waits, should it have become a pipe
    try:
        return os.read(opened, _HEAD_BYTES)
    finally:
        os.close(opened)


def film_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that is not a cover picture; decoded without threads, as each worker has its one core."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "NONE"
            stream.thread_count = 1
            return stream
    return None


# PyAV 18.1 flushes at the end also streams that began after the start, as a broadcast's do, and does not find their
# names. Ours have been flushed by then.
_LATE_STREAM = IndexError


def packets(container: InputContainer) -> Iterator["Packet[Any]"]:
    """Of all streams, with empty ones at the end that flush the decoders."""
    with suppress(_LATE_STREAM):
        yield from container.demux()


def pictures(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decoded, in order of time."""
    with suppress(_LATE_STREAM):
        yield from container.decode(stream)


def family(container: InputContainer) -> str:
    """FFmpeg calls the mp4 family `mov,mp4,m4a,3gp,3g2,mj2`."""
    return container.format.name.split(",")[0]


def is_mp4_cut_off(path: str) -> bool:
    """Whether its last box claims more bytes than the file has. Boxes: ISO/IEC 14496-12, 4.2."""
    with Path(path).open("rb") as file:
        n_bytes, at = os.fstat(file.fileno()).st_size, 0
        while at < n_bytes:
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1:  # the size follows in 64 bits
                size = int.from_bytes(head[8:], "big")
            if size < 8:  # 0: to the end, wherever that was; others are damage
                return size == 0
            at += size
        return at > n_bytes


def quarter_turns(frame: VideoFrame) -> int:
    """Anticlockwise turns, 0 to 3, that make the picture upright."""
    return round(frame.rotation / 90) % 4


def ticks_to_us(ticks: int, time_base: Fraction) -> int:
    """Exact rational arithmetic, rounded to the nearest microsecond."""
    up, down = time_base.numerator * 1_000_000, time_base.denominator
    return (2 * ticks * up + down) // (2 * down)


def why(err: av.FFmpegError) -> str:
    """FFmpeg's reason as a person would say it."""
    for kind, words in _WORDS.items():
        if isinstance(err, kind):
            return words
    return (err.strerror or type(err).__name__).lower()


def _why_not_a_film(head: bytes, err: av.FFmpegError) -> str:
    kinds = "give an mp4, mov, mkv, webm, avi or ts file"
    if head[4:8] == b"ftyp":
        return "has no index (moov box): the recording or the copy was cut off; fetch it again, or rebuild the index"
    if not head.strip(b"\0"):
        return "begins with zeros: a download or a recording that was never filled; fetch it again"
    if head.isascii() and b"\0" not in head:
        return "is text, not a film; give the film itself"
    if isinstance(err, av.error.InvalidDataError | av.error.ArgumentError | av.error.EOFError):
        return f"is no film, or its beginning is damaged; {kinds}, or fetch it again"
    return f"cannot be opened as a film ({why(err)}); {kinds}"
