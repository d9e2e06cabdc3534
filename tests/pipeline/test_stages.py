"""The stages without Ray: a film in, committed rows out, however it is dealt out as work."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from operators.stylegan.checkpoint import save_generator
from operators.stylegan.random_weights import random_generator
from pipeline.finalise import finalise, quarantine
from pipeline.plan import plan_videos
from pipeline.read import open_dataset
from pipeline.rows import pack, unpack
from pipeline.stages import ClipTask, InvertAndStage, _receipt
from pipeline.staging import Staging, clear_leftovers
from pipeline.store import Store
from pipeline.tables import Tables
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Postponed, Receipt
from schemas.tables import TABLES
from schemas.video import Segment
from tests import builders
from tests.astronaut import write_astronaut_movie
from tests.operators.video_clips import write_clip
from tests.reference.inversion_clips import clip_of
from tests.without_engine import input_of, job_of, work_without_engine


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Input:
    path = tmp_path_factory.mktemp("film") / "astronaut.mp4"
    write_astronaut_movie(path)
    return input_of(path)


@pytest.fixture(scope="module")
def slim_128(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its crops are large, and nothing else of it."""
    path = tmp_path_factory.mktemp("generator") / "slim.safetensors"
    save_generator(random_generator(128, seed=0, channel_base=256, channel_max=8), str(path))
    return str(path)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the work is dealt out, and what comes of it."""

    settings: dict[str, Any]
    n_segments: int
    n_parts: int


WAYS = {
    "one_segment": Way(settings={}, n_segments=1, n_parts=2),
    "long_shots_in_pieces": Way(settings={"shots.segment_s": 0.8}, n_segments=5, n_parts=4),
    # 21 crops of 128 px fit, 1 of them is warm-up: cut where frame_index is a multiple of 20
    "long_tracks_in_parts": Way(
        settings={"faces.clip_bytes_max": 2**20, "faces.warmup_frames": 1}, n_segments=1, n_parts=6
    ),
}


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What a run leaves that is killed before the first commit: everything staged. Tests work on copies."""

    folder: Path
    settings: dict[str, Any]
    rows: list[Receipt | Postponed | ErrorRow]

    def copy(self, tmp_path: Path) -> Job:
        shutil.copytree(self.folder, tmp_path / "d")
        return job_of(tmp_path / "d", **self.settings)


@pytest.fixture(scope="module")
def staged(film: Input, slim_128: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Staged]:
    @cache
    def work(way: str) -> Staged:
        folder, settings = tmp_path_factory.mktemp(way) / "d", WAYS[way].settings
        if way == "long_tracks_in_parts":  # frame by frame: the quickest, and here only the parts count
            settings = {**settings, "generator": slim_128, "inversion.method": "naive"}
        return Staged(folder=folder, settings=settings, rows=work_without_engine(film, job_of(folder, **settings)))

    return work


@pytest.mark.parametrize("way", [pytest.param(way, id=way) for way in WAYS])
def test_a_track_is_whole_however_the_work_is_dealt_out(
    film: Input, staged: Callable[[str], Staged], tmp_path: Path, way: str
) -> None:
    job = staged(way).copy(tmp_path)
    receipts = [row for row in staged(way).rows if isinstance(row, Receipt)]
    assert {receipt.n_segments for receipt in receipts} == {WAYS[way].n_segments}
    assert sum(receipt.part is not None for receipt in receipts) == WAYS[way].n_parts
    fate = finalise(film, job)
    assert (fate.status, fate.n_shots, fate.n_tracks, fate.n_latents) == ("committed", 3, 2, 84)
    dataset = open_dataset(job.dataset)
    rows = dataset.sql("select shot_index, track_index, first_frame, n_frames from tracks order by 1").fetchall()
    assert rows == [(0, 0, 0, 48), (2, 0, 72, 36)]
    frames = dataset.sql("select frame_index from frames order by frame_index").fetchall()
    assert [row[0] for row in frames] == [*range(48), *range(72, 108)]


def test_the_crop_does_not_jump_at_a_seam(film: Input, staged: Callable[[str], Staged], tmp_path: Path) -> None:
    """Smoothing sees beyond both ends of a piece, so a piece starts where the piece before ends."""
    quads = []
    for way in ("one_segment", "long_shots_in_pieces"):
        job = staged(way).copy(tmp_path / way)
        finalise(film, job)
        quads.append(np.array(open_dataset(job.dataset).sql("select quad from frames order by frame_index").fetchall()))
    assert np.abs(quads[0] - quads[1]).max() < 0.02  # pixels; without the frames behind the seam it is 3.8


