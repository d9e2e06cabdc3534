"""Memory of a long run: does any process grow with the number of films, or with the length of one?

    python -m benchmarks.soak films [N]        N films in one run (300); each process from the 20th film on
    python -m benchmarks.soak long [MINUTES]   one film (120 minutes at 320x180); each process from a tenth of it on

Both run `latentreel invert` as a user does and look at its processes from outside, four times a second. What is asked:
resident memory within 5 % from the 20th film on, and flat in the length of a film. A process breathes with the size of
the film that it is at, so two numbers tell of it: growth, the median of the last fifth of the run over that of the
first, both since it was settled; and peak, the largest ever seen since then over the largest seen before.
Settings are quick ones (generator random-32, few evaluations): memory follows the film and the number of films, not how
well it is inverted.
"""

import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from skimage import data

from benchmarks.machine import describe_machine
from operators.video.encode import write_mp4
from tests.astronaut import write_astronaut_movie
from tests.runs import FAST, command

_LOOK_EVERY_S = 0.25
_SETTLED_FILMS = 20  # from here on nothing may grow
_SETTLED_SHARE = 0.1  # of a long film: every buffer has had its largest content by then
_GROWTH_MAX = 1.05
_SIZES = ((512, 288), (640, 360), (320, 568), (960, 540), (1280, 720))
_FPS = 24


@dataclass
class _Process:
    """Resident memory of one process, by what was done when it was looked at."""

    title: str
    done: list[float] = field(default_factory=list)
    mb: list[float] = field(default_factory=list)

    def between(self, from_done: float, to_done: float) -> NDArray[np.float64]:
        """MB while so much was done."""
        return np.array([mb for done, mb in zip(self.done, self.mb, strict=True) if from_done <= done < to_done])


def main() -> None:
    """Print a line for each process."""
    what = sys.argv[1] if len(sys.argv) > 1 else "films"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else {"films": 300, "long": 120}[what]
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        if what == "films":
            _films(Path(folder), count)
        else:
            _long(Path(folder), count)


def _films(folder: Path, n_films: int) -> None:
    (folder / "films").mkdir()
    takes = list(_write_takes(folder))
    for i, take in zip(range(n_films), itertools.cycle(takes), strict=False):
        path = folder / "films" / f"{i:04d}.mp4"
        shutil.copy(take, path)
        with path.open("ab") as file:  # another film to us, the same pictures: an empty box behind the film
            file.write(len(b"........%04d" % i).to_bytes(4, "big") + b"free" + b"%04d" % i)

    def committed() -> float:
        return len(list((folder / "dataset" / "videos" / "_delta_log").glob("*.json"))) - 1

    processes, seconds = _watched(folder, folder / "films", committed)
    print(f"{n_films} films of half a second in {seconds:.0f} s")
    _report(processes, settled=_SETTLED_FILMS, end=n_films)


def _long(folder: Path, minutes: int) -> None:
    film = folder / "long.mp4"
    _write_long(film, folder, minutes)
    n_segments = minutes * 6  # of ten seconds

    def share() -> float:
        return len(list((folder / "dataset" / "_staging").glob("*/*/seg*.parts.json"))) / n_segments

    processes, seconds = _watched(folder, film, share)
    print(f"a film of {minutes} minutes in {seconds:.0f} s")
    _report(processes, settled=_SETTLED_SHARE, end=1.0)


def _watched(folder: Path, source: Path, done: Callable[[], float]) -> tuple[list[_Process], float]:
    words = command("invert", source, "-o", folder / "dataset", *FAST, "--set", "faces.detect_every=5")
    found: dict[int, _Process] = {}
    start_s = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None:
            at = done()
            for pid, title, mb in _tree(run.pid):
                process = found.setdefault(pid, _Process(title))
                process.title = title
                process.done.append(at)
                process.mb.append(mb)
            time.sleep(_LOOK_EVERY_S)
        said = run.stderr.read() if run.stderr else ""
        if run.returncode:
            raise SystemExit(f"the run failed: {said[-2000:]}")
    return list(found.values()), time.monotonic() - start_s


