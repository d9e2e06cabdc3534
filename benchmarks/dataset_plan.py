"""Planning one new film against a ledger of 100,000: time and memory of a fresh process.

    python -m benchmarks.dataset_plan

The films are empty files in folders of 1,000, as an archive has them; the dataset accounts for all but one. Either the
folder is named, or the new film alone. The reference lists the folder and does nothing else.
"""

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pyarrow as pa

from benchmarks.machine import describe_machine
from pipeline.commit import Change, commit
from pipeline.create_tables import open_or_create
from pipeline.final_files import write_rows
from pipeline.plan import plan_videos
from pipeline.source_ledger import SourceLedger
from pipeline.sources import expand_sources
from pipeline.tables import Tables, open_tables
from schemas.tables import VIDEOS
from tests import builders

N_FILMS = 100_000
TAIL = 200  # films committed since the last compaction: one small file each
ROUNDS = 3


def planning() -> None:
    """Prints the table."""
    print(describe_machine())
    with tempfile.TemporaryDirectory() as root:
        _archive(Path(root))
        print(f"ledger of {N_FILMS:,} films, {TAIL} of them in small files; a fresh process each, best of {ROUNDS}")
        print(f"{'':<28}{'seconds':>9}{'peak MB':>9}{'to do':>7}")
        for name in ("nothing", "list", "file", "folder"):
            runs = [_in_a_fresh_process(root, name) for _ in range(ROUNDS)]
            best = min(runs, key=lambda run: run["seconds"])
            print(f"{_LABELS[name]:<28}{best['seconds']:>9.2f}{best['peak_mb']:>9.0f}{best['todo']:>7}")


_LABELS = {
    "nothing": "imports alone",
    "list": "listing the folder alone",
    "file": "plan, the new film named",
    "folder": "plan, the folder named",
}


def _archive(root: Path) -> None:
    """The films, and a dataset that knows all but one."""
    for i in range(N_FILMS):
        film = _film(root, i)
        film.parent.mkdir(parents=True, exist_ok=True)
        film.touch()
    dataset = str(root / "dataset")
    job, canonical = builders.job(dataset)
    tables, _ = open_or_create(job, canonical, anew=False)
    time.sleep(0.2)  # files that were written to just now are not trusted
    stamps = expand_sources((str(root / "films"),)).films
    seen = {uri: (stamp, f"{i:032x}") for i, (uri, stamp) in enumerate(stamps.items()) if stamp is not None}
    SourceLedger(tables).add(seen)
    _add(tables, list(seen)[:-TAIL], 0, job.config_id)
    for i, uri in enumerate(list(seen)[-TAIL:], N_FILMS - TAIL):
        _add(tables, [uri], i, job.config_id)
    (root / "films" / "new.mp4").write_bytes(b"new")


def _film(root: Path, i: int) -> Path:
    return root / "films" / f"{i // 1000:03d}" / f"a film of some length in its name {i:06d}.mp4"


def _add(tables: Tables, uris: list[str], first: int, config_id: str) -> None:
    rows = []
    for i, uri in enumerate(uris, first):
        row = dict.fromkeys(VIDEOS.names)
        row |= {"video_id": f"{i:032x}", "uri": uri, "bytes": 0, "n_tracks": 20, "n_latents": 2000, "attempts": 0}
        row |= {"status": "committed", "config_id": config_id, "run_id": "r", "committed_at": datetime.now(UTC)}
        rows.append(row)
    files = write_rows(tables.store, "videos", pa.Table.from_pylist(rows, schema=VIDEOS))
    commit(tables, "videos", lambda _: Change(what="benchmark", adds=files))


def _in_a_fresh_process(root: str, name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.dataset_plan", name, root]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(name: str, root: str) -> None:
    started, todo = time.perf_counter(), 0
    if name == "list":
        fs, path = fsspec.core.url_to_fs(f"{root}/films")
        todo = len(fs.find(path, detail=True))
    elif name != "nothing":
        source = f"{root}/films/new.mp4" if name == "file" else f"{root}/films"
        todo = len(plan_videos((source,), open_tables(f"{root}/dataset")).todo)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()  # of getrusage's peak a fork inherits its parent's
    peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "todo": todo}))


if __name__ == "__main__":
    _measure(*sys.argv[1:]) if len(sys.argv) > 1 else planning()