def test_staged_parts_are_used_again(film: Input, staged: Callable[[str], Staged], tmp_path: Path) -> None:
    """What a killed run leaves: everything staged, nothing committed."""
    first, second = staged("one_segment").rows, work_without_engine(film, staged("one_segment").copy(tmp_path))
    assert all(isinstance(row, Receipt) for row in [*first, *second])
    counts = [[(r.part, r.n_frames) for r in rows if isinstance(r, Receipt)] for rows in (first, second)]
    assert counts[0] == counts[1]
    assert [r.reused for r in second if isinstance(r, Receipt)] == [True, True]


@pytest.mark.parametrize(
    ("pattern", "damage", "n_reused"),
    [
        pytest.param("*-part000.parquet", lambda path: path.unlink(), 1, id="a_part_is_gone"),
        pytest.param("*-part000.parquet", lambda path: os.truncate(path, 100), 1, id="a_part_is_cut_off"),
        pytest.param("*.parts.json", lambda path: os.truncate(path, 3), 2, id="the_list_of_parts_is_cut_off"),
        pytest.param("*.thumbs.parquet", lambda path: os.truncate(path, 50), 2, id="the_thumbnails_are_cut_off"),
        pytest.param("*.thumbs.parquet", lambda path: path.unlink(), 2, id="the_thumbnails_are_gone"),
        pytest.param("cut.parquet", lambda path: os.truncate(path, 50), 2, id="the_cut_is_cut_off"),
    ],
)
def test_what_is_torn_is_made_again(
    film: Input,
    staged: Callable[[str], Staged],
    tmp_path: Path,
    pattern: str,
    damage: Callable[[Path], object],
    n_reused: int,
) -> None:
    job = staged("one_segment").copy(tmp_path)
    torn = sorted((tmp_path / "d" / "_staging").rglob(pattern))[-1]
    content = torn.read_bytes()
    damage(torn)
    rows = work_without_engine(film, job)
    assert [type(row) for row in rows] == [Receipt, Receipt]
    assert sum(row.reused for row in rows if isinstance(row, Receipt)) == n_reused
    assert torn.read_bytes() == content


def test_a_part_that_is_damaged_inside_says_so_once(
    film: Input, staged: Callable[[str], Staged], tmp_path: Path
) -> None:
    job = staged("one_segment").copy(tmp_path)
    torn = sorted((tmp_path / "d" / "_staging").rglob("*-part000.parquet"))[0]
    content = bytearray(torn.read_bytes())
    content[4:400] = bytes(396)  # pages, not the footer
    torn.write_bytes(content)
    with pytest.raises(FileNotFoundError, match="was torn and is removed; the next run makes it again"):
        finalise(film, job)
    assert work_without_engine(film, job)
    assert finalise(film, job).status == "committed"


def test_finalising_twice_is_finalising_once(film: Input, staged: Callable[[str], Staged], tmp_path: Path) -> None:
    """The second driver, or the same one after a crash between the last commit and the clearing of `_staging`."""
    job = staged("one_segment").copy(tmp_path)
    finalise(film, job)
    before = [open_dataset(job.dataset).size(name) for name in TABLES]
    shutil.copytree(staged("one_segment").folder / "_staging", tmp_path / "d" / "_staging", dirs_exist_ok=True)
    finalise(film, job)
    assert [open_dataset(job.dataset).size(name) for name in TABLES] == before


def test_the_slower_of_two_drivers_learns_the_fate(
    film: Input, staged: Callable[[str], Staged], tmp_path: Path
) -> None:
    """The faster one has committed the film and cleared what both had staged."""
    job = staged("one_segment").copy(tmp_path)
    fate = finalise(film, job)
    assert finalise(film, job) == fate
    never_seen = replace(film, video_id="0" * 32)
    with pytest.raises(FileNotFoundError, match="is not cut"):
        finalise(never_seen, job)


