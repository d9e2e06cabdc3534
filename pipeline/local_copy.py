"""A film as a local file: decoders seek, so a remote one is copied once per machine and shared by all workers there."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from schemas.job import Input

# What the copies may take on one machine: a few films. The oldest go first; a worker that still reads one keeps its
# open file until it is done.
CACHE_BYTES_MAX = 20 * 2**30


@contextmanager
def local_copy(task: Input) -> Iterator[str]:
    """Gives a path that can be opened now. Local files are used where they lie.

    Raises: OSError when the source cannot be read.
    """
    fs, path = fsspec.core.url_to_fs(task.uri)
    if fs.protocol == "file" or "file" in fs.protocol:
        yield path
        return
    folder = Path(tempfile.gettempdir()) / f"latentreel-films-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / (task.video_id + Path(path).suffix)
    if not copy.exists():
        _make_room(folder, task.bytes)
        temporary = folder / f".{uuid.uuid4().hex}"
        try:
            fs.get_file(path, str(temporary))
            temporary.replace(copy)
        finally:
            temporary.unlink(missing_ok=True)
    os.utime(copy)  # the newest use, for whoever makes room
    yield str(copy)


def _make_room(folder: Path, needed: int) -> None:
    copies = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: file.stat().st_mtime)
    taken = sum(file.stat().st_size for file in copies)
    for file in copies:
        if taken + needed <= CACHE_BYTES_MAX:
            return
        taken -= file.stat().st_size
        file.unlink(missing_ok=True)
