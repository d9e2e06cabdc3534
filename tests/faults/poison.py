"""Broken films that the tests make, and decoders that really hang or crash on a film."""

import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import numpy as np

from tests.operators.video_clips import write_clip

LOOK_EVERY_S = 0.003  # decoding what `write_long` writes takes half a second


def write_zoo(folder: Path) -> None:
    """One file for each way in which a film goes wrong. Nothing in it is a good film."""
    good = write_clip(folder / "whole.mp4", n_frames=50, size=(640, 360))
    whole = good.read_bytes()
    good.unlink()
    (folder / "moov-cut-off.mp4").write_bytes(whole[: whole.index(b"moov") + 40])
    for seed in range(3):
        (folder / f"flipped-{seed}.mp4").write_bytes(_flipped(whole, Random(seed), n=50))
    (folder / "absurd-header.mp4").write_bytes(_claiming(whole, 65520, 65520))
    (folder / "text.mp4").write_text("A long time ago\n" * 50)
    write_clip(folder / "one-frame.mp4", n_frames=1)
    (folder / "no-frame.mp4").write_bytes(_without_frames(whole))
    _write_sound(folder / "sound-only.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()


def write_long(path: Path, *, shade: int) -> Path:
    """A film whose decoding is long enough to be caught at. No two shades are the same film."""
    frame_HWC = np.full((360, 640, 3), shade, np.uint8)
    frame_HWC[::8] += 40
    pictures = (np.roll(frame_HWC, i, axis=0) for i in range(600))
    return write_clip(path, size=(640, 360), options={"preset": "ultrafast"}, frames=pictures)


def hang(pid: int) -> None:
    """The process answers nothing any more, SIGTERM neither."""
    os.kill(pid, signal.SIGSTOP)


def crash(pid: int) -> None:
    os.kill(pid, signal.SIGSEGV)


def kill_its_worker(pid: int) -> None:
    """What the kernel does to the process that works on a film when memory runs out."""
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)


@contextmanager
def decoders_watched(actions: dict[Path, Callable[[int], None]]) -> Iterator[list[Path]]:
    """While the block runs, the action of a film is done once to each decoding process that has it open.

    Gives the films whose action was done, as often as it was.
    """
    caught: list[Path] = []
    over = threading.Event()

    def watch() -> None:
        done: set[int] = set()
        while not over.wait(LOOK_EVERY_S):
            for pid in _decoders() - done:
                for path in _open_files(pid) & actions.keys():
                    with suppress(ProcessLookupError, FileNotFoundError):
                        actions[path](pid)
                        caught.append(path)
                        done.add(pid)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield caught
    finally:
        over.set()
        watcher.join()


def _decoders() -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"operators.video.decode_child" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


def _open_files(pid: int) -> set[Path]:
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(link.readlink())
    return found


def _flipped(whole: bytes, random: Random, *, n: int) -> bytes:
    damaged = bytearray(whole)
    for place in random.sample(range(len(damaged)), n):
        damaged[place] ^= 1 << random.randrange(8)
    return bytes(damaged)


def _claiming(whole: bytes, width: int, height: int) -> bytes:
    """Another size in the sample entry of the index; the pictures stay what they are."""
    damaged = bytearray(whole)
    entry = damaged.index(b"avc1", damaged.index(b"stsd"))
    damaged[entry + 28 : entry + 32] = struct.pack(">HH", width, height)
    return bytes(damaged)


def _without_frames(whole: bytes) -> bytes:
    """The tables of the index say that there are none."""
    emptied = bytearray(whole)
    for table, count_at in ((b"stts", 8), (b"ctts", 8), (b"stsc", 8), (b"stco", 8), (b"stss", 8), (b"stsz", 12)):
        start = emptied.index(table, emptied.index(b"moov"))
        emptied[start + count_at : start + count_at + 4] = bytes(4)
    return bytes(emptied)


def _write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        tone = np.sin(np.arange(44100) * 0.05).astype(np.float32)
        for start in range(0, len(tone) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
