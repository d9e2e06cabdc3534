"""The stages without Ray: a film in, committed rows out, however it is dealt out as work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.video.video_id import video_id_of
from pipeline.finalise import Fate, finalise
from pipeline.read import Dataset, open_dataset
from pipeline.rows import pack, unpack
from pipeline.stages import CutVideo, FindFaces, InvertAndStage
from pipeline.staging import clear_leftovers
from pipeline.store import Store
from pipeline.tables import open_or_create
from schemas.config import config_id, load_config
from schemas.generators import describe_generator
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Note, Receipt
from tests.astronaut import write_astronaut_movie

QUICK = {
    "inversion.first_steps": 2,
    "inversion.next_steps": 3,
    "inversion.prior_samples": 1000,
    "faces.supersample": 1,
    "generator": "random-32",
}


def _job(dataset: Path, **settings: Any) -> Job:
    config = load_config(None, {**QUICK, **settings})
    generator = describe_generator(config.generator, seed=0)
    canonical = config.canonical(generator_id=generator.generator_id, emotion_id=None)
    job = Job(dataset=str(dataset), config=config, config_id=config_id(canonical), generator=generator, run_id="stages")
    open_or_create(job, canonical, anew=False)
    return job


def _film(path: Path) -> Input:
    with path.open("rb") as file:
        return Input(uri=str(path), video_id=video_id_of(file), bytes=path.stat().st_size)


def _work(film: Input, job: Job) -> list[Receipt | ErrorRow]:
    cut, find, invert = CutVideo(job), FindFaces(job), InvertAndStage(job)
    blocks = (
        receipt for segment in cut(pack(film.video_id, film)) for clip in find(segment) for receipt in invert(clip)
    )
    return [row for block in blocks for row in unpack(block) if not isinstance(row, Note)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Input:
    path = tmp_path_factory.mktemp("film") / "astronaut.mp4"
    write_astronaut_movie(path)
    return _film(path)


def _made(film: Input, dataset: Path, **settings: Any) -> tuple[Fate, list[Receipt], Dataset]:
    job = _job(dataset, **settings)
    receipts = [row for row in _work(film, job) if isinstance(row, Receipt)]
    return finalise(film, job), receipts, open_dataset(str(dataset))


@pytest.mark.parametrize(
    ("settings", "n_segments", "n_parts"),
    [
        pytest.param({}, 1, 2, id="one_segment"),
        pytest.param({"shots.segment_s": 0.8}, 5, 4, id="long_shots_in_pieces"),
        # 21 crops of 128 px fit, 1 of them is warm-up: cut where frame_index is a multiple of 20
        pytest.param(
            {"faces.clip_bytes_max": 2**20, "faces.warmup_frames": 1, "generator": "random-128"},
            1,
            6,
            id="long_tracks_in_parts",
        ),
    ],
)
def test_a_track_is_whole_however_the_work_is_dealt_out(
    film: Input, tmp_path: Path, settings: dict[str, Any], n_segments: int, n_parts: int
) -> None:
    fate, receipts, dataset = _made(film, tmp_path / "d", **settings)
    assert {receipt.n_segments for receipt in receipts} == {n_segments}
    assert sum(receipt.part is not None for receipt in receipts) == n_parts
    assert (fate.status, fate.n_shots, fate.n_tracks, fate.n_latents) == ("committed", 3, 2, 84)
    rows = dataset.sql("select shot_index, track_index, first_frame, n_frames from tracks order by 1").fetchall()
    assert rows == [(0, 0, 0, 48), (2, 0, 72, 36)]
    frames = dataset.sql("select frame_index from frames order by frame_index").fetchall()
    assert [row[0] for row in frames] == [*range(48), *range(72, 108)]


def test_the_crop_does_not_jump_at_a_seam(film: Input, tmp_path: Path) -> None:
    """Smoothing sees beyond both ends of a piece, so a piece starts where the piece before ends."""
    *_, whole = _made(film, tmp_path / "whole")
    *_, pieces = _made(film, tmp_path / "pieces", **{"shots.segment_s": 0.8})
    a, b = (np.array(d.sql("select quad from frames order by frame_index").fetchall()) for d in (whole, pieces))
    assert np.abs(a - b).max() < 0.02  # pixels; without the frames behind the seam it is 3.8


def test_staged_parts_are_used_again(film: Input, tmp_path: Path) -> None:
    """What a killed run leaves: everything staged, nothing committed."""
    job = _job(tmp_path / "d")
    first, second = _work(film, job), _work(film, job)
    assert all(isinstance(row, Receipt) for row in [*first, *second])
    counts = [[(r.part, r.n_frames) for r in rows if isinstance(r, Receipt)] for rows in (first, second)]
    assert counts[0] == counts[1]
    assert [r.reused for r in second if isinstance(r, Receipt)] == [True, True]


def test_a_torn_part_is_made_again(film: Input, tmp_path: Path) -> None:
    job = _job(tmp_path / "d")
    _work(film, job)
    lost = sorted((tmp_path / "d" / "_staging").rglob("*-part000.parquet"))[1]
    content = lost.read_bytes()
    lost.unlink()
    reused = [row.reused for row in _work(film, job) if isinstance(row, Receipt)]
    assert sorted(reused) == [False, True]
    assert lost.read_bytes() == content


def test_finalising_twice_is_finalising_once(film: Input, tmp_path: Path) -> None:
    """The second driver, or the same one after a crash between the last commit and the clearing of `_staging`."""
    job = _job(tmp_path / "d")
    _work(film, job)
    finalise(film, job)
    dataset = open_dataset(str(tmp_path / "d"))
    before = [dataset.size(name) for name in ("frames", "shots", "tracks", "videos")]
    _work(film, job)
    finalise(film, job)
    after = [open_dataset(str(tmp_path / "d")).size(name) for name in ("frames", "shots", "tracks", "videos")]
    assert before == after


def test_the_slower_of_two_drivers_learns_the_fate(film: Input, tmp_path: Path) -> None:
    """The faster one has committed the film and cleared what both had staged."""
    job = _job(tmp_path / "d")
    _work(film, job)
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


def test_a_bad_film_is_an_error_row_with_its_stage(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film\n")
    (row,) = _work(_film(tmp_path / "text.mp4"), _job(tmp_path / "d"))
    assert isinstance(row, ErrorRow)
    assert (row.stage, row.permanent, "text.mp4" in row.message) == ("probe", True, True)
    assert "\n" not in row.message


def test_a_film_that_went_away_may_be_tried_again(film: Input, tmp_path: Path) -> None:
    gone = Input(uri=str(tmp_path / "gone.mp4"), video_id=film.video_id, bytes=1)
    (row,) = _work(gone, _job(tmp_path / "d"))
    assert isinstance(row, ErrorRow)
    assert (row.stage, row.permanent) == ("probe", False)
