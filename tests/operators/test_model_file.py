"""Weights of others: from a mirror, from the cache, or fetched once from a server that misbehaves as servers do."""

import hashlib
import json
import logging
import multiprocessing
import re
import resource
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.models import download as download_module
from operators.models.model_file import cache_folder, model_file, weights_file
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES, ModelFile, find_model
from tests.model_server import CUT_AT, ModelServer, Proxy

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_BLOB = hashlib.sha1(b"blob 300000\0" + CONTENT).hexdigest()
NAME = "net-0123456789.pth"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LATENTREEL_MODELS", raising=False)
    monkeypatch.setattr(download_module, "_PAUSE_S", 0.001)


@pytest.fixture
def serve(monkeypatch):
    """Starts a server and makes its file the registry's NAME."""
    servers = []

    def start(manner, **changes):
        server = ModelServer(CONTENT, manner)
        servers.append(server)
        facts: dict[str, Any] = {"sha256": SHA256, "bytes": len(CONTENT), "licence": "none", "use": "tests"} | changes
        monkeypatch.setitem(
            MODEL_FILES, NAME, ModelFile(name=NAME, short="a-net", kind="backbone", url=server.url(NAME), **facts)
        )
        return server

    yield start
    for server in servers:
        server.close()


def names():
    return sorted(path.name for path in cache_folder().iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize(
    ("manner", "asked"),
    [
        pytest.param("good", [None], id="at_once"),
        pytest.param("cut", [None, f"bytes={CUT_AT}-"], id="goes_on_where_it_was_cut"),
        pytest.param("no_ranges", [None, f"bytes={CUT_AT}-"], id="starts_again_where_the_server_has_no_ranges"),
        pytest.param("busy_once", [None, None], id="tries_again"),
    ],
)
def test_fetched_once_and_then_from_the_cache(serve, manner, asked):
    server = serve(manner)
    path = model_file(NAME)
    assert path == cache_folder() / NAME
    assert path.read_bytes() == CONTENT
    assert server.asked == asked
    assert model_file(NAME) == path
    assert server.asked == asked  # not asked again
    assert names() == [NAME]


def test_what_a_killed_process_left_is_used(serve):
    server = serve("good")
    cache_folder().mkdir(parents=True)
    part = cache_folder() / f"{NAME}.part"
    part.write_bytes(CONTENT[:CUT_AT])
    assert model_file(NAME).read_bytes() == CONTENT
    assert server.asked == [f"bytes={CUT_AT}-"]
    assert names() == [NAME]


def test_a_part_that_is_whole_already_is_only_checked(serve):
    server = serve("good")
    cache_folder().mkdir(parents=True)
    (cache_folder() / f"{NAME}.part").write_bytes(CONTENT)  # killed between the last byte and the new name
    assert model_file(NAME).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(
    ("manner", "message", "left"),
    [
        pytest.param("wrong", r"gave another file: its sha256 begins with \w{10}, that of the pub", [], id="wrong"),
        pytest.param("absent", r"cannot be fetched \(the server answers 404\); try `latentreel", [], id="absent"),
        pytest.param("always_cut", r"cannot be fetched \(the connection was cut\)", [f"{NAME}.part"], id="always_cut"),
    ],
)
def test_what_is_not_the_published_file_never_gets_its_name(serve, manner, message, left):
    server = serve(manner)
    with pytest.raises(WrongUse, match=f"^{NAME}: {MODEL_FILES[NAME].url} {message}.*LATENTREEL_MODELS"):
        model_file(NAME)
    assert names() == left
    assert len(server.asked) == (5 if manner == "always_cut" else 1)


def test_a_part_of_another_file_costs_one_try(serve):
    serve("good")
    cache_folder().mkdir(parents=True)
    (cache_folder() / f"{NAME}.part").write_bytes(bytes(CUT_AT))
    with pytest.raises(WrongUse, match="gave another file: its sha256 begins with"):
        model_file(NAME)
    assert model_file(NAME).read_bytes() == CONTENT


def test_no_server(serve):
    server = serve("good")
    server.shutdown()
    server.server_close()
    with pytest.raises(WrongUse, match=r"cannot be fetched .*refused"):
        model_file(NAME)


def test_a_published_head_of_the_hash_is_enough(serve):
    serve("good", sha256=SHA256[:10])
    assert model_file(NAME).read_bytes() == CONTENT
    assert names() == [NAME, f"{NAME}.sha256"], "ten digits can be met by accident: all of them are kept"


def _fetch(file, start, told):
    MODEL_FILES[NAME] = file
    start.wait()
    told.put(model_file(NAME).read_bytes() == CONTENT)


def test_two_processes_at_once_fetch_it_once(serve):
    server = serve("good")
    fork = multiprocessing.get_context("fork")
    start, told = fork.Barrier(2), fork.Queue()
    processes = [fork.Process(target=_fetch, args=(MODEL_FILES[NAME], start, told)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [told.get(timeout=30) for _ in processes] == [True, True]
    for process in processes:
        process.join()
    assert server.asked == [None]


def test_a_mirror_is_all_there_is(serve, tmp_path, monkeypatch):
    server = serve("good")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("LATENTREEL_MODELS", str(mirror))
    with pytest.raises(WrongUse, match=rf"^{NAME} is not in LATENTREEL_MODELS={mirror}; put it there \(http"):
        model_file(NAME)
    (mirror / NAME).write_bytes(b"another network of that name")
    with pytest.raises(
        WrongUse, match=rf"^{mirror / NAME}: its sha256 begins with .*, that of the published file with"
    ):
        model_file(NAME)
    (mirror / NAME).write_bytes(CONTENT)
    assert model_file(NAME) == mirror / NAME
    assert server.asked == []
    assert not cache_folder().exists()


def test_a_cache_that_cannot_be_written(serve, tmp_path, monkeypatch):
    serve("good")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(WrongUse, match=r"cannot be written .*set XDG_CACHE_HOME"):
        model_file(NAME)


def test_the_registry_knows_the_files_that_are_here(shared):
    """Names and sums of the real files, against the folder's own list; and that one file for another is told."""
    listed = {file["name"]: file for file in json.loads((shared / "models" / "manifest.json").read_text())["files"]}
    here = [file for file in MODEL_FILES.values() if file.name in listed]
    assert len(here) == 3
    for file in here:
        assert (file.sha256, file.bytes) == (listed[file.name]["sha256"], listed[file.name]["bytes"])
        assert hashlib.sha256((shared / "models" / file.name).read_bytes()).hexdigest() == file.sha256


@pytest.mark.parametrize(
    ("facts", "same", "left"),
    [
        pytest.param({"sha256": "", "git_blob": GIT_BLOB}, True, [NAME], id="git_tells_it"),
        pytest.param({"sha256": "", "git_blob": GIT_BLOB[::-1]}, False, [], id="git_tells_another"),
        pytest.param({"sha256": ""}, True, [NAME, f"{NAME}.sha256"], id="only_its_size"),
        pytest.param({"sha256": "", "bytes": 299_999}, False, [], id="another_size"),
        pytest.param({"sha256": "", "bytes": None}, True, [NAME, f"{NAME}.sha256"], id="nothing"),
    ],
)
def test_what_is_published_is_compared_and_else_what_came_is_kept(serve, facts, same, left):
    serve("good", **facts)
    if same:
        assert model_file(NAME).read_bytes() == CONTENT
    else:
        with pytest.raises(WrongUse, match=f"^{NAME}: .* gave another file: .*, (that of )?the published file"):
            model_file(NAME)
    assert names() == left
    if f"{NAME}.sha256" in left:
        assert (cache_folder() / f"{NAME}.sha256").read_text() == f"{SHA256}  {NAME}\n", "as sha256sum writes it"


def test_a_file_without_a_published_sum_cannot_change_unseen(serve):
    """One that is replaced on the disk, and one that the publisher replaces."""
    server = serve("good", sha256="", bytes=None)
    path = model_file(NAME)
    path.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(WrongUse, match=rf"^{path}: its sha256 begins with .* came first with {SHA256[:10]} .*; remove"):
        model_file(NAME)
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(
        WrongUse, match=rf"gave another file: .* came first with {SHA256[:10]} .*; remove {path}.sha256"
    ):
        model_file(NAME)
    assert names() == [f"{NAME}.sha256"]
    (cache_folder() / f"{NAME}.sha256").unlink()
    assert model_file(NAME).read_bytes() == CONTENT[::-1]


def test_what_a_user_has_to_know_is_logged_when_it_is_fetched(serve, caplog):
    serve("good", sha256="", bytes=None, licence="For research", non_commercial=True)
    with caplog.at_level(logging.WARNING):
        model_file(NAME)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "a-net is NON-COMMERCIAL",
        "a-net cannot be verified",
    ]
    caplog.clear()
    model_file(NAME)
    assert caplog.records == []


def test_a_mirror_keeps_the_sum_too_where_it_may(serve, tmp_path, monkeypatch):
    serve("good", sha256="")
    monkeypatch.setenv("LATENTREEL_MODELS", str(tmp_path))
    (tmp_path / NAME).write_bytes(CONTENT)
    assert model_file(NAME) == tmp_path / NAME
    assert (tmp_path / f"{NAME}.sha256").read_text().startswith(SHA256)
    (tmp_path / NAME).write_bytes(CONTENT[::-1])
    with pytest.raises(WrongUse, match="that of the file which came first"):
        model_file(NAME)


def test_what_has_no_address_is_fetched_by_hand(serve, tmp_path, monkeypatch):
    monkeypatch.setitem(
        MODEL_FILES,
        NAME,
        ModelFile(name=NAME, short="a-net", kind="encoder", page="https://a.page/x", licence="none", use="tests"),
    )
    with pytest.raises(WrongUse, match=f"^{NAME}: .*fetch it by hand from https://a.page/x, put it into LATENTREEL_M"):
        model_file(NAME)
    monkeypatch.setenv("LATENTREEL_MODELS", str(tmp_path))
    with pytest.raises(WrongUse, match=r"put it there \(by hand from https://a.page/x\)"):
        model_file(NAME)
    (tmp_path / NAME).write_bytes(CONTENT)
    assert model_file(NAME) == tmp_path / NAME


def test_a_file_by_any_of_its_names(serve):
    serve("good")
    assert weights_file("a-net", kind="backbone") == weights_file(NAME, kind="backbone") == str(cache_folder() / NAME)
    assert weights_file("ffhq-1024.safetensors", kind="generator") == "ffhq-1024.safetensors", "a path"
    assert Path(weights_file("puppet-128", kind="generator")).name == "puppet-128.safetensors"
    with pytest.raises(WrongUse, match="generator e4e-ffhq: the registry has it as encoder: "):
        weights_file("e4e-ffhq", kind="generator")
    found = find_model("e4e-ffhq")
    assert found is not None
    assert (found.name, found.kind) == ("e4e_ffhq_encode.pt", "encoder")
    assert find_model("e4e_ffhq_encode.pt") == found


@pytest.mark.parametrize(
    ("no_proxy", "n_through"),
    [pytest.param("", 2, id="through_it"), pytest.param("127.0.0.1,example.org", 0, id="past_it")],
)
def test_proxies_of_the_environment_are_honoured(serve, monkeypatch, no_proxy, n_through):
    """The first answer is an error, so that the second try, too, goes the same way."""
    server, proxy = serve("busy_once"), Proxy()
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("no_proxy", no_proxy)
    try:
        assert model_file(NAME).read_bytes() == CONTENT
    finally:
        proxy.close()
    assert proxy.asked == [server.url(NAME)] * n_through
    assert server.asked == [None, None]


def _fetch_alone(file):
    MODEL_FILES[NAME] = file
    model_file(NAME)


def test_what_a_process_left_that_was_killed_in_the_middle_is_used(serve):
    server = serve("slow")
    process = multiprocessing.get_context("fork").Process(target=_fetch_alone, args=(MODEL_FILES[NAME],))
    process.start()
    part = cache_folder() / f"{NAME}.part"
    until = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert names() == [f"{NAME}.part"], "it was killed too late or too early, so this test proved nothing"
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    server.manner = "good"
    assert model_file(NAME).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={have}-"]
    assert names() == [NAME]


def _fetch_onto_a_full_disk(file, told):
    """No file of this process may be longer: the system answers each write beyond as it answers one on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CUT_AT, CUT_AT))
    MODEL_FILES[NAME] = file
    try:
        model_file(NAME)
        told.put("fetched")
    except WrongUse as err:
        told.put(str(err))


def test_a_disk_that_takes_no_more_is_said_and_what_it_took_is_used(serve):
    server = serve("good")
    fork = multiprocessing.get_context("fork")
    told = fork.Queue()
    process = fork.Process(target=_fetch_onto_a_full_disk, args=(MODEL_FILES[NAME], told))
    process.start()
    said = told.get(timeout=30)
    process.join()
    assert re.fullmatch(rf"{cache_folder() / NAME}: cannot be written \(.*\); set XDG_CACHE_HOME to .*", said), said
    assert names() == [f"{NAME}.part"]
    have = (cache_folder() / f"{NAME}.part").stat().st_size
    assert 0 < have <= CUT_AT
    assert model_file(NAME).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={have}-"]


@pytest.mark.parametrize("file", MODEL_FILES.values(), ids=lambda file: file.short)
def test_the_registry_is_complete(file):
    assert file.licence and file.use and file.source
    assert file.url or file.page
    assert not file.url or file.url.startswith("https://")
    assert not file.url or file.url.endswith(f"/{file.name}")
    assert not file.page or file.page.startswith("https://")
    in_the_name = re.search(r"-([0-9a-f]{8,})\.", file.name)  # as torch.hub has it
    assert in_the_name is None or file.sha256.startswith(in_the_name[1])
    if "NVIDIA" in file.licence.upper():
        assert file.non_commercial


def test_short_names_are_of_one_file_each_and_no_names_of_files():
    shorts = [file.short for file in MODEL_FILES.values()]
    assert len(set(shorts)) == len(shorts) >= 40
    assert not set(shorts) & MODEL_FILES.keys()
