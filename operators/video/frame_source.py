"""Frames of a film, in order, with their exact times, from a process that can be killed.

H, W upright picture with square pixels, C = 3 (RGB), S slots of the ring.
"""

import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from operators.video.decode_process import DecodeProcess
from schemas.errors import BadInput, Interrupted
from schemas.video import Decoder, Frame, Video

# decord gets less time for a frame than PyAV, which stands behind it. A frame of 4K takes it 0.1 s, a seek through all
# that fits into _DECORD_BYTES_MAX some seconds on a busy core.
_DECORD_DEADLINE_S = 20.0
_START_S = 60.0  # loading both decoders takes 0.4 s, and many times that while all cores start processes
# decord decodes ahead without bound (2 GB in 8 s at 1080p, measured on a paused reader), so it gets only what may lie
# in memory to the film's last frame. PyAV decodes the same bits frame by frame.
_DECORD_BYTES_MAX = 256 * 2**20


class _Lost(Exception):
    """The child hung or died; it is gone."""


class _Broken(Exception):
    """The decoder stopped before the last frame."""


class FrameSource:
    """Films in, facts and frames out, one film at a time. Close it, or use it in a `with`.

    Looking and decoding run in one child process, started at the first use and used again for the next film. A reader
    may stop early (close the generator, or just start another read): the source stays usable. If this process dies, by
    SIGKILL too, the child ends by itself. Where decord refuses a film, stops, hangs or dies, PyAV goes on from that
    very frame, in a fresh process if need be; both give the same bits.
    Takes: `deadline_s`, how long the decoder may show no sign of life: no frame, no packet of a film that is looked at,
    no frame passed over on the way to the first.
    Not promised: use from several threads, or two reads side by side (the second ends the first with ValueError).
    """

    def __init__(self, *, deadline_s: float = 60.0):
        self.deadline_s = deadline_s  # 60: a long group of pictures in 4K on a busy core takes some seconds
        self.taken_over = False  # whether the last read was decord's to do, and PyAV had to
        self._failed_decord: set[tuple[str, str]] = set()  # films it is not asked for again: it may hang each time
        self._child: DecodeProcess | None = None
        self._n_asked = 0

    def probe(self, path: str, *, uri: str, video_id: str) -> Video:
        """As operators.video.probe.probe, where a film that makes FFmpeg hang or crash harms nobody.

        Raises: BadInput, OSError; Interrupted when the process showed no sign of life, or died.
        """
        os.stat(path)  # noqa: PTH116  a missing file is an OSError here, with its name
        child = self._living_child()
        number = self._ask(child, do="probe", path=_absolute(path), uri=uri, video_id=video_id)
        try:
            answer = self._answer(child, number, self.deadline_s)
        except _Lost as err:
            raise Interrupted(f"{uri}: while its index was read, {err}") from err
        if "bad" in answer:
            raise BadInput(answer["bad"])
        if "os_error" in answer:
            raise OSError(*answer["os_error"], path)
        return Video(**answer["video"], pts_us=child.times(answer["n_frames"]))

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
        or ends before its last frame; Interrupted when PyAV, too, showed no sign of life in time, or died.
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
        return self._frames(video, path, first_frame, first_frame + n_frames, width, height)

    def _frames(self, video: Video, path: str, at: int, end: int, width: int, height: int) -> Iterator[Frame]:
        decoder = decoder_within_memory(video, at, width, height)
        if (video.video_id, path) in self._failed_decord:
            decoder = "pyav"
        self.taken_over = False
        while at < end:
            try:
                for frame in self._decoded(video, path, decoder, at, end, width, height):
                    at += 1
                    yield frame
            except (_Lost, _Broken) as err:
                if decoder == "pyav":
                    raise _what_to_say(video, at, err) from err
                decoder = "pyav"
                self.taken_over = True
                self._failed_decord.add((video.video_id, path))

    def _decoded(
        self, video: Video, path: str, decoder: Decoder, first: int, end: int, width: int, height: int
    ) -> Iterator[Frame]:
        """Raises: _Lost, _Broken, OSError at the first frame that does not come."""
        child = self._living_child()
        slots_SHWC = child.slots(height, width)
        number = self._ask(
            child,
            do="read",
            path=_absolute(path),
            uri=video.uri,
            decoder=decoder,
            n_film=video.n_frames,
            first_frame=first,
            n_frames=end - first,
            start_us=int(video.pts_us[first]),
            width=width,
            height=height,
            slots=len(slots_SHWC),
        )
        deadline_s = min(self.deadline_s, _DECORD_DEADLINE_S) if decoder == "decord" else self.deadline_s
        # Half the ring at once: each message wakes a thread of the child, which takes the interpreter from its decoder.
        give_back, n_taken = len(slots_SHWC) // 2, 0
        for frame_index in range(first, end):
            if number != self._n_asked:
                raise ValueError(f"{video.uri}: its source began another read or was closed; use one source per reader")
            answer = self._answer(child, number, deadline_s)
            if "os_error" in answer:
                raise OSError(*answer["os_error"], path)
            if "slot" not in answer:
                raise _Broken(answer["end"] if "end" in answer else answer["bad"].removeprefix(f"{video.uri}: "))
            if _is_of_a_later_frame(answer["at_us"], video, frame_index):
                raise _Broken("the picture of that time is missing")
            rgb_HWC = slots_SHWC[answer["slot"]].copy()
            n_taken += 1
            if n_taken == give_back:
                child.say(n=number, taken=n_taken)
                n_taken = 0
            yield Frame(frame_index=frame_index, pts_us=int(video.pts_us[frame_index]), rgb_HWC=rgb_HWC)

    def _ask(self, child: DecodeProcess, **request: object) -> int:
        self._n_asked += 1
        child.say(n=self._n_asked, **request)
        return self._n_asked

    def _answer(self, child: DecodeProcess, number: int, deadline_s: float) -> dict[str, Any]:
        """What comes of a request next. Raises: _Lost when nothing comes in time, or ever."""
        give_up_at = time.monotonic() + (deadline_s if child.is_ready else _START_S)
        while True:
            answer = child.hear(give_up_at)
            if answer is None:
                self.close()
                raise _Lost(
                    f"the decoder showed no sign of life for {deadline_s:g} s and was stopped; allow it more with "
                    "--decode-deadline, or re-encode the film"
                )
            if "died" in answer or "crash" in answer:
                self.close()
                raise _Lost(f"the decoder died ({answer.get('died') or answer['crash']}); retry, or re-encode the film")
            if "ready" in answer or ("alive" in answer and answer["n"] == number):
                give_up_at = time.monotonic() + deadline_s
            elif answer["n"] == number:  # else it is left over from a reader that stopped early
                return answer

    def _living_child(self) -> DecodeProcess:
        if self._child is None or not self._child.is_alive():
            self.close()
            self._child = DecodeProcess()
        return self._child

    @property
    def child_pid(self) -> int | None:
        """The decoding process, for whoever measures or kills it. None: not started."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        """End the child. The next use starts another."""
        self._n_asked += 1  # a generator still held by someone must not listen to a pipe that is gone
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


def _is_of_a_later_frame(at_us: int | None, video: Video, frame_index: int) -> bool:
    """Whether a decoder passed over the frame without a word, as some do where the film is damaged."""
    return at_us is not None and frame_index + 1 < video.n_frames and at_us >= video.pts_us[frame_index + 1]


def _what_to_say(video: Video, at: int, err: _Lost | _Broken) -> Interrupted | BadInput:
    if isinstance(err, _Lost):
        return Interrupted(f"{video.uri}: frame {at} of {video.n_frames}: {err}")
    if at == 0:
        return BadInput(f"{video.uri}: its first frame does not decode: {err}; fetch it again, or re-encode it")
    done = f"decodes {at} of {video.n_frames} frames, then: {err}"
    return BadInput(f"{video.uri}: {done}; re-encode the film, or cut it before frame {at}")


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100  without resolving links; FFmpeg takes `a:b` for a protocol
