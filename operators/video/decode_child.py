"""The process that decodes: `python -m operators.video.decode_child RING_FD`, started by FrameSource.

A decoder may hang, crash or swallow the machine's memory; here it can be killed. It never chooses: the parent says what
to do, with which decoder, and what next. Lines of JSON come in on stdin, each with the number `n` of its request:

    do: probe | read    what to do; a new request ends the one before
    taken               so many slots of the ring may be filled again

and go out on stdout, with the number of the request that they answer:

    ready               once, before anything else
    alive               now and then, from work that shows nothing yet
    video, n_frames     the film; its pts_us lie at the ring's start, as int64
    slot, at_us         a picture lies in the ring; its time, where the decoder says one
    end                 no more pictures come; why, where there should have been more
    bad                 a BadInput's words
    os_error            errno, words
    crash               a fault of ours or of the machine; the process ends
"""

import json
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import av
import decord
import numpy as np
from numpy.typing import NDArray

from operators.video.decord_pictures import decord_pictures
from operators.video.film_file import why
from operators.video.probe import probe
from operators.video.pyav_pictures import pyav_pictures
from schemas.errors import BadInput

_ALIVE_EVERY_S = 1.0  # far below any deadline, and nothing beside the work
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
    server = _Server(ring_fd, out_fd)
    try:
        server.serve()
    except Exception as err:
        server.say(crash=f"{type(err).__name__}: {err}")
        raise


class _Superseded(Exception):
    """Another request came: nobody waits for this one any more."""


class _Server:
    """One request at a time; what it is told meanwhile is heard between two pictures or packets."""

    def __init__(self, ring_fd: int, out_fd: int) -> None:
        self._ring_fd, self._out_fd = ring_fd, out_fd
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._request: _Message = {"n": 0}
        self._n_free = 0  # slots of the ring
        self._said_at = 0.0

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        self.say(ready=True)
        is_idle = True
        while True:
            try:
                if is_idle:
                    self._hear_one()
                else:
                    self._work()
                is_idle = True
            except _Superseded:
                is_idle = False

    def _work(self) -> None:
        try:
            if self._request["do"] == "probe":
                self._probe()
            else:
                self._read()
        except BadInput as err:
            self.say(bad=str(err))
        except OSError as err:
            self.say(os_error=[err.errno, err.strerror or str(err)])

    def _listen(self) -> None:
        """A thread, so that the parent's death is seen even while the main thread is deep inside a decoder."""
        for line in sys.stdin.buffer:
            self._messages.put(json.loads(line))
        os._exit(0)

    def say(self, **message: object) -> None:
        self._said_at = time.monotonic()
        os.write(self._out_fd, json.dumps({"n": self._request["n"], **message}).encode() + b"\n")

    def _hear_one(self) -> None:
        """Waits for a message. Raises: _Superseded when it is a request."""
        message = self._messages.get()
        if "do" in message:
            self._request = message
            raise _Superseded
        if message["n"] == self._request["n"]:  # else it is for a read that is over
            self._n_free += message["taken"]

    def _alive(self) -> None:
        if time.monotonic() - self._said_at > _ALIVE_EVERY_S:
            self.say(alive=True)
        while not self._messages.empty():
            self._hear_one()

    def _probe(self) -> None:
        request = self._request
        video = probe(request["path"], uri=request["uri"], video_id=request["video_id"], alive=self._alive)
        facts = {name: value for name, value in vars(video).items() if name != "pts_us"}
        os.pwrite(self._ring_fd, video.pts_us.tobytes(), 0)  # the ring grows where it has to
        self.say(video=facts, n_frames=video.n_frames)

    def _read(self) -> None:
        request = self._request
        shape = (request["slots"], request["height"], request["width"], 3)
        ring = np.frombuffer(mmap.mmap(self._ring_fd, int(np.prod(shape))), np.uint8).reshape(shape)  # S slots, H, W, C
        self._n_free, n_sent = len(ring), 0
        stopped_by: str | None = None
        try:
            for at_us, picture_HWC in self._pictures():
                while self._n_free == 0 or not self._messages.empty():
                    self._hear_one()
                slot = n_sent % len(ring)
                ring[slot] = picture_HWC
                self.say(slot=slot, at_us=at_us)
                self._n_free -= 1
                n_sent += 1
                if n_sent == request["n_frames"]:
                    break
            else:
                stopped_by = "the file ends"
        except av.FFmpegError as err:
            stopped_by = why(err)
        self.say(end=stopped_by)

    def _pictures(self) -> Iterator[tuple[int | None, NDArray[np.uint8]]]:
        request = self._request
        picked = {name: request[name] for name in ("first_frame", "width", "height")}
        if request["decoder"] == "pyav":
            yield from pyav_pictures(
                request["path"], uri=request["uri"], start_us=request["start_us"], alive=self._alive, **picked
            )
            return
        try:
            for picture_HWC in decord_pictures(
                request["path"], n_frames=request["n_frames"], n_film=request["n_film"], **picked
            ):
                yield None, picture_HWC
        except (decord.DECORDError, RuntimeError, AssertionError) as err:
            raise BadInput(f"{request['uri']}: decord: {err}") from err


if __name__ == "__main__":
    main()
