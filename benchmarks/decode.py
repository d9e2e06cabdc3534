"""Frames per second of FrameSource over a bare decord loop: what a process of its own, with a deadline, costs.

    python -m benchmarks.decode

Both read the same film to its end at full size, opening included, in turns within one run; medians of the rounds.
The target is 0.9 of bare decord.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import decord
import numpy as np
from numpy.typing import NDArray

from operators.video.encode import write_mp4
from operators.video.frame_source import FrameSource, decoder_within_memory
from operators.video.probe import probe
from schemas.video import Video

_MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
_REAL = ("talk_d0.mp4", "talk_s18.mp4", "street_multiface.mp4")
_MADE = {"made_512p.mp4": (512, 512), "made_720p.mp4": (1280, 720), "made_1080p.mp4": (1920, 1080)}
_N_MADE = 80  # frames: long enough that opening the file does not count, short enough for all rounds
_ROUNDS = 5
_TARGET = 0.9


def main() -> None:
    """Print one line per film and decoder."""
    print(f"{'film':22} {'size':>10} {'decoder':>8} {'bare decord':>12} {'FrameSource':>12} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder, FrameSource() as source:
        for path in [*_made(Path(folder)), *(_MEDIA / name for name in _REAL if (_MEDIA / name).exists())]:
            video = probe(str(path), uri=path.name, video_id="")
            chosen = decoder_within_memory(video, 0, video.width, video.height)
            for decoder in dict.fromkeys((chosen, "pyav")):
                _compare(source, replace(video, decoder=decoder), str(path))


def _compare(source: FrameSource, video: Video, path: str) -> None:
    def ours() -> int:
        return sum(1 for _ in source.read(video, path))

    def bare() -> int:
        reader = decord.VideoReader(path, ctx=decord.cpu(0), width=video.width, height=video.height, num_threads=1)
        return sum(reader.next().asnumpy().size > 0 for _ in range(len(reader)))

    ours()  # starts the child and fills the file cache
    rounds = [(_fps(bare), _fps(ours)) for _ in range(_ROUNDS)]
    bare_fps, ours_fps = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(ours / bare for bare, ours in rounds)
    verdict = "" if ratio >= _TARGET else f"  below the target of {_TARGET}"
    size = f"{video.width}x{video.height}"
    print(
        f"{video.uri:22} {size:>10} {video.decoder:>8} {bare_fps:8.0f} fps {ours_fps:8.0f} fps {ratio:6.2f}{verdict}",
        flush=True,
    )


def _fps(read_all: Callable[[], int]) -> float:
    start_s = time.perf_counter()
    n_frames = read_all()
    return n_frames / (time.perf_counter() - start_s)


def _made(folder: Path) -> Iterator[Path]:
    for name, (width, height) in _MADE.items():
        write_mp4(folder / name, _drifting_waves(width, height), fps=Fraction(25), crf=23)
        yield folder / name


def _drifting_waves(width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    """Smooth colour that moves by parts of a pixel and turns: every block needs motion, none is noise."""
    y, x = np.mgrid[0 : height + 64, 0 : width + 64].astype(np.float32)
    waves = [np.sin(x / 23 + y / 61), np.sin(y / 17 - x / 83), np.sin((x + y) / 37)]
    picture_HWC = np.stack([(wave + 1) * 127 for wave in waves], axis=-1).astype(np.uint8)
    for i in range(_N_MADE):
        moved = cv2.getRotationMatrix2D((width / 2, height / 2), i * 0.05, 1.05)
        moved[:, 2] -= (i * 0.37, i * 0.23)
        yield cv2.warpAffine(picture_HWC, moved, (width, height), borderMode=cv2.BORDER_REFLECT)


if __name__ == "__main__":
    main()
