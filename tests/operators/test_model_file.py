"""Weights of others: from a mirror, from the cache, or fetched once from a server that misbehaves as servers do."""

import hashlib
import json
import multiprocessing
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from operators.models import download as download_module
from operators.models.model_file import cache_folder, model_file
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES, ModelFile

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CUT_AT = 120_000
NAME = "net-0123456789.pth"


class Server(ThreadingHTTPServer):
    """Serves CONTENT. `manner` says how; `asked` holds the Range of each request, or None."""

    daemon_threads = True

    def __init__(self, manner):
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner = manner
        self.asked = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(self.headers.get("Range"))
        n = len(server.asked)
        manner = server.manner
        if manner == "absent":
            return self.send_error(404)
        if manner == "busy_once" and n == 1:
            return self.send_error(503)
        content, first = CONTENT, 0
        if manner == "wrong":
            content = b"<html>log in to the network</html>"
        elif manner == "always_cut":
            content = CONTENT[:CUT_AT]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and manner not in ("no_ranges", "always_cut"):
            first = int(wanted[1])
            if first >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str((len(CONTENT) if manner == "always_cut" else len(content)) - first))
        self.end_headers()
        if n == 1 and manner in ("cut", "no_ranges"):
            content = content[:CUT_AT]  # and the connection is closed
        return self.wfile.write(content[first:])

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LATENTREEL_MODELS", raising=False)
    monkeypatch.setattr(download_module, "_PAUSE_S", 0.001)


@pytest.fixture
def serve(monkeypatch):
    """Starts a server and makes its file the registry's NAME."""
    servers = []

    def start(manner, sha256=SHA256):
        server = Server(manner)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{NAME}"
        file = ModelFile(name=NAME, url=url, sha256=sha256, bytes=len(CONTENT), licence="none", use="tests")
        monkeypatch.setitem(MODEL_FILES, NAME, file)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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
        pytest.param("wrong", r"gave 34 bytes whose sha256 begins with \w{10}, that of the published", [], id="wrong"),
        pytest.param("absent", r"cannot be fetched \(the server answers 404\); try again", [], id="absent"),
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
    with pytest.raises(WrongUse, match="whose sha256 begins with"):
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


@pytest.mark.parametrize("file", MODEL_FILES.values(), ids=lambda file: file.name)
def test_the_registry_is_complete(file):
    assert re.fullmatch(r"[0-9a-f]{10,64}", file.sha256)
    assert file.url.startswith("https://")
    assert file.url.endswith(file.name)
    assert file.licence and file.use
    in_the_name = re.search(r"-([0-9a-f]{8,})\.", file.name)  # as torch.hub has it
    assert in_the_name is None or file.sha256.startswith(in_the_name[1])
