"""The dataset's promises on speed and size, one part after the other.

    python -m benchmarks.dataset [planning opening query size windows commits]

Each part is a module of its own and runs alone as well: python -m benchmarks.dataset_plan.
"""

import sys
from collections.abc import Callable
from importlib import import_module

PARTS = {
    "planning": ("dataset_plan", "planning"),  # one new film against a ledger of 100,000
    "opening": ("dataset_query", "opening"),  # a dataset of 100,000 films
    "query": ("dataset_query", "query"),  # over 10^6 tracks
    "size": ("dataset_storage", "size"),  # bytes per frame
    "windows": ("dataset_windows", "windows"),  # random windows against reading in order
    "commits": ("dataset_storage", "commits"),  # 16 processes at once
}


def main(names: list[str]) -> None:
    """Runs the named parts, or all."""
    for name in names or PARTS:
        module, function = PARTS[name]
        print(f"\n== {name}")
        part: Callable[[], None] = getattr(import_module(f"benchmarks.{module}"), function)
        part()


if __name__ == "__main__":
    main(sys.argv[1:])
