"""What the engine costs: `latentreel invert` in steady state over a bare loop of the same operators.

    python -m benchmarks.engine [--films 4]

Both work on copies of one clip with equal operators, equal settings and the same number of processes, and both commit.
The steady state is the time of 3 N films less the time of N films: starting (imports, Ray, models) is in both and
cancels; it is printed apart. Target: ratio at most 1.10.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import describe_machine
from jobs.bulk_run import default_pools
from jobs.describe_job import describe_job
from pipeline.create_tables import open_or_create
from pipeline.finalise import finalise
from pipeline.plan import plan_videos
from pipeline.rows import pack
from pipeline.stages import CutVideo, FindFaces, InvertAndStage
from schemas.config import load_config
from schemas.job import Input, Job
from tests.astronaut import write_astronaut_movie


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=4, help="N: films of the short run; the long run has 3 N")
    n = parser.parse_args().films
    with tempfile.TemporaryDirectory() as folder:
        films = _films(Path(folder), 3 * n)
        n_processes = default_pools(None, "cpu").n_actors
        print(describe_machine())
        print(f"{n} and {3 * n} films, {n_processes} processes each; seconds of wall time")
        rows = {"bare loop": _bare, "latentreel invert": _invert}
        times: dict[str, tuple[float, float]] = {}
        for name, work in rows.items():
            short, long = (work(films[:count], Path(folder) / f"{name}-{count}", n_processes) for count in (n, 3 * n))
            times[name] = (short, long)
        print(f"{'':20} {'N':>8} {'3 N':>8} {'steady N':>9} {'start-up':>9} {'ratio':>7}")
        reference = (times["bare loop"][1] - times["bare loop"][0]) / 2
        for name, (short, long) in times.items():
            steady = (long - short) / 2
            print(f"{name:20} {short:8.1f} {long:8.1f} {steady:9.1f} {short - steady:9.1f} {steady / reference:6.2f}x")
        print(f"latentreel --help    {_help_s():.2f} s")


def _films(folder: Path, n: int) -> list[Path]:
    """Equal films with different bytes: an MP4 reader ignores a `free` box at the end."""
    first = folder / "film00.mp4"
    write_astronaut_movie(first)
    content = first.read_bytes()
    films = [folder / f"film{i:02d}.mp4" for i in range(n)]
    for i, film in enumerate(films):
        film.write_bytes(content + (12).to_bytes(4, "big") + b"free" + i.to_bytes(4, "big"))
    return films


def _invert(films: list[Path], dataset: Path, n_processes: int) -> float:
    """The command as a user runs it, start to end."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "latentreel", "invert", *map(str, films), "-o", str(dataset)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def _bare(films: list[Path], dataset: Path, n_processes: int) -> float:
    """The same stages called one after the other in each process, films dealt out from one queue."""
    started = time.perf_counter()
    job, canonical = describe_job(load_config(None, {}), str(dataset))
    tables, generation = open_or_create(job, canonical, anew=False)
    todo = plan_videos(tuple(map(str, films)), tables).todo
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    for task in [*todo, *[None] * n_processes]:
        queue.put(task)
    workers = [
        context.Process(target=_work, args=(queue, replace(job, generation=generation))) for _ in range(n_processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert tables.open("videos").to_pyarrow_table().num_rows == len(films)
    return time.perf_counter() - started


def _work(queue: "multiprocessing.SimpleQueue[Input | None]", job: Job) -> None:
    cut, find, invert = CutVideo(job), FindFaces(job), InvertAndStage(job)
    while (task := queue.get()) is not None:
        for segment in cut(pack(task.video_id, task)):
            for clip in find(segment):
                for _receipt in invert(clip):
                    pass
        finalise(task, job)


def _help_s() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "latentreel", "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
