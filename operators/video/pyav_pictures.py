"""Decode with PyAV: any film FFmpeg knows, upright, scaled, frame by frame, with nothing read ahead."""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from operators.video.film_file import family, film_stream, open_film, quarter_turns, ticks_to_us

# In AVI a frame's time follows the decode order, so seeks there land on the wrong picture: such films are counted
# through from their start.
_TIMED_CONTAINERS = frozenset({"mov", "matroska", "mpegts"})
_STEPS_BACK_S = (0, 1, 10)  # an open group of pictures starts with frames that need the group before
_TURNS = {0: (), 1: (("transpose", "cclock"),), 2: (("hflip", None), ("vflip", None)), 3: (("transpose", "clock"),)}


def pyav_pictures(
    path: str, *, uri: str, first_frame: int, start_us: int, width: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) RGB pictures from `first_frame` to the end; each is valid until the next one is asked for.

    Takes: `start_us`, the first frame's time from the probe; `width` and `height` of the upright picture.
    Raises: BadInput or av.FFmpegError where decoding stops.
    """
    with open_film(path, uri=uri) as container:
        stream = film_stream(container)
        assert stream is not None, "the probe found one"
        frames = _from_time(container, stream, start_us) if first_frame else container.decode(stream)
        if frames is not None:
            yield from _pictures(frames, width, height)
            return
    with open_film(path, uri=uri) as container:
        stream = film_stream(container)
        assert stream is not None, "the probe found one"
        yield from _pictures(islice(container.decode(stream), first_frame, None), width, height)


def _from_time(container: InputContainer, stream: VideoStream, start_us: int) -> Iterator[VideoFrame] | None:
    """The frames from this time on; None where times cannot be trusted to find it."""
    first = next(container.decode(stream), None)
    origin = first.pts if first else None
    if origin is None or stream.time_base is None or family(container) not in _TIMED_CONTAINERS:
        return None
    for back_s in _STEPS_BACK_S:
        ticks = int((max(start_us - back_s * 1_000_000, 0)) / (stream.time_base * 1_000_000))
        container.seek(origin + ticks, stream=stream)
        frames = container.decode(stream)
        landed_on_key = None
        for frame in frames:
            if frame.pts is None:
                return None
            if landed_on_key is None:
                landed_on_key = frame.key_frame
            at_us = ticks_to_us(frame.pts - origin, stream.time_base)
            if at_us == start_us and landed_on_key:
                return chain([frame], frames)
            if at_us >= start_us:
                break
    return None


def _pictures(frames: Iterator[VideoFrame], width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    graph: Graph | None = None
    for frame in frames:
        graph = graph or _upright_graph(frame, width, height)
        graph.push(frame)
        shown = graph.pull()
        assert isinstance(shown, VideoFrame)
        plane = shown.planes[0]
        yield np.ndarray((height, width, 3), np.uint8, memoryview(plane), strides=(plane.line_size, 3, 1))


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
