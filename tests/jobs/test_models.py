"""`latentreel models`: the registry as a user sees it, and files fetched from a real server by the real command."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.model_files import MODEL_FILES, ModelFile
from tests.model_server import Manner, ModelServer
from tests.runs import run_here

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LATENTREEL_MODELS", raising=False)
    return tmp_path / "cache" / "latentreel" / "models"


class Registry:
    """Four files of servers, beside those of the real registry."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.servers: dict[str, ModelServer] = {}
        self.add("good-net", "good", kind="generator", sha256=SHA256, licence="A Licence", non_commercial=True)
        self.add("open-net", "good", kind="encoder")
        self.add("gone-net", "absent", kind="encoder", sha256=SHA256)
        self.add("odd-net", "wrong", kind="landmarks", sha256=SHA256)

    def add(self, short: str, manner: Manner, **facts: Any) -> None:
        server = self.servers[short] = ModelServer(CONTENT, manner)
        name = f"{short}.bin"
        file = ModelFile(name=name, short=short, url=server.url(name), use="[tests]", **{"licence": "MIT", **facts})
        self.monkeypatch.setitem(MODEL_FILES, name, file)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    found = Registry(monkeypatch)
    yield found
    for server in found.servers.values():
        server.close()


def states(*words: str) -> dict[str, str]:
    rows = json.loads(run_here("models", "list", "--format", "json", *words).stdout)
    return {row["short"]: row["state"] for row in rows}


def test_the_list_says_what_is_here_and_what_may_be_used_how(registry: Registry, cache: Path) -> None:
    run_here("models", "fetch", "good-net", "open-net.bin")
    (cache / "odd-net.bin").write_bytes(b"something else")
    (cache / "gone-net.bin.part").write_bytes(bytes(7_000_000))
    done = run_here("models", "list")
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "verified" in lines["good-net"]
    assert "NON-COMMERCIAL A Licence" in lines["good-net"]
    assert "unchanged" in lines["open-net"]
    assert "NON-COMMERCIAL" not in lines["open-net"]
    assert "[tests]" in lines["open-net"]
    assert "ANOTHER FILE" in lines["odd-net"]
    assert "7 MB of it" in lines["gone-net"]
    assert lines["lpips-vgg"].split()[:4] == ["lpips-vgg", "backbone", "553.4", "-"]
    assert lines["e4e-ffhq"].split()[1] == "encoder"


def test_the_list_as_json_and_by_kind(registry: Registry, cache: Path) -> None:
    run_here("models", "fetch", "good-net")
    (row,) = [
        row
        for row in json.loads(run_here("models", "list", "--format", "json", "--kind", "generator").stdout)
        if row["short"] == "good-net"
    ]
    assert row["state"] == "verified"
    assert Path(row["path"]) == cache / "good-net.bin"
    assert (row["sha256"], row["non_commercial"], row["kind"]) == (SHA256, True, "generator")
    assert states("--kind", "landmarks") == {"2dfan4": "-", "odd-net": "-"}


def test_the_others_are_fetched_when_one_fails_and_each_failure_is_named(registry: Registry, cache: Path) -> None:
    done = run_here("models", "fetch", "gone-net", "odd-net", "good-net", "open-net")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"good-net  {cache / 'good-net.bin'}  verified",
        f"open-net  {cache / 'open-net.bin'}  not verifiable",
    ]
    said = done.stderr.splitlines()
    assert [line for line in said if line.startswith("latentreel: gone-net.bin: ")]
    assert [line for line in said if line.startswith("latentreel: odd-net.bin: ") and "gave another file" in line]
    assert said[-1] == "latentreel: 2 of 4 files failed; the others are here"
    assert [line for line in said if line.startswith("warning: good-net is NON-COMMERCIAL: A Licence")]
    assert [line for line in said if line.startswith("warning: open-net cannot be verified: ")]
    assert (cache / "good-net.bin").read_bytes() == (cache / "open-net.bin").read_bytes() == CONTENT
    assert not (cache / "odd-net.bin").exists()


def test_what_is_here_is_checked_and_not_asked_for_again(registry: Registry, cache: Path) -> None:
    for _ in range(2):
        assert run_here("models", "fetch", "good-net").returncode == 0
    assert registry.servers["good-net"].asked == [None]
    (cache / "good-net.bin").write_bytes(CONTENT[::-1])
    done = run_here("models", "fetch", "good-net")
    assert done.returncode == 1
    assert "its sha256 begins with" in done.stderr


def test_a_kind_is_all_files_of_it(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name, file in MODEL_FILES.items() if file.kind == "encoder" and name != "open-net.bin"]:
        monkeypatch.delitem(MODEL_FILES, name)
    done = run_here("models", "fetch", "open-net", "--kind", "encoder")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


def test_a_mirror_is_checked_and_nothing_is_fetched(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "good-net.bin").write_bytes(CONTENT)
    monkeypatch.setenv("LATENTREEL_MODELS", str(mirror))
    done = run_here("models", "fetch", "good-net", "gone-net")
    assert done.returncode == 1
    assert done.stdout == f"good-net  {mirror / 'good-net.bin'}  verified\n"
    assert f"gone-net.bin is not in LATENTREEL_MODELS={mirror}; put it there (http" in done.stderr
    assert [server.asked for server in registry.servers.values()] == [[], [], [], []]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ("good-net", "no-net", "nor-this"), "no published file is called no-net, nor-this; see", id="name"
        ),
        pytest.param((), "nothing to fetch was named; give names as", id="no_name"),
    ],
)
def test_wrong_use_is_said_before_anything_is_fetched(registry: Registry, words: tuple[str, ...], message: str) -> None:
    done = run_here("models", "fetch", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"latentreel: {message}")
    assert registry.servers["good-net"].asked == []
