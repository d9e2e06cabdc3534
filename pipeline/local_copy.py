"""A film as a local file: decoders seek, so a remote one is copied once per machine and shared by all workers there."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from operators.video.video_id import video_id_of
from pipeline.sources import stamp_of
from pipeline.storage_errors import storage_trouble
from pipeline.storage_options import Options, open_filesystem
from schemas.job import Input

# What the copies may take on one machine: a few films. The oldest go first; a worker that still reads one keeps its
# open file until it is done.
CACHE_BYTES_MAX = 20 * 2**30
_PART = ".part"


class FilmChanged(Exception):
    """The file holds another film than the one that was to be worked on. Nobody's failure: the next run reads it."""


@contextmanager
def local_copy(task: Input, storage_options: Options | None = None) -> Iterator[str]:
    """Gives a path that can be opened now. Local files are used where they lie.

    A copy is the film that was planned, to the last byte, or it is not made: it is hashed as it lies on the disk. Two
    processes that want the same film download it once. What a killed download leaves is written anew.
    Raises: OSError when the source cannot be read, or is another film by now; FilmChanged, after it was used, when a
        local file was written to since it was planned, so that what was read may be of no film at all.
    """
    fs, path = open_filesystem(task.uri, storage_options)
    if "file" in fs.protocol:
        yield path
        stamp = stamp_of(fs.info(path))
        if task.tag is not None and (stamp is None or stamp.tag != task.tag):
            raise FilmChanged(f"{task.uri} was written to while it was read")
        return
    folder = Path(tempfile.gettempdir()) / f"latentreel-films-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # The suffix tells decoders the container. An id and not the uri names the copy: it stays good wherever the film is.
    copy = folder / (task.video_id + Path(path).suffix)
    while not _is_whole(copy, task):
        with _part(copy) as part:
            if part is not None and not _is_whole(copy, task):
                _download(fs, path, part, task)
                part.replace(copy)
    os.utime(copy)  # the newest use, for whoever makes room
    yield str(copy)


def _is_whole(copy: Path, task: Input) -> bool:
    try:
        return copy.stat().st_size == task.bytes or task.bytes == 0  # 0: whoever asks does not know it
    except FileNotFoundError:
        return False


@contextmanager
def _part(copy: Path) -> Iterator[Path | None]:
    """The unfinished copy, held by this process alone. None where another process has finished or removed it meanwhile.

    The file is its own lock, which ends with the process that holds it.
    """
    part = copy.with_name(f".{copy.name}{_PART}")
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            same = part.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            same = False
        if not same:
            yield None
            return
        try:
            yield part
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _download(fs: Any, path: str, part: Path, task: Input) -> None:
    try:
        _make_room(part.parent, task.bytes)
        fs.get_file(path, str(part))
    except Exception as err:
        trouble = storage_trouble(err)
        if trouble is None:
            raise
        raise OSError(trouble) from err
    with part.open("rb") as film:
        found = video_id_of(film)
    if found != task.video_id:
        raise OSError(
            f"another film lies there by now ({part.stat().st_size} bytes, {task.bytes} when it was read first); run "
            "the command again, and leave films alone while it runs"
        )


def _make_room(folder: Path, needed: int) -> None:
    """Not promised: room, where other processes are downloading."""
    copies = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: file.stat().st_mtime)
    taken = sum(file.stat().st_size for file in copies)
    for file in copies:
        if taken + needed <= CACHE_BYTES_MAX:
            return
        taken -= file.stat().st_size
        if not (file.suffix == _PART and _is_held(file)):
            file.unlink(missing_ok=True)


def _is_held(part: Path) -> bool:
    """Whether a process is writing it."""
    with suppress(FileNotFoundError), part.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
