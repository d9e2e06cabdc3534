"""Aligned crops of random puppets with the parameters that drew them: what `generator fit` learns faces from.

N pictures, R side in pixels, D parameters of a face.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from operators.puppets.face import draw_aligned_crop
from operators.puppets.parameters import FaceParameters
from operators.puppets.sampling import random_parameters

PICTURES, LATENTS = "pictures.npy", "latents.npy"  # the names that `generator fit` looks for
_CHUNK = 32  # pictures drawn by a process at once: one or two seconds of work


def write_training_set(
    folder: Path, *, n: int, px: int, seed: int, workers: int, on_drawn: Callable[[int], None] = lambda n: None
) -> Path:
    """Writes pictures.npy, uint8 (N, R, R, 3), and latents.npy, float32 (N, D), the faces' own parameters.

    Picture i depends on the seed and i alone, so a longer set begins with a shorter one. Complete or absent: the
    pictures get their name when all are drawn. Gives the path of pictures.npy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vectors_ND = random_parameters(seed, n)
    partial = folder / f"{PICTURES}.partial"
    pictures_NRRC = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(n, px, px, 3))
    edges = [*range(0, n, _CHUNK), n]
    chunks = [(vectors_ND[a:b], px) for a, b in pairwise(edges)]
    # spawn: a forked child would inherit the threads of whatever library its parent has used
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for (a, b), crops_NRRC in zip(pairwise(edges), pool.map(_draw, chunks), strict=True):
            pictures_NRRC[a:b] = crops_NRRC
            on_drawn(b - a)
    pictures_NRRC.flush()
    np.save(folder / LATENTS, vectors_ND)
    partial.replace(folder / PICTURES)
    return folder / PICTURES


def _draw(chunk: tuple[NDArray[np.float32], int]) -> NDArray[np.uint8]:
    vectors_ND, px = chunk
    return np.stack([draw_aligned_crop(FaceParameters.from_vector(vector_D), px=px)[0] for vector_D in vectors_ND])
