"""Attempts and quarantine, with workers that really die."""

import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

import pipeline.alone
import pipeline.flow
from pipeline.create_tables import open_or_create
from pipeline.finalise import Fate
from pipeline.flow import Pools, engine
from pipeline.progress import Progress
from pipeline.read import open_dataset
from pipeline.rows import pack, unpack
from pipeline.run import run
from pipeline.stages import CutVideo, _receipt
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from schemas.job import Input
from schemas.video import Segment
from tests import builders


class CutOrDie(CutVideo):
    """Each film has one shot without a face. Films named `deadly` kill their process."""

    def __init__(self, job) -> None:
        self.job = job

    def __call__(self, block):
        for task in unpack(block):
            marker = Path(task.uri)
            if "deadly" in task.uri:
                with marker.open("a") as file:
                    file.write("x")
                os.kill(os.getpid(), signal.SIGKILL)  # no exception, no cleanup: what the OOM killer does
            video = builders.video(24, video_id=task.video_id, uri=task.uri)
            shots = (builders.shot(0, 24),)
            staging = Staging(Store(self.job.dataset), self.job.config_id, task.video_id)
            staging.write_cut(Cut(video=video, shots=shots, n_segments=1))
            staging.write_parts(0, [])
            segment = Segment(video=video, segment_index=0, n_segments=1, shots=shots, first_frame=0, n_frames=24)
            yield pack(task.video_id, _receipt(segment, n_parts=0, part=None, n_frames=0))


class PassOn:
    def __init__(self, job) -> None:
        pass

    def __call__(self, block):
        yield block


@pytest.mark.faults
def test_a_film_that_kills_its_worker_is_quarantined_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_address: str
) -> None:
    monkeypatch.setattr(pipeline.flow, "CutVideo", CutOrDie)
    monkeypatch.setattr(pipeline.flow, "FindFaces", PassOn)
    monkeypatch.setattr(pipeline.flow, "InvertAndStage", PassOn)
    for name, stage in (("CutVideo", CutOrDie), ("FindFaces", PassOn), ("InvertAndStage", PassOn)):
        monkeypatch.setattr(pipeline.alone, name, stage)
    todo = []
    for i, name in enumerate(("good-a", "deadly", "good-b")):
        marker = tmp_path / name
        marker.touch()
        todo.append(Input(uri=str(marker), video_id=f"{i:032x}", bytes=1))
    job, canonical = builders.job(str(tmp_path / "dataset"))
    open_or_create(job, canonical, anew=False)
    with engine(ray_address):
        summary = run(todo, job, Pools(), Progress(todo, console=Console(quiet=True)))

    deaths = {name: (tmp_path / name).stat().st_size for name in ("deadly", "good-a")}
    assert deaths["deadly"] >= 3, "nothing was killed, so this test proved nothing"
    assert deaths["good-a"] == 0
    fates = {Path(fate.uri).name: fate for fate in summary.fates}
    assert {name: fate.status for name, fate in fates.items()} == {
        "good-a": "no_faces",
        "good-b": "no_faces",
        "deadly": "quarantined",
    }
    assert isinstance(fates["deadly"], Fate)
    rows = open_dataset(job.dataset).sql("select status, stage, attempts, reason from videos order by video_id")
    status, stage, attempts, reason = rows.fetchall()[1]
    assert (status, stage, attempts) == ("quarantined", "engine", 3)
    assert "worker process died" in reason
