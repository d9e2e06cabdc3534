"""latentreel puppets render: a movie of rendered talking heads, and everything that is true of it."""

import os
from fractions import Fraction
from pathlib import Path

from schemas.errors import WrongUse

CRF = 18  # no visible blocks: the movie stands in for a film


def render(
    output: str, *, seed: int = 0, seconds: float = 12.0, width: int = 640, height: int = 360, fps: int = 24
) -> int:
    """Writes OUTPUT (mp4) and its truth beside it, as OUTPUT without .mp4 + _truth.parquet. Gives the exit code.

    Equal options give equal bytes on one machine. Raises: WrongUse for a folder that is not there or impossible sizes.
    """
    import pyarrow.parquet as pq
    from rich.progress import track

    from operators.puppets.movie import movie_frames, movie_truth
    from operators.puppets.random_script import random_script
    from operators.video.encode import write_mp4

    movie = Path(output)
    if movie.suffix != ".mp4":
        raise WrongUse(f"{output}: the movie is an mp4; name it {movie.stem}.mp4")
    if not movie.parent.is_dir():
        raise WrongUse(f"{movie.parent}: no such folder; make it first")
    if width % 2 or height % 2 or min(width, height) < 240:
        raise WrongUse(f"{width}x{height}: give two even numbers of at least 240, so that faces can be found")
    try:
        script = random_script(seed=seed, seconds=seconds, width=width, height=height, fps=fps)
    except ValueError as err:
        raise WrongUse(f"--seconds: {err}") from err
    truth = movie.with_name(f"{movie.stem}_truth.parquet")
    frames = track(movie_frames(script), description=f"{script.n_frames} frames", total=script.n_frames)
    write_mp4(movie, frames, fps=Fraction(fps), crf=CRF)
    pq.write_table(movie_truth(script), truth, compression="zstd")
    print(f"{movie}: {script.n_frames} frames, {len(script.shots)} shots; truth in {truth}")
    return 0


def crops(folder: str, *, n: int, px: int = 128, seed: int = 0, workers: int | None = None) -> int:
    """Writes what `generator fit --objective reconstruction`, `encoder train` and `emotion train` learn puppets from.

    Gives the exit code. Raises: WrongUse for a size that no generator has, or a number of pictures below 1.
    """
    from rich.progress import Progress

    from operators.puppets.training_set import write_training_set
    from schemas.generators import RESOLUTIONS

    if px not in RESOLUTIONS or n < 1:
        raise WrongUse(f"{n} crops of {px} px; give at least 1, of {', '.join(map(str, RESOLUTIONS))} px")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise WrongUse(f"{folder} is a file; give a folder")
    with Progress(transient=True) as progress:
        task = progress.add_task("drawing", total=n)
        path = write_training_set(
            Path(folder),
            n=n,
            px=px,
            seed=seed,
            workers=workers or os.cpu_count() or 1,
            on_drawn=lambda drawn: progress.advance(task, drawn),
        )
    print(f"{path}: {n} crops; beside it latents.npy, the parameters that drew them, and faces.npz, their expressions")
    return 0


def render_sample(folder: str) -> int:
    """Writes the sample movie and its truth into a folder: how latentreel/assets is made. Gives the exit code."""
    from operators.puppets.sample import write_sample

    if not Path(folder).is_dir():
        raise WrongUse(f"{folder}: no such folder; make it first")
    print(*write_sample(Path(folder)), sep="\n")
    return 0
