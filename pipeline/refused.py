"""Sources that are no readable file get a row in `videos` too: pipes, folders with a film's name, files of others.

Such a row is named by a hash of its address, since there are no bytes to name it by. It goes when the address holds a
film that can be read (`Input.replaces`), or by `latentreel retry`.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.commit import Change, commit
from pipeline.final_files import write_rows
from pipeline.sources import Problem
from pipeline.tables import Tables
from schemas.job import Job
from schemas.tables import VIDEOS


def refused_id(uri: str) -> str:
    """32 hex digits, as a film's id; no film has it."""
    return hashlib.sha256(f"not a readable file: {uri}".encode()).hexdigest()[:32]


def commit_refused(problems: Iterable[Problem], job: Job) -> None:
    """A row for each lasting problem that has none, all in one commit. Safe to repeat."""
    tables = Tables(job.dataset, job.storage_options)
    lasting = {refused_id(problem.source): problem for problem in problems if problem.is_lasting}
    if not lasting:
        return

    def change_of(_newest: DeltaTable) -> Change | None:
        known = tables.read("videos", ["video_id"], only=ds.field("video_id").isin(list(lasting)))
        new = [_row(video_id, lasting[video_id], job) for video_id in lasting.keys() - {*known["video_id"].to_pylist()}]
        if not new:
            return None
        rows = pa.Table.from_pylist(new, schema=VIDEOS).sort_by("video_id")
        return Change(what=f"refused {len(new)} sources", adds=write_rows(tables.store, "videos", rows))

    commit(tables, "videos", change_of)


def _row(video_id: str, problem: Problem, job: Job) -> dict[str, object]:
    return {
        "video_id": video_id,
        "uri": problem.source,
        "bytes": 0,
        "n_tracks": 0,
        "n_latents": 0,
        "status": "quarantined",
        "stage": "source",
        "error_type": "NotReadable",
        "reason": problem.message,
        "attempts": 1,
        "config_id": job.config_id,
        "run_id": job.run_id,
        "committed_at": datetime.now(UTC),
    }
