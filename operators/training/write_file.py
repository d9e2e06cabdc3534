"""Files that are whole or absent."""

import os
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """A kill at any moment leaves either the old file or the whole new one, and at worst a `.partial` beside it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