def test_leftovers_of_committed_films_are_cleared_and_no_others(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for video_id in ("committed", "half-done"):
        store.write(f"_staging/config/{video_id}/cut.parquet", b"x")
    clear_leftovers(store, "config", {"committed", "elsewhere"})
    assert store.folders("_staging/config") == ["half-done"]
    clear_leftovers(store, "another-config", {"committed"})


def test_a_scene_is_sampled_from_its_stored_knots(film: Input, tmp_path: Path) -> None:
    """Few evaluations: the road of the knots is asked for, not their places."""
    few = {"round_evaluations": 4, "evaluations": 4, "evaluations_per_draw": 4, "probe_evaluations": 3}
    settings = {f"scene.{name}": value for name, value in {**few, "frames_per_segment": 4}.items()}
    job = job_of(tmp_path / "d", **settings, **{"inversion.method": "scene"})
    work_without_engine(film, job)
    finalise(film, job)
    dataset = open_dataset(job.dataset)
    tracks = dataset.sql("select track_id, knots, n_frames from tracks").fetchall()
    assert len(tracks) == 2
    for track_id, knots, n_frames in tracks:
        assert 2 <= knots < n_frames / 2
        path = dataset.path(track_id)
        assert len(path.pts_us) == knots
        pts_us = dataset.sql(f"select pts_us from frames where track_id = '{track_id}' order by 1").fetchnumpy()[
            "pts_us"
        ]
        np.testing.assert_allclose(path.at(pts_us), dataset.track(track_id), rtol=2**-10, atol=2**-20)


def test_a_bad_film_is_an_error_row_with_its_stage(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film\n")
    (row,) = work_without_engine(input_of(tmp_path / "text.mp4"), job_of(tmp_path / "d"))
    assert isinstance(row, ErrorRow)
    assert (row.stage, row.permanent, "text.mp4" in row.message) == ("probe", True, True)
    assert "\n" not in row.message


def test_a_film_that_went_away_may_be_tried_again(film: Input, tmp_path: Path) -> None:
    gone = Input(uri=str(tmp_path / "gone.mp4"), video_id=film.video_id, bytes=1)
    (row,) = work_without_engine(gone, job_of(tmp_path / "d"))
    assert isinstance(row, ErrorRow)
    assert (row.stage, row.permanent) == ("probe", False)


def test_latents_that_are_not_finite_are_a_reason_and_no_row(film: Input, noisy_32: str, tmp_path: Path) -> None:
    """Steps so large that every latent overflows: a real NaN, on the real road, up to the tables."""
    wild = {"inversion.method": "naive", "inversion.noise": True, "inversion.learning_rate": 1e30}
    job = job_of(tmp_path / "d", generator=noisy_32, **wild)
    rows = work_without_engine(film, job)
    errors = [row for row in rows if isinstance(row, ErrorRow)]
    assert len(errors) == len(rows) == 2, "one for the part of each track"
    for row, shot, frame in zip(errors, (0, 2), (0, 72), strict=True):
        assert (row.stage, row.error_type, row.permanent) == ("inversion", "BadInput", True)
        assert f"track seg00000-shot{shot:05d}-track000-part000: frame {frame} has no finite latent" in row.message
        assert "lower inversion.learning_rate" in row.message
        assert "\n" not in row.message
    assert not list((tmp_path / "d" / "_staging").rglob("*-part000.parquet")), "nothing of it may be taken up again"
    quarantine(film, job, errors[0])
    dataset = open_dataset(str(tmp_path / "d"))
    ((status, stage, reason),) = dataset.sql("select status, stage, reason from videos").fetchall()
    assert (status, stage, reason.startswith(errors[0].message)) == ("quarantined", "inversion", True)
    assert [dataset.table(name).num_rows for name in ("frames", "tracks", "shots")] == [0, 0, 0]


def test_of_a_batch_only_the_clip_at_fault_is_lost(tmp_path: Path) -> None:
    job = job_of(tmp_path / "d")
    film = Input(uri="film.mp4", video_id="v", bytes=1)
    sides_px = (32, 64, 32)  # the generator makes 32
    clips = [clip_of(np.zeros((2, px, px, 3), np.uint8), track_index=i) for i, px in enumerate(sides_px)]
    segment = Segment(
        video=builders.video(), segment_index=0, n_segments=1, shots=(builders.shot(0, 24),), first_frame=0, n_frames=24
    )
    block = pa.concat_tables(
        pack(
            film.video_id, ClipTask(input=film, clip=clip, receipt=_receipt(segment, n_parts=3, part=name, n_frames=2))
        )
        for clip in clips
        for name in [str(clip.track.key)]
    )
    rows = [row for block in InvertAndStage(job)(block) for row in unpack(block)]
    lost = [row for row in rows if isinstance(row, ErrorRow)]
    assert [(row.stage, "track001-part000: crops are 64 px" in row.message) for row in lost] == [("inversion", True)]
    staging = Staging(Store(job.dataset), job.config_id, film.video_id)
    assert [staging.part_rows(str(clip.track.key)) is not None for clip in clips] == [True, False, True]
    assert [row.part for row in rows if isinstance(row, Receipt)] == [str(clips[i].track.key) for i in (0, 2)]


def test_a_film_that_is_written_to_while_it_is_read_is_left_for_later(tmp_path: Path) -> None:
    """Its rows would be under the name of a content that is not there any more."""
    path = write_clip(tmp_path / "film.mp4", n_frames=24)
    job = job_of(tmp_path / "dataset")
    tables = Tables(job.dataset, {})
    time.sleep(0.2)  # what was written just now is not trusted
    (task,) = plan_videos((str(path),), tables).todo
    assert task.tag is not None
    with path.open("ab") as end:
        end.write(b"\0" * 100)  # decoders do not mind
    (result,) = work_without_engine(task, job)
    assert isinstance(result, Postponed)
