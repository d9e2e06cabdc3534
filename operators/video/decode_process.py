"""Start, ask, hear and kill the process that decodes (operators/video/decode_child.py).

H, W, C = 3 (RGB) of a picture, S slots of the ring, N frames of a film.
"""

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IMPORT_ROOT = Path(__file__).resolve().parents[2]
_RING_BYTES = 48 * 2**20  # read ahead: eight frames of 1080p. More only delays the moment a slow reader is noticed
_SLOTS_MAX = 8  # small frames too: a few hide the reader's jitter, the rest is decoded for nothing when it stops early
_SLOTS_MIN = 2  # one is filled while the other is copied out
_KILLED_WITHIN_S = 5.0  # a process that waits for a dead disk outlives SIGKILL; nobody waits for it


class DecodeProcess:
    """The parent's end: a ring of shared memory, a pipe to the child and one from it."""

    def __init__(self) -> None:
        # It has no name on disk: nothing is left after any kill.
        self._ring = os.fdopen(os.memfd_create("latentreel-frames"), "r+b", buffering=0)
        self._heard = b""
        self.is_ready = False
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

    def slots(self, height: int, width: int) -> NDArray[np.uint8]:
        """(S, H, W, 3) views of the ring. It only grows: a child that still writes an old picture never faults."""
        frame_bytes = height * width * 3
        n_slots = max(_SLOTS_MIN, min(_SLOTS_MAX, _RING_BYTES // frame_bytes))
        needed = n_slots * frame_bytes
        if needed > os.fstat(self._ring.fileno()).st_size:
            self._ring.truncate(needed)
        ring = mmap.mmap(self._ring.fileno(), needed, prot=mmap.PROT_READ)
        return np.frombuffer(ring, np.uint8).reshape(n_slots, height, width, 3)

    def times(self, n_frames: int) -> NDArray[np.int64]:
        """(N,) pts_us that a probe has left at the ring's start."""
        return np.frombuffer(os.pread(self._ring.fileno(), 8 * n_frames, 0), np.int64)

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
        self.is_ready = True  # `ready` is the first
        return message

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()  # decord ignores SIGTERM while it decodes
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILLED_WITHIN_S)
        with suppress(BrokenPipeError):  # what was not sent need not arrive
            self._stdin.close()
        self._stdout.close()
        self._ring.close()


def _how_it_ended(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"
