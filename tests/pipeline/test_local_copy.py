"""Films of object stores on the local disk: whole, once, and never another film than was planned."""

import multiprocessing
import os
import signal
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from operators.video.video_id import video_id_of
from pipeline import local_copy as module
from pipeline.local_copy import local_copy
from pipeline.store import Store
from schemas.job import Input
from tests.s3_server import S3Server

CONTENT = os.urandom(3 << 20)


@pytest.fixture
def film(s3: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Input:
    """On the object store; copies of it go into this test's own folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Store(bucket, s3.options).write("film.mp4", CONTENT)
    return Input(uri=f"{bucket}/film.mp4", video_id=video_id_of(BytesIO(CONTENT)), bytes=len(CONTENT))


def _copies(tmp_path: Path) -> list[Path]:
    return sorted(file for file in tmp_path.rglob("*") if file.is_file())


def test_a_film_is_copied_once_and_whole(s3: S3Server, film: Input, tmp_path: Path) -> None:
    with local_copy(film, s3.options) as path:
        first = Path(path).stat().st_ino
        assert (Path(path).read_bytes(), Path(path).suffix) == (CONTENT, ".mp4")
    with local_copy(film, s3.options) as path:
        assert Path(path).stat().st_ino == first
    assert len(_copies(tmp_path)) == 1


def test_a_local_film_is_used_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")
    with local_copy(Input(uri=str(tmp_path / "film.mp4"), video_id="x", bytes=1)) as path:
        assert path == str(tmp_path / "film.mp4")


@pytest.mark.parametrize("size", [0, 1000, len(CONTENT) + 1])
def test_a_copy_of_another_size_is_made_again(s3: S3Server, film: Input, tmp_path: Path, size: int) -> None:
    with local_copy(film, s3.options) as path:
        os.truncate(path, size)
    with local_copy(film, s3.options) as path:
        assert Path(path).read_bytes() == CONTENT


def test_another_film_in_its_place_is_refused(s3: S3Server, film: Input, bucket: str, tmp_path: Path) -> None:
    """Even one of as many bytes."""
    Store(bucket, s3.options).write("film.mp4", CONTENT[::-1])
    with pytest.raises(OSError, match="another film lies there by now"), local_copy(film, s3.options):
        pass
    assert _copies(tmp_path) == []


def test_a_film_that_is_gone_is_one_line(s3: S3Server, film: Input, bucket: str) -> None:
    Store(bucket, s3.options).filesystem.rm(f"{bucket}/film.mp4")
    with pytest.raises(OSError, match="no such file or folder; check the path"), local_copy(film, s3.options):
        pass


def _copy(film: Input, options: dict[str, str], folder: str, pause_s: float, downloads: Any, done: Any) -> None:
    tempfile.tempdir = folder
    download = module._download

    def counted(*args: Any) -> None:
        downloads.put(os.getpid())
        time.sleep(pause_s)
        download(*args)

    module._download = counted  # type: ignore[assignment]
    with local_copy(film, options) as path:
        done.put(Path(path).read_bytes() == CONTENT)


def test_two_processes_download_a_film_once(s3: S3Server, film: Input, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    downloads, done = context.Queue(), context.Queue()
    workers = [
        context.Process(target=_copy, args=(film, s3.options, str(tmp_path), 0.5, downloads, done)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    assert [done.get(timeout=60) for _ in workers] == [True] * 3
    for worker in workers:
        worker.join()
    downloads.get(timeout=10)
    assert downloads.empty()


@pytest.mark.faults
def test_what_a_killed_download_leaves_is_no_film_and_blocks_nobody(s3: S3Server, film: Input, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    downloads, done = context.Queue(), context.Queue()
    worker = context.Process(target=_copy, args=(film, s3.options, str(tmp_path), 60, downloads, done))
    worker.start()
    downloads.get(timeout=30)
    (part,) = _copies(tmp_path)
    part.write_bytes(CONTENT[:1000])  # as far as it came
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    assert worker.exitcode == -signal.SIGKILL, "nothing was killed, so this test proved nothing"
    with local_copy(film, s3.options) as path:
        assert Path(path).read_bytes() == CONTENT
    assert len(_copies(tmp_path)) == 1


def test_the_oldest_copies_make_room_and_downloads_do_not(
    s3: S3Server, film: Input, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / f"latentreel-films-{os.getuid()}"
    folder.mkdir()
    for age, name in enumerate(("new.mp4", "old.mp4")):
        (folder / name).write_bytes(b"x" * 1000)
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(module, "CACHE_BYTES_MAX", len(CONTENT) + 1500)
    with local_copy(film, s3.options) as path:
        assert [file.name for file in _copies(tmp_path)] == sorted(["new.mp4", Path(path).name])
