"""Decode with PyAV: any film FFmpeg knows, upright, scaled, frame by frame, with nothing read ahead."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from operators.video.film_file import (
    family,
    film_stream,
    open_film,
    pictures,
    quarter_turns,
    ticks_to_us,
)

# In AVI a frame's time follows the decode order, so seeks there land on the wrong picture: such films are counted
# through from their start.
_TIMED_CONTAINERS = frozenset({"mov", "matroska", "mpegts"})
_STEPS_BACK_S = (0, 1, 10)  # an open group of pictures starts with frames that need the group before
_TURNS = {0: (), 1: (("transpose", "cclock"),), 2: (("hflip", None), ("vflip", None)), 3: (("transpose", "clock"),)}


def pyav_pictures(
    path: str,
    *,
    uri: str,
    first_frame: int,
    start_us: int,
    width: int,
    height: int,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int | None, NDArray[np.uint8]]]:
    """The time and the (H, W, 3) RGB picture of each frame from `first_frame` to the end.

    A picture is valid until the next one is asked for. The time is in microseconds from the film's first frame, as it
    was decoded; None where the container's times cannot be trusted.
    Takes: `start_us`, the first frame's time from the probe; `width` and `height` of the upright picture; `alive` is
    called for each frame that is passed over.
    Raises: BadInput or av.FFmpegError where decoding stops.
    """
    if first_frame:
        with open_film(path, uri=uri) as container:
            found = _from_time(container, _stream_of(container), start_us, alive)
            if found is not None:
                yield from _pictures(*found, width, height)
                return
    with open_film(path, uri=uri) as container:
        stream = _stream_of(container)
        frames = pictures(container, stream)
        first = next(frames, None)
        if first is not None:
            passed = islice(_each(alive, chain([first], frames)), first_frame, None)
            yield from _pictures(passed, _clock(container, stream, first), width, height)


def _stream_of(container: InputContainer) -> VideoStream:
    stream = film_stream(container)
    assert stream is not None, "the probe found one"
    return stream


def _each(alive: Callable[[], None], frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    for frame in frames:
        alive()
        yield frame


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """Of a film whose frames carry their own times."""

    origin: int  # of the first frame, in ticks
    time_base: Fraction

    def us(self, pts: int) -> int:
        return ticks_to_us(pts - self.origin, self.time_base)


def _clock(container: InputContainer, stream: VideoStream, first: VideoFrame) -> _Clock | None:
    if first.pts is None or stream.time_base is None or family(container) not in _TIMED_CONTAINERS:
        return None
    return _Clock(origin=first.pts, time_base=stream.time_base)


def _from_time(
    container: InputContainer, stream: VideoStream, start_us: int, alive: Callable[[], None]
) -> tuple[Iterator[VideoFrame], _Clock] | None:
    """The frames from this time on; None where times cannot be trusted to find it."""
    first = next(pictures(container, stream), None)
    clock = None if first is None else _clock(container, stream, first)
    if clock is None:
        return None
    for back_s in _STEPS_BACK_S:
        ticks = int((max(start_us - back_s * 1_000_000, 0)) / (clock.time_base * 1_000_000))
        try:
            container.seek(clock.origin + ticks, stream=stream)
        except av.FFmpegError:  # the index is at the end of some films, and that may be missing
            return None
        frames = _each(alive, pictures(container, stream))
        landed_on_key = None
        for frame in frames:
            if frame.pts is None:
                return None
            if landed_on_key is None:
                landed_on_key = frame.key_frame
            at_us = clock.us(frame.pts)
            if at_us == start_us and landed_on_key:
                return chain([frame], frames), clock
            if at_us >= start_us:
                break
    return None


def _pictures(
    frames: Iterator[VideoFrame], clock: _Clock | None, width: int, height: int
) -> Iterator[tuple[int | None, NDArray[np.uint8]]]:
    graph: Graph | None = None
    for frame in frames:
        graph = graph or _upright_graph(frame, width, height)
        graph.push(frame)
        shown = graph.pull()
        assert isinstance(shown, VideoFrame)
        plane = shown.planes[0]
        at_us = None if clock is None or frame.pts is None else clock.us(frame.pts)
        yield at_us, np.ndarray((height, width, 3), np.uint8, memoryview(plane), strides=(plane.line_size, 3, 1))


def _upright_graph(frame: VideoFrame, width: int, height: int) -> Graph:
    turns = quarter_turns(frame)
    scaled = f"{height}:{width}" if turns % 2 else f"{width}:{height}"
    graph = Graph()
    nodes = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
        # bilinear, as decord's older FFmpeg scales by default: both decoders then give the same bits
        graph.add("scale", f"{scaled}:flags=bilinear"),
        graph.add("format", "rgb24"),
        *(graph.add(name, args) for name, args in _TURNS[turns]),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph
