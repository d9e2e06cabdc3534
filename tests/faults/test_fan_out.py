"""A run that breaks within a film that fans out into many parts, and the next one.

Ray Data 2.60's own checkpoint takes an input for done as soon as one block with its id is written: with 8 inputs of 40
rows in small blocks and an error in input 5 at row 30, the next run reports success with 288 of 320 rows.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray.data
from rich.console import Console

import pipeline.flow
from pipeline.create_tables import open_or_create
from pipeline.flow import Pools, engine
from pipeline.progress import Progress
from pipeline.read import open_dataset
from pipeline.rows import unpack
from pipeline.run import run
from pipeline.stages import ClipTask, CutVideo, FindFaces, InvertAndStage
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from schemas.clips import LatentClip, SegmentTracks, TrackClip
from schemas.job import Input, Job
from schemas.video import Segment
from tests import builders

N_FILMS, N_ROWS, ROWS_A_PART = 8, 40, 8
BROKEN_FILM, BROKEN_ROW = 5, 30
N_PARTS = N_ROWS // ROWS_A_PART
BROKEN = f"{BROKEN_FILM:032x}"


class CutKnown(CutVideo):
    """One shot. Cut, dealt out and staged as films are."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def _cut(self, task: Input, at: Any) -> Cut:
        video = builders.video(N_ROWS, video_id=task.video_id, uri=task.uri)
        return Cut(video=video, shots=(builders.shot(0, N_ROWS),), n_segments=1)


class FindKnown(FindFaces):
    """One face, through the whole film, in several parts."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.find_tracks = _known_clips
        self.read_emotion = None


def _known_clips(segment: Segment, _read: Any) -> SegmentTracks:
    clips = [
        TrackClip(
            track=builders.face_track(
                part * ROWS_A_PART, ROWS_A_PART, key=builders.part_key(segment.video.video_id, part=part)
            ),
            crops_TRRC=np.zeros((ROWS_A_PART, 32, 32, 3), np.uint8),
        )
        for part in range(N_PARTS)
    ]
    return SegmentTracks(clips=clips)


class InvertKnown(InvertAndStage):
    """Breaks once, at one row of one film, as code breaks that nobody foresaw: no row of errors is made of it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.invert = _known_latents  # type: ignore[assignment]
        self.broken = Path(job.dataset).with_name("broken")

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        of_broken = [
            row for row in unpack(block) if isinstance(row, ClipTask) and row.clip.track.key.video_id == BROKEN
        ]
        if any(BROKEN_ROW in row.clip.track.frame_index for row in of_broken) and not self.broken.exists():
            self.broken.touch()
            raise ArithmeticError("unforeseen")
        yield from super().__call__(block)


def _known_latents(clips: list[TrackClip]) -> list[LatentClip]:
    return [builders.latent_clip(clip.track) for clip in clips]


def _run(todo: list[Input], job: Job) -> None:
    run(todo, job, Pools(), Progress(todo, console=Console(quiet=True)))


@pytest.mark.faults
def test_a_run_that_broke_within_a_film_loses_and_doubles_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_address: str
) -> None:
    for stage in (CutKnown, FindKnown, InvertKnown):
        monkeypatch.setattr(pipeline.flow, stage.__bases__[0].__name__, stage)
    film = tmp_path / "film"
    film.touch()
    job, canonical = builders.job(str(tmp_path / "dataset"))
    tables, _ = open_or_create(job, canonical, anew=False)
    todo = [Input(uri=str(film), video_id=f"{i:032x}", bytes=1) for i in range(N_FILMS)]

    with engine(ray_address):
        ray.data.DataContext.get_current().max_errored_blocks = 0  # the run ends with the error, as by Ray's default
        with pytest.raises(Exception, match="unforeseen"):
            _run(todo, job)
    staging = Staging(Store(job.dataset), job.config_id, BROKEN)
    assert (tmp_path / "broken").exists()
    assert staging.read_parts(0) == [str(builders.part_key(BROKEN, part=part)) for part in range(N_PARTS)]
    staged = [part for part in staging.read_parts(0) or [] if staging.part_rows(part) is not None]
    assert 0 < len(staged) < N_PARTS, "the film is not half done, so this test proved nothing"

    committed = set(tables.read("videos")["video_id"].to_pylist())
    assert BROKEN not in committed
    with engine(ray_address):
        _run([task for task in todo if task.video_id not in committed], job)

    dataset = open_dataset(job.dataset)
    found = dataset.sql("select video_id, frame_index, w[1] from frames order by all").fetchall()
    assert found == [(task.video_id, row, float(row)) for task in todo for row in range(N_ROWS)]
    assert sum(file.n_rows for file in dataset.files("frames")) == N_FILMS * N_ROWS, "none is hidden behind a view"
    fates = dataset.sql("select status, n_tracks, n_latents from videos").fetchall()
    assert fates == [("committed", 1, N_ROWS)] * N_FILMS
