"""The process that decodes: `python -m operators.video.decode_child RING_FD`, started by FrameSource.

A decoder may hang, crash or swallow the machine's memory; here it can be killed. Lines of JSON come in on stdin:
a request (`read`, `path`, ...) or `taken`, which gives `n` slots of the ring back. Lines go out on stdout: `slot` for
a picture that lies in the ring, `end` when there are no more, with the reason if there should have been.
Each line carries the number of the read it belongs to; a new request ends the one before.
"""

import errno
import json
import mmap
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import av
import decord
import numpy as np
from numpy.typing import NDArray

from operators.video.decord_pictures import decord_pictures
from operators.video.film_file import why
from operators.video.pyav_pictures import pyav_pictures
from schemas.errors import BadInput

_Message = dict[str, Any]


def main() -> None:
    """Serve one request after another until the parent closes its end of stdin, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    ring_fd = int(sys.argv[1])
    out_fd = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)  # from here on FFmpeg and decord talk to nobody: the parent says the one line that counts
    decord.logging.set_level(decord.logging.QUIET)
    messages: SimpleQueue[_Message] = SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    request = messages.get()
    try:
        while True:
            request = _serve(request, messages, ring_fd, out_fd) if "path" in request else messages.get()
    except Exception as err:
        _say(out_fd, crash=f"{type(err).__name__}: {err}")
        raise


def _listen(messages: SimpleQueue[_Message]) -> None:
    """A thread, so that the parent's death is seen even while the main thread is deep inside a decoder."""
    for line in sys.stdin.buffer:
        messages.put(json.loads(line))
    os._exit(0)


def _serve(request: _Message, messages: SimpleQueue[_Message], ring_fd: int, out_fd: int) -> _Message:
    """Decode into the ring until the read is done or another request comes; gives the next message to look at."""
    shape = (request["slots"], request["height"], request["width"], 3)
    ring = np.frombuffer(mmap.mmap(ring_fd, int(np.prod(shape))), np.uint8).reshape(shape)  # S slots, H, W, C
    n_free, n_sent = len(ring), 0
    stopped_by: str | None = None
    try:
        for picture_HWC in _pictures(request):
            while n_free == 0 or not messages.empty():
                message = messages.get()
                if message.get("taken") == request["read"]:
                    n_free += message["n"]
                elif "path" in message:
                    return message
            slot = n_sent % len(ring)
            ring[slot] = picture_HWC
            _say(out_fd, read=request["read"], slot=slot)
            n_free -= 1
            n_sent += 1
            if n_sent == len(request["pts_us"]):
                break
        else:
            stopped_by = "the file ends"
    except BadInput as err:
        stopped_by = str(err)
    except av.FFmpegError as err:
        if err.errno == errno.ENOMEM:  # the machine's fault, not the film's
            raise
        stopped_by = why(err)
    _say(out_fd, read=request["read"], end=stopped_by)
    return messages.get()


def _pictures(request: _Message) -> Iterator[NDArray[np.uint8]]:
    """From the decoder the request names; where decord stops, PyAV goes on, and tells exactly where the film breaks."""
    path, first_frame, pts_us = request["path"], request["first_frame"], request["pts_us"]
    size = {"width": request["width"], "height": request["height"]}
    n_done = 0
    if request["decoder"] == "decord":
        with suppress(decord.DECORDError, RuntimeError, AssertionError):
            for picture_HWC in decord_pictures(
                path, first_frame=first_frame, n_frames=len(pts_us), n_film=request["n_film"], **size
            ):
                yield picture_HWC
                n_done += 1
    if n_done < len(pts_us):
        start = {"first_frame": first_frame + n_done, "start_us": pts_us[n_done]}
        yield from pyav_pictures(path, uri=request["uri"], **start, **size)


def _say(out_fd: int, **message: object) -> None:
    os.write(out_fd, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
