"""Store: whole files or none, and the first writer wins; on a disk, in memory and on an object store alike."""

import itertools
import multiprocessing
import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.store import Store
from tests.s3_server import S3Server


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server) -> Store:
    if request.param == "s3":
        return Store(request.getfixturevalue("bucket") + "/deep/data", s3.options)
    return Store(str(tmp_path) if request.param == "local" else f"memory://{tmp_path}")


def _again(store: Store) -> Store:
    """Another process's."""
    return Store(store.root, store.storage_options)


def test_what_is_written_is_read(store: Store) -> None:
    assert not store.exists("a/b.bin")
    for content in (b"one", b"two", b""):
        store.write("a/b.bin", content)
        assert (store.read("a/b.bin"), store.size("a/b.bin")) == (content, len(content))
    assert (store.names("a"), store.folders(""), store.names("")) == (["b.bin"], ["a"], [])
    assert (store.exists("a/b.bin"), store.exists("a/c.bin"), store.is_folder("a")) == (True, False, True)


def test_the_first_writer_wins(store: Store) -> None:
    assert store.write_once("x.json", b"first")
    assert not _again(store).write_once("x.json", b"second")
    assert store.read("x.json") == b"first"


def test_what_others_write_and_remove_is_seen_at_once(store: Store) -> None:
    other = _again(store)
    assert (store.names("a"), store.exists("a/x"), store.folders("")) == ([], False, [])
    other.write("a/x", b"1")
    assert (store.names("a"), store.exists("a/x"), store.folders("")) == (["x"], True, ["a"])
    other.remove_folder("a")
    assert (store.names("a"), store.exists("a/x"), store.is_folder("a")) == ([], False, False)


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else(store: Store) -> None:
    for name in ("a/x", "a/deep/y", "ab/z"):
        store.write(name, b"1")
    store.remove_folder("a")
    store.remove_folder("a")
    assert (store.folders(""), store.names("ab")) == (["ab"], ["z"])


def test_a_folder_that_a_console_made_is_empty(s3: S3Server, bucket: str) -> None:
    store = Store(f"{bucket}/data", s3.options)
    store.filesystem.pipe_file(f"{bucket}/data/", b"")  # an object of that name is how consoles keep a folder
    assert (store.names(""), store.folders("")) == ([], [])


def test_a_bucket_that_is_not_there_is_no_empty_folder(s3: S3Server, nowhere: None) -> None:
    with pytest.raises(FileNotFoundError, match="bucket"):
        Store("s3://nobody-made-it/data", s3.options).names("")


def test_a_store_travels_to_another_process(store: Store) -> None:
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)) == store


def _write_for_ever(root: str) -> None:
    store = Store(root)
    while True:
        store.write("big.bin", bytes(4 << 20))


@pytest.mark.faults
def test_a_killed_writer_leaves_a_whole_file_and_no_visible_rest(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(str(tmp_path),))
    writer.start()
    while not (tmp_path / "big.bin").exists():
        assert writer.is_alive()
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    assert writer.exitcode == -signal.SIGKILL, "nothing was killed, so this test proved nothing"
    assert len(Store(str(tmp_path)).read("big.bin")) == 4 << 20
    assert Store(str(tmp_path)).names("") == ["big.bin"]


def test_a_folder_is_cleared_while_others_write_into_it(tmp_path: Path) -> None:
    """Two drivers with one film: the faster one clears what both stage. Nobody's disk is at fault."""
    store, folder, over = Store(str(tmp_path)), "_staging/config/film", threading.Event()

    def write(writer: int) -> None:
        for i in itertools.count():
            store.write(f"{folder}/{writer}-{i}.parquet", b"x")
            store.write_once(f"{folder}/{writer}-{i}.json", b"x")
            if over.is_set():
                return

    clearings = 0
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, i) for i in range(2)]
        while clearings < 20 and not any(writer.done() for writer in writers):
            clearings += bool(store.names(folder))
            store.remove_folder(folder)
            time.sleep(0.02)  # ten times what a write takes: in a row it can lose its folder twice, not ten times
        over.set()
    for writer in writers:
        writer.result()
    store.remove_folder(folder)
    assert not store.exists(folder)
