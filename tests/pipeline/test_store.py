"""Store: whole files or none, and the first writer wins."""

import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import pytest

from pipeline.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path)) if request.param == "local" else Store(f"memory://{tmp_path}")


def test_what_is_written_is_read(store: Store) -> None:
    store.write("a/b.bin", b"one")
    store.write("a/b.bin", b"two")
    assert store.read("a/b.bin") == b"two"
    assert (store.names("a"), store.folders("")) == (["b.bin"], ["a"])
    assert store.exists("a/b.bin")
    assert not store.exists("a/c.bin")


def test_the_first_writer_wins(store: Store) -> None:
    assert store.write_once("x.json", b"first")
    assert not store.write_once("x.json", b"second")
    assert store.read("x.json") == b"first"


def test_a_missing_folder_is_empty_and_can_be_removed(store: Store) -> None:
    assert store.names("nowhere") == []
    store.remove_folder("nowhere")


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
