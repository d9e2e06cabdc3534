"""Tensors by others' names and layouts -> by ours."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from operators.stylegan.checkpoints.stored_array import StoredArray

N_CONVS = 17  # of 1024 px, the most: one of 4 px, then two of each size

# Their name as a regular expression, our name with its groups, and what becomes of the array.
Rule = tuple[str, str, Callable[[NDArray[Any]], NDArray[Any]] | None]


def conv_name(index: int) -> str:
    """Our name of the i-th convolution."""
    return f"synthesis.b{2 ** ((index + 5) // 2)}.conv{1 if index % 2 == 0 else 0}"


def renamed(tensors: Mapping[str, Any], rules: Sequence[Rule]) -> dict[str, StoredArray]:
    """By the first rule that fits the whole name; what fits none is no part of the arithmetic, and is left out."""
    compiled = [(re.compile(pattern), ours, change) for pattern, ours, change in rules]
    found = {}
    for name, values in tensors.items():
        for pattern, ours, change in compiled:
            if (match := pattern.fullmatch(name)) and isinstance(values, StoredArray):
                found[match.expand(ours)] = values if change is None else values.then(change)
                break
    return found
