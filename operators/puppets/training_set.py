"""Aligned crops of random puppets with all that is true of them: what the trainings of the embedded weights take.

N pictures, R side in pixels, D parameters of a face, S = 64 side of an expression network's face.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from operators.emotion.face_square import SIZE_PX, cut_square, face_squares
from operators.puppets.face import draw_aligned_crop
from operators.puppets.parameters import FaceParameters
from operators.puppets.sampling import random_parameters

PICTURES, LATENTS = "pictures.npy", "latents.npy"  # the names that `generator fit` and `encoder train` look for
FACES = "faces.npz"  # for `emotion train`, cut without margin
_CHUNK = 32  # pictures drawn by a process at once: one or two seconds of work

# pictures (N, R, R, 3), faces (N, S, S, 3), EmoPy ids (N,), intensity (N,)
_Drawn = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def write_training_set(
    folder: Path, *, n: int, px: int, seed: int, workers: int, on_drawn: Callable[[int], None] = lambda n: None
) -> Path:
    """Writes three files: pictures.npy, uint8 (N, R, R, 3); latents.npy, float32 (N, D), the parameters that drew them;
    faces.npz, the same faces as expression networks see them, uint8 (N, S, S, 3), with labels and intensity.

    Picture i depends on the seed and i alone, so a longer set begins with a shorter one; each shows another person.
    Complete or absent: the pictures get their name when all is written. Gives the path of pictures.npy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vectors_ND = random_parameters(seed, n)
    partial = folder / f"{PICTURES}.partial"
    pictures_NRRC = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(n, px, px, 3))
    edges = [*range(0, n, _CHUNK), n]
    chunks = [(vectors_ND[a:b], px) for a, b in pairwise(edges)]
    labelled: list[tuple[NDArray[np.generic], ...]] = []
    # spawn: a forked child would inherit the threads of whatever library its parent has used
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for (a, b), drawn in zip(pairwise(edges), pool.map(_draw, chunks), strict=True):
            pictures_NRRC[a:b] = drawn[0]  # and not kept: the crops of a whole set are a gigabyte
            labelled.append(drawn[1:])
            on_drawn(b - a)
    pictures_NRRC.flush()
    np.save(folder / LATENTS, vectors_ND)
    images_NSSC, labels_N, intensity_N = (np.concatenate(parts) for parts in zip(*labelled, strict=True))
    np.savez(folder / FACES, images=images_NSSC, labels=labels_N, intensity=intensity_N)
    partial.replace(folder / PICTURES)
    return folder / PICTURES


def _draw(chunk: tuple[NDArray[np.float32], int]) -> _Drawn:
    vectors_ND, px = chunk
    crops, truths = zip(*[draw_aligned_crop(FaceParameters.from_vector(v_D), px=px) for v_D in vectors_ND], strict=True)
    boxes_N4 = face_squares(np.stack([truth.landmarks_682 for truth in truths]), margin=0.0)
    faces = [np.asarray(cut_square(crop, box, side_px=SIZE_PX)) for crop, box in zip(crops, boxes_N4, strict=True)]
    labels, intensity = zip(*[(truth.emotion, truth.intensity) for truth in truths], strict=True)
    return np.stack(crops), np.stack(faces), np.array(labels, np.uint8), np.array(intensity, np.float32)
