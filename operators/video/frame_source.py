"""Frames of a film, in order, with their exact times, from a process that can be killed.

H, W upright picture with square pixels, C = 3 (RGB), S slots of the ring.
"""

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from schemas.errors import BadInput, Interrupted
from schemas.video import Decoder, Frame, Video

_IMPORT_ROOT = Path(__file__).resolve().parents[2]
_RING_BYTES = 48 * 2**20  # read ahead: eight frames of 1080p. More only delays the moment a slow reader is noticed
_SLOTS_MAX = 8  # small frames too: a few hide the reader's jitter, the rest is decoded for nothing when it stops early
_SLOTS_MIN = 2  # one is filled while the other is copied out
# decord decodes ahead without bound (2 GB in 8 s at 1080p, measured on a paused reader), so it gets only what may lie
# in memory to the film's last frame. PyAV decodes the same bits frame by frame.
_DECORD_BYTES_MAX = 256 * 2**20


class FrameSource:
    """Films in, frames out, one film at a time. Close it, or use it in a `with`.

    Decoding runs in one child process, started at the first read and used again for the next film. A reader may stop
    early (close the generator, or just start another read): the source stays usable. If this process dies, by SIGKILL
    too, the child ends by itself.
    Takes: `deadline_s`, how long one frame may take, seeks included.
    Not promised: use from several threads, or two reads side by side (the second ends the first with ValueError).
    """

    def __init__(self, *, deadline_s: float = 60.0):
        self.deadline_s = deadline_s  # 60: a long group of pictures in 4K on a busy core takes some seconds
        self._child: _DecodeProcess | None = None
        self._n_reads = 0

    def read(
        self,
        video: Video,
        path: str,
        *,
        first_frame: int = 0,
        n_frames: int | None = None,
        longer_side_px: int | None = None,
    ) -> Iterator[Frame]:
        """Frames `first_frame` to `first_frame + n_frames` (None: to the end), in order.

        Takes: the probed row and the local file it was probed from. With `longer_side_px` below the film's longer
        side, frames are scaled down to it while decoding.
        Raises: ValueError for a range outside the film; OSError when the file is gone; BadInput when the film breaks
        or ends before its last frame; Interrupted when no frame came in time, or the decoder died.
        Not promised: that damage which FFmpeg conceals (grey blocks, smears) is noticed.
        """
        n_frames = video.n_frames - first_frame if n_frames is None else n_frames
        if first_frame < 0 or n_frames < 0 or first_frame + n_frames > video.n_frames:
            asked = f"frames {first_frame} to {first_frame + n_frames}"
            raise ValueError(f"{video.uri}: {asked} asked for, it has {video.n_frames}; stay inside")
        if longer_side_px is not None and longer_side_px < 1:
            raise ValueError(f"{video.uri}: longer_side_px is {longer_side_px}; give at least 1")
        os.stat(path)  # noqa: PTH116  a missing file is an OSError here, with its name
        width, height = _shown_size(video, longer_side_px)
        return self._frames(video, path, first_frame, n_frames, width, height)

    def _frames(
        self, video: Video, path: str, first_frame: int, n_frames: int, width: int, height: int
    ) -> Iterator[Frame]:
        if n_frames == 0:
            return
        child = self._living_child()
        self._n_reads += 1
        number = self._n_reads
        slots_SHWC = child.slots(height, width)
        child.say(
            read=number,
            path=os.path.abspath(path),  # noqa: PTH100  without resolving links; FFmpeg takes `a:b` for a protocol
            uri=video.uri,
            decoder=decoder_within_memory(video, first_frame, width, height),
            n_film=video.n_frames,
            first_frame=first_frame,
            pts_us=video.pts_us[first_frame : first_frame + n_frames].tolist(),
            width=width,
            height=height,
            slots=len(slots_SHWC),
        )
        # Half the ring at once: each message wakes a thread of the child, which takes the interpreter from its decoder.
        give_back, n_taken = len(slots_SHWC) // 2, 0
        for frame_index in range(first_frame, first_frame + n_frames):
            if number != self._n_reads:
                raise ValueError(f"{video.uri}: its source began another read or was closed; use one source per reader")
            slot = self._next_slot(child, number, video, frame_index)
            rgb_HWC = slots_SHWC[slot].copy()
            n_taken += 1
            if n_taken == give_back:
                child.say(taken=number, n=n_taken)
                n_taken = 0
            yield Frame(frame_index=frame_index, pts_us=int(video.pts_us[frame_index]), rgb_HWC=rgb_HWC)

    def _next_slot(self, child: "_DecodeProcess", number: int, video: Video, frame_index: int) -> int:
        where = f"{video.uri}: frame {frame_index} of {video.n_frames}"
        give_up_at = time.monotonic() + self.deadline_s
        while True:
            answer = child.hear(give_up_at)
            if answer is None:
                self.close()
                raise Interrupted(
                    f"{where} did not come within {self.deadline_s:g} s and its decoder was stopped; retry"
                )
            if "died" in answer or "crash" in answer:
                self.close()
                raise Interrupted(f"{where}: the decoder died ({answer.get('died') or answer['crash']}); retry")
            if answer["read"] != number:
                continue  # left over from a reader that stopped early
            if "end" in answer:
                done = f"decodes {frame_index} of {video.n_frames} frames, then: {answer['end']}"
                raise BadInput(f"{video.uri}: {done}; re-encode the film, or cut it before frame {frame_index}")
            return int(answer["slot"])

    def _living_child(self) -> "_DecodeProcess":
        if self._child is None or not self._child.is_alive():
            self.close()
            self._child = _DecodeProcess()
        return self._child

    @property
    def child_pid(self) -> int | None:
        """The decoding process, for whoever measures or kills it. None: not started."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        """End the child. The next read starts another."""
        self._n_reads += 1  # a generator still held by someone must not listen to a pipe that is gone
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _DecodeProcess:
    """The parent's end: a ring of shared memory, a pipe to the child and one from it."""

    def __init__(self) -> None:
        # It has no name on disk: nothing is left after any kill.
        self._ring = os.fdopen(os.memfd_create("latentreel-frames"), "r+b", buffering=0)
        self._ring_bytes = 0
        self._heard = b""
        self._process = subprocess.Popen(
            # -P and the path: our own module is found from any folder, and no file lying there is imported instead
            [sys.executable, "-P", "-m", "operators.video.decode_child", str(self._ring.fileno())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_IMPORT_ROOT), os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._ring.fileno()],
        )
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)

    @property
    def pid(self) -> int:
        return self._process.pid

    def slots(self, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """(S, H, W, 3) views of the ring. It only grows: a child that still writes an old picture never faults."""
        frame_bytes = height * width * 3
        n_slots = max(_SLOTS_MIN, min(_SLOTS_MAX, _RING_BYTES // frame_bytes))
        needed = n_slots * frame_bytes
        if needed > self._ring_bytes:
            self._ring.truncate(needed)
            self._ring_bytes = needed
        ring = mmap.mmap(self._ring.fileno(), needed, prot=mmap.PROT_READ)
        return np.frombuffer(ring, np.uint8).reshape(n_slots, height, width, 3)

    def say(self, **message: object) -> None:
        with suppress(BrokenPipeError):  # it died; hear() tells how
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()

    def hear(self, give_up_at: float) -> dict[str, Any] | None:
        """The next message; {"died": how} when there will be none; None when it is too late."""
        while b"\n" not in self._heard:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0 or not self._poll.poll(left_s * 1000):
                return None
            heard = os.read(self._stdout.fileno(), 65536)
            if not heard:
                return {"died": _how_it_ended(self._process.wait())}
            self._heard += heard
        line, self._heard = self._heard.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()  # decord ignores SIGTERM while it decodes
        self._process.wait()
        with suppress(BrokenPipeError):  # what was not sent need not arrive
            self._stdin.close()
        self._stdout.close()
        self._ring.close()


def _shown_size(video: Video, longer_side_px: int | None) -> tuple[int, int]:
    longer = max(video.width, video.height)
    if longer_side_px is None or longer_side_px >= longer:
        return video.width, video.height
    scale = longer_side_px / longer
    return max(1, round(video.width * scale)), max(1, round(video.height * scale))


def decoder_within_memory(video: Video, first_frame: int, width: int, height: int) -> Decoder:
    """The probe's choice, or PyAV where decord could fill the memory."""
    ahead_bytes = (video.n_frames - first_frame) * width * height * 3 + video.bytes
    return "pyav" if ahead_bytes > _DECORD_BYTES_MAX else video.decoder


def _how_it_ended(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"
