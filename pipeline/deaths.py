"""Films that were at work when a run died: any of them may be what killed it, as by eating the machine's memory.

    _staging/_runs/<run_id>.json                            a run is at work: where, as which process; each minute anew
    _staging/<config_id>/<video_id>/begun-<run_id>.json     that run has begun this film; how much was staged then

A run that ends removes its own file, and where it ends by an exception what it has begun: a full disk speaks against
no film. A film counts as one that a run died on when the run got no further with it: a film that only takes longer than
runs live is above suspicion.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.staging import Staging
from pipeline.store import Store
from schemas.job import Input, Job

BEAT_S = 60.0
SILENT_S = 10 * BEAT_S  # of a run on another machine: after so long it counts as dead. An object store may be slow
_RUNS = "_staging/_runs"
_BEGUN = "begun-"


@contextmanager
def alive(job: Job) -> Iterator[None]:
    """While the block runs, everybody can see that this run lives."""
    store, name = Store(job.dataset, job.storage_options), f"{_RUNS}/{job.run_id}.json"
    content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}).encode()
    store.write(name, content)
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, name, content, ended), daemon=True)
    heart.start()
    try:
        yield
    except BaseException:
        for video_id in store.folders(f"_staging/{job.config_id}"):
            with suppress(OSError):
                store.remove(f"{Staging(store, job.config_id, video_id).folder}/{_BEGUN}{job.run_id}.json")
        raise
    finally:
        ended.set()
        heart.join()
        with suppress(OSError):  # a disk that is full must not hide why the run ends
            store.remove(name)


def _beat(store: Store, name: str, content: bytes, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        with suppress(OSError):
            store.write(name, content)


def begin(staging: Staging, run_id: str) -> None:
    """Said by a worker before it opens a film. Saying it twice changes nothing."""
    content = json.dumps({"staged": _n_staged(staging)}).encode()
    staging.store.write_once(f"{staging.folder}/{_BEGUN}{run_id}.json", content)


def deaths(job: Job, todo: list[Input]) -> dict[str, int]:
    """By video_id: how many runs died on a film without getting ahead. Films that none died on are left out.

    Takes time for the films that were begun alone, not for all that there are to do.
    """
    store = Store(job.dataset, job.storage_options)
    begun = set(store.folders(f"_staging/{job.config_id}")) & {task.video_id for task in todo}
    if not begun:
        return {}
    now_s = store.now_s(_RUNS)
    living = {job.run_id}
    for name in store.names(_RUNS):
        if _lives(store, f"{_RUNS}/{name}", now_s):
            living.add(name.removesuffix(".json"))
        else:
            store.remove(f"{_RUNS}/{name}")
    found = {video_id: _deaths(Staging(store, job.config_id, video_id), living) for video_id in begun}
    return {video_id: n for video_id, n in found.items() if n}


def _deaths(staging: Staging, living: set[str]) -> int:
    n_staged, n = _n_staged(staging), 0
    for name in staging.store.names(staging.folder):
        if name.startswith(_BEGUN) and name.removeprefix(_BEGUN).removesuffix(".json") not in living:
            content = _read(staging.store, f"{staging.folder}/{name}")
            n += content is not None and content["staged"] == n_staged
    return n


def _n_staged(staging: Staging) -> int:
    return sum(not name.startswith(_BEGUN) for name in staging.store.names(staging.folder))


def _lives(store: Store, name: str, now_s: float) -> bool:
    run = _read(store, name)
    if run is None:
        return False
    if run["host"] != socket.gethostname():
        return now_s - store.modified_s(name) < SILENT_S
    return _started(run["pid"]) == run["started"]


def _read(store: Store, name: str) -> dict[str, object] | None:
    """None where it is gone, or was torn by a power cut."""
    with suppress(FileNotFoundError, ValueError):
        content: dict[str, object] = json.loads(store.read(name))
        return content
    return None


def _started(pid: object) -> str | None:
    """When a process was started, in the kernel's own count: numbers of processes are given out again. None: gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] == "Z" else fields[19]
