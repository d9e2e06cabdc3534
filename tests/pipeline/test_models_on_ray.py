"""Weights that workers ask for: one node fetches a file once, whoever asks first."""

import hashlib
import os
from pathlib import Path

import ray

from pipeline.flow import engine
from schemas.model_files import ModelFile
from tests.model_server import ModelServer

CONTENT = bytes(range(256)) * 800
N_ACTORS, N_TASKS = 3, 2


def test_actors_and_tasks_of_one_node_fetch_a_file_once(tmp_path: Path, ray_address: str) -> None:
    server = ModelServer(CONTENT, "slow")  # half a second: the others come while the first one fetches
    file = ModelFile(
        name="net.pth",
        short="a-net",
        kind="backbone",
        url=server.url("net.pth"),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="none",
        use="tests",
    )

    def ask() -> tuple[int, str, bool]:
        from operators.models.model_file import model_file
        from schemas.model_files import MODEL_FILES  # the worker's own, not a copy that travels with this function

        os.environ["XDG_CACHE_HOME"] = str(tmp_path)
        os.environ.pop("LATENTREEL_MODELS", None)
        MODEL_FILES[file.name] = file
        path = model_file(file.name)
        return os.getpid(), str(path), path.read_bytes() == CONTENT

    class Worker:
        def __init__(self) -> None:
            self.found = ask()

        def answer(self) -> tuple[int, str, bool]:
            return self.found

    with engine(ray_address):
        actors = [ray.remote(num_cpus=1)(Worker).remote() for _ in range(N_ACTORS)]
        tasks = [ray.remote(num_cpus=1)(ask).remote() for _ in range(N_TASKS)]
        answers = ray.get([actor.answer.remote() for actor in actors] + tasks, timeout=60)
    server.close()
    assert len({pid for pid, _, _ in answers[:N_ACTORS]}) == N_ACTORS, "one process asked, so this test proved nothing"
    assert {(path, whole) for _, path, whole in answers} == {
        (str(tmp_path / "latentreel" / "models" / "net.pth"), True)
    }
    assert server.asked == [None]