def _tree(root: int) -> Iterator[tuple[int, str, float]]:
    """The process, its workers and their decoders: id, name, resident MB."""
    parents, names, sizes = {}, {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            names[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ").strip()
            sizes[int(path.name)] = int((path / "statm").read_text().split()[1]) * 4096 / 1e6
        except (OSError, IndexError):
            continue  # it has just ended
    for pid, name in names.items():
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root and (title := _title(name, is_root=pid == root)):
            yield pid, title, sizes[pid]


def _title(name: str, *, is_root: bool) -> str | None:
    if is_root:
        return "driver"
    if "operators.video.decode_child" in name:
        return "decoder"
    for stage in ("CutVideo", "FindFaces", "InvertAndStage"):
        if name.startswith("ray::") and stage in name:
            return stage
    return None


def _report(processes: list[_Process], *, settled: float, end: float) -> None:
    print(f"{'process':15} {'MB in each fifth of the run since it was settled':>50}  growth   peak")
    edges = np.linspace(settled, end, 6)
    lasting = [p for p in processes if all(len(p.between(a, b)) for a, b in pairwise([0, *edges]))]
    for process in sorted(lasting, key=lambda p: p.title):
        fifths = [float(np.median(process.between(a, b))) for a, b in pairwise(edges)]
        growth = fifths[-1] / fifths[0]
        peak = float(process.between(settled, end).max() / process.between(0, settled).max())
        verdict = "" if growth <= _GROWTH_MAX else f"  grows by more than {_GROWTH_MAX - 1:.0%}"
        print(f"{process.title:15} {' '.join(f'{mb:9.0f}' for mb in fifths)}  {growth:6.3f} {peak:6.3f}{verdict}")
    print(f"{len(processes) - len(lasting)} processes did not live through all of it")


def _write_takes(folder: Path) -> Iterator[Path]:
    """Half a second each, of five sizes, with a face and without."""
    photos = (data.astronaut()[:300, 60:400], data.coffee()[:300, 100:440])
    for (width, height), (k, photo_HWC) in itertools.product(_SIZES, enumerate(photos)):
        path = folder / f"take-{width}x{height}-{k}.mp4"
        write_mp4(path, _panning(photo_HWC, width, height), fps=Fraction(_FPS))
        yield path


def _panning(photo_HWC: NDArray[np.uint8], width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    zoom = max(width / photo_HWC.shape[1], height / photo_HWC.shape[0]) * 1.1
    y, x = np.arange(height), np.arange(width)
    for i in range(_FPS // 2):
        rows = np.clip(((y + i) / zoom).astype(int), 0, photo_HWC.shape[0] - 1)
        columns = np.clip(((x + 2 * i) / zoom).astype(int), 0, photo_HWC.shape[1] - 1)
        yield photo_HWC[rows][:, columns]


def _write_long(path: Path, folder: Path, minutes: int) -> None:
    """One minute, encoded once and strung together: a face for four seconds, then waves that move."""
    write_astronaut_movie(folder / "astronaut.mp4")
    write_mp4(folder / "minute.mp4", _minute(folder / "astronaut.mp4"), fps=Fraction(_FPS), crf=28)
    with av.open(str(folder / "minute.mp4")) as minute, av.open(str(path), "w") as film:
        stream = minute.streams.video[0]
        packets = [packet for packet in minute.demux(stream) if packet.size]
        out = film.add_stream_from_template(stream)
        content = [(bytes(p), p.pts or 0, p.dts or 0, p.duration, p.is_keyframe) for p in packets]
        assert stream.time_base is not None
        length = round(60 / stream.time_base)
        for i in range(minutes):
            for data_bytes, pts, dts, duration, is_key in content:
                packet = av.Packet(data_bytes)
                packet.pts, packet.dts, packet.duration = pts + i * length, dts + i * length, duration
                packet.time_base, packet.stream, packet.is_keyframe = stream.time_base, out, is_key
                film.mux(packet)


def _minute(movie: Path) -> Iterator[NDArray[np.uint8]]:
    n_left = 60 * _FPS
    with av.open(str(movie)) as container:
        for frame in container.decode(video=0):
            n_left -= 1
            yield np.asarray(frame.reformat(width=320, height=180, format="rgb24").to_ndarray(), np.uint8)
    x = np.arange(320)[None, :, None] + np.arange(180)[:, None, None]
    for i in range(n_left):
        yield ((np.sin((x + i) / 40) + 1) * 100 + np.array([0, 20, 40])).astype(np.uint8)


if __name__ == "__main__":
    main()
