"""Look at a film once, before any work: its times, its upright size, and which decoder gets it right.

N shown frames, K packets. Packets are read to the end but only the first picture is decoded: rotation and
interlacing are written there, and in no header that PyAV shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from operators.video.damage import cut_short
from operators.video.film_file import (
    PIXELS_MAX,
    family,
    film_stream,
    is_mp4_cut_off,
    open_film,
    packets,
    quarter_turns,
    ticks_to_us,
    why,
)
from schemas.errors import BadInput
from schemas.video import DamageType, Decoder, Video

_PROGRESSIVE = 1
# What tests/operators/test_video_frames.py shows decord to decode bit for bit as PyAV does, seeks included. Elsewhere
# it was measured wrong: AVI and MPEG-TS seeks, open GOPs, 10 bit, interlaced chroma, hidden packets, rotation.
_DECORD_CODECS = frozenset({"h264", "hevc"})
_DECORD_PIXELS = frozenset({"yuv420p", "yuvj420p"})
_DECORD_CONTAINERS = frozenset({"mov", "matroska"})
# Their headers say how long the film is. Elsewhere FFmpeg's length is an estimate from what is there.
_PROMISING_CONTAINERS = frozenset({"mov", "matroska", "avi", "flv", "asf", "mxf"})
_SHORT_OF_S = 1.0  # of the header's length: sound's last block and rounding make some tenths in whole films


@dataclass(frozen=True, kw_only=True, slots=True)
class _Packet:
    pts: int | None
    dts: int | None
    is_key: bool


@dataclass(frozen=True, kw_only=True)
class _Demuxed:
    packets: Sequence[_Packet]  # (K,) shown ones, in decode order
    n_hidden: int  # decoded but not shown: an edit list starts in the middle of a group of pictures
    first: VideoFrame
    ends_s: float  # the latest end of a packet of any stream, from the container's start
    ends_inside: bool  # the last packet is there in part
    broken_by: av.FFmpegError | None


def probe(path: str, *, uri: str, video_id: str, alive: Callable[[], None] = lambda: None) -> Video:
    """A film's facts and exact times.

    Takes: a local file; `alive` is called often while the film is read. Gives: pts_us from the first shown frame, in
    presentation order, one for each frame that decoding will show; packets hidden by an edit list do not count, nor
    do those before the first picture that decodes. Equal times are moved apart by a microsecond. Of a film whose end
    is missing, or whose index breaks off: what is there, with `damage`.
    Raises: BadInput when these bytes can never work; OSError when the file cannot be read.
    Not promised: that every frame decodes; that a film is noticed to be cut short whose container (ts, fragmented mp4)
    says nothing of its length.
    """
    with open_film(path, uri=uri) as container:
        stream = film_stream(container)
        if stream is None:
            if not len(container.streams):
                raise BadInput(f"{uri}: its index names no streams: it is damaged or cut off; fetch it again")
            raise BadInput(f"{uri}: has no video stream; give a film, not a sound file or a cover picture")
        _check_codec(uri, stream)
        _check_size(uri, stream)
        demuxed = _demux(uri, container, stream, alive)
        pts_us = _times(uri, container, stream, demuxed)
        width, height = _upright_size(uri, stream, demuxed.first)
        video = Video(
            video_id=video_id,
            uri=uri,
            bytes=Path(path).stat().st_size,
            codec=stream.codec_context.codec.canonical_name,
            fps=_mean_rate(stream, pts_us),
            width=width,
            height=height,
            decoder=_decoder_for(container, stream, demuxed),
            pts_us=pts_us,
            promised_s=_promised_s(container, stream),
        )
        damage = _damage(path, container, stream, demuxed)
        return cut_short(video, video.n_frames, damage) if damage else video


def _check_codec(uri: str, stream: VideoStream) -> None:
    if stream.codec_context is None:  # its type does not say so
        raise BadInput(
            f"{uri}: its pictures are coded in a way that FFmpeg does not know, or its header is damaged; re-encode it "
            "as H.264, or fetch it again"
        )


def _check_size(uri: str, stream: VideoStream) -> None:
    """Before anything is decoded: one frame of a bomb takes more memory than the machine may have."""
    width, height = stream.codec_context.width, stream.codec_context.height
    limit = f"allowed are {PIXELS_MAX / 1e6:.0f} million pixels (8192x4320)"
    if width * height > PIXELS_MAX:
        raise BadInput(f"{uri}: claims {width}x{height} pixels, {limit}; scale the film down first")
    if width < 1 or height < 1:
        raise BadInput(f"{uri}: its header is damaged or claims an absurd size, {limit}; re-encode the film")


def _demux(uri: str, container: InputContainer, stream: VideoStream, alive: Callable[[], None]) -> _Demuxed:
    shown: list[_Packet] = []
    n_hidden = 0
    first: VideoFrame | None = None
    last: Packet[Any] | None = None
    ends: dict[Stream, int] = {}  # in the stream's own ticks: fractions of 200,000 packets take seconds
    broken_by: av.FFmpegError | None = None
    try:
        for packet in packets(container):  # of all streams: a film is as long as the longest of them
            alive()
            if packet.size:  # the packets of size 0 at the end only flush the decoders
                last = packet
                end = (packet.dts or 0 if packet.pts is None else packet.pts) + (packet.duration or 0)
                ends[packet.stream] = max(ends.get(packet.stream, 0), end)
            if packet.stream is not stream:
                continue
            if packet.size and packet.is_discard:
                n_hidden += 1
            elif packet.size:
                shown.append(_Packet(pts=packet.pts, dts=packet.dts, is_key=packet.is_keyframe))
            if first is None:
                first = next((frame for frame in packet.decode() if isinstance(frame, VideoFrame)), None)
    except av.FFmpegError as err:
        broken_by = err
    if first is None:
        raise BadInput(f"{uri}: {_why_no_frame(len(shown), broken_by)}")
    return _Demuxed(
        packets=shown,
        n_hidden=n_hidden,
        first=first,
        ends_s=max(float(end * (of.time_base or 0)) for of, end in ends.items()) - (container.start_time or 0) / 1e6,
        ends_inside=last is not None and last.is_corrupt,
        broken_by=broken_by,
    )


def _why_no_frame(n_packets: int, broken_by: av.FFmpegError | None) -> str:
    if broken_by is not None:
        return f"is damaged before its first frame ({why(broken_by)}); fetch it again, or re-encode it"
    if n_packets:
        return f"none of its {n_packets} frames decodes; fetch it again, or re-encode it"
    return "its video stream has no frames; fetch it again"


def _promised_s(container: InputContainer, stream: VideoStream) -> float | None:
    kind = family(container)
    if kind == "avi" and stream.time_base:  # FFmpeg shortens its length to what is there, and leaves the count
        return float(stream.frames * stream.time_base) or None
    if kind == "mov" and not stream.frames:  # in fragments; FFmpeg adds up the lengths of those that are there
        return None
    if kind == "mov" and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if kind in _PROMISING_CONTAINERS and container.duration else None


def _damage(path: str, container: InputContainer, stream: VideoStream, demuxed: _Demuxed) -> DamageType | None:
    if family(container) == "mov":  # only here the header's count is one entry per frame
        is_short = len(demuxed.packets) + demuxed.n_hidden < stream.frames
        if is_short or demuxed.broken_by is not None:
            return "EndsEarly" if is_mp4_cut_off(path) else "DamagedIndex"
    elif demuxed.broken_by is not None:
        return "DamagedIndex"
    elif demuxed.ends_s < (_promised_s(container, stream) or 0) - _SHORT_OF_S:
        return "EndsEarly"
    return "EndsEarly" if demuxed.ends_inside else None


def _times(uri: str, container: InputContainer, stream: VideoStream, demuxed: _Demuxed) -> NDArray[np.int64]:
    packets, first = demuxed.packets, demuxed.first
    ticks = [packet.pts for packet in packets]
    # AVI stores no presentation times and FFmpeg's guess is wrong with B-frames. Decode times are the same grid over
    # a whole film, shifted by the reordering.
    if None in ticks or family(container) == "avi":
        ticks = [packet.dts for packet in packets]
    elif first.pts is not None:
        # A recording that begins in the middle of a group of pictures: what needs the frames before is never shown.
        ticks = [tick for tick in ticks if tick is not None and tick >= first.pts]
    known = sorted(tick for tick in ticks if tick is not None)
    if len(known) < len(ticks):
        n_missing = len(ticks) - len(known)
        raise BadInput(f"{uri}: {n_missing} of {len(ticks)} frames have no time; copy it into an mp4 or mkv first")
    assert stream.time_base is not None, "a demuxed stream has a clock"
    pts_us = np.array([ticks_to_us(tick - known[0], stream.time_base) for tick in known], dtype=np.int64)
    steps = np.arange(len(pts_us))
    return np.maximum.accumulate(pts_us - steps) + steps  # rising by at least 1


def _upright_size(uri: str, stream: VideoStream, first: VideoFrame) -> tuple[int, int]:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = round(first.width * aspect), first.height
    if width < 1 or width * height > PIXELS_MAX:
        raise BadInput(f"{uri}: {first.width}x{height} with pixels of {aspect} is no picture; re-encode the film")
    return (height, width) if quarter_turns(first) % 2 else (width, height)


def _mean_rate(stream: VideoStream, pts_us: NDArray[np.int64]) -> float:
    if len(pts_us) > 1:
        return (len(pts_us) - 1) * 1e6 / int(pts_us[-1])
    return float(stream.average_rate or stream.guessed_rate or 0)


def _decoder_for(container: InputContainer, stream: VideoStream, demuxed: _Demuxed) -> Decoder:
    """decord where it is known to be right; PyAV decodes the same bits everywhere else."""
    context, first, packets = stream.codec_context, demuxed.first, demuxed.packets
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    rank_of: dict[int | None, int] = {pts: rank for rank, pts in enumerate(times)}
    # decord takes a key frame's place among the packets for its place among the pictures; with an open group of
    # pictures these differ, and its seeks land some frames off.
    keys_in_place = all(rank_of.get(packet.pts) == i for i, packet in enumerate(packets) if packet.is_key)
    is_right = (
        context.codec.canonical_name in _DECORD_CODECS
        and context.pix_fmt in _DECORD_PIXELS
        and family(container) in _DECORD_CONTAINERS
        and len(container.streams.video) == 1  # with several, decord chooses by its own rule
        and context.field_order in (0, _PROGRESSIVE)  # 0: not said
        and not first.interlaced_frame
        and quarter_turns(first) == 0
        and stream.sample_aspect_ratio in (None, 1)  # scaling one side only, the two differ by a grey level or ten
        and demuxed.n_hidden == 0
        and len(rank_of) == len(packets)  # no time is missing or there twice
        and keys_in_place
    )
    return "decord" if is_right else "pyav"
