"""Decode with decord, read forward only, one thread, an error at the first frame it would have made up."""

import ctypes
from collections.abc import Iterator

import decord
import numpy as np
from numpy.typing import NDArray

# decord answers a frame it could not decode with a copy of a good one, unless more than this share of the film is
# such copies: any at all is then an error (dmlc/decord pull request 119).
_COPIES_MAX = 1e-9


def decord_pictures(
    path: str, *, first_frame: int, n_frames: int, n_film: int, width: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) RGB pictures from `first_frame` on; each is valid until the next one is asked for.

    Gives: fewer than `n_frames` where decord stops without a word, none where it counts other frames than the probe.
    Raises: decord.DECORDError, RuntimeError or AssertionError, as decord chooses, where it stops with one.
    Not promised: bounded memory. decord queues packets for as long as it waits for a frame, and decodes all that is
    queued whether or not anyone takes it: give it only films whose every frame may lie in memory at once.
    """
    reader = decord.VideoReader(
        path, ctx=decord.cpu(0), width=width, height=height, num_threads=1, fault_tol=_COPIES_MAX
    )
    if len(reader) != n_film:
        return
    if first_frame:
        reader.seek_accurate(first_frame)
    for _ in range(n_frames):
        try:
            picture = reader.next()
        except StopIteration:  # would be a RuntimeError if it left a generator
            return
        # A view, because asnumpy() would copy what is copied into the ring anyway. decord's arrays are compact.
        address = ctypes.cast(picture.handle.contents.data, ctypes.POINTER(ctypes.c_uint8))
        yield np.ctypeslib.as_array(address, shape=(height, width, 3))
