"""What a process that inverts sets for itself before it begins. Nothing here changes a row on one kind of machine."""

import ctypes
import sys

# mallopt's names for them are M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, in malloc.h of the GNU C library.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_MOST = 2**30  # bytes, above any feature map; mallopt takes an int


def prepare_worker() -> None:
    """One thread, and freed memory is kept.

    One thread, whatever the pool's size: more threads sum in another order, and equal jobs must give equal bits.
    The GNU C library gives freed feature maps back to the kernel, which hands them out again page by page in the next
    evaluation: kept, an evaluation takes 0.87 of the time (puppet-128, one picture) or half of it (random-256, eight),
    and the process 7 % more memory. Elsewhere nothing is done.
    """
    import torch  # noqa: PLC0415  # not for the processes that import this module only to start others

    torch.set_num_threads(1)
    # Ten bits of mantissa are not the float32 that the settings promise; bfloat16 is the named way to be faster.
    torch.backends.cudnn.allow_tf32 = False
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _MOST)
            mallopt(_TRIM_THRESHOLD, _MOST)
