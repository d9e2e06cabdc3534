"""`--subject frame`: films without a face become latents, from their first stage to a rendered track."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from jobs.describe_job import describe_job
from jobs.render import render
from operators.latents.side_by_side import SideBySide
from pipeline.create_tables import open_or_create
from pipeline.finalise import finalise
from pipeline.read import Dataset, open_dataset
from schemas.config import load_config
from schemas.errors import WrongUse
from schemas.outcomes import Receipt
from tests.operators.video_clips import write_clip
from tests.reference.played import played_psnr
from tests.runs import FAST, assert_equal_datasets, run_here
from tests.without_engine import QUICK, input_of, work_without_engine


def _scenes() -> Iterable[np.ndarray]:
    """Two scenes of drifting stripes in a letter box, 30 frames each, cut at 30."""
    y, x = np.mgrid[:120, :160]
    for i in range(60):
        wave = np.sin((x if i < 30 else 2 * y) / 6 + i / 9)
        colour = np.array([90, 60, 20] if i < 30 else [20, 70, 100])
        frame = 128 + wave[..., None] * colour
        frame[:12] = frame[-12:] = 0
        yield frame.astype(np.uint8)


def _dataset(film: Path, folder: Path, **settings: Any) -> tuple[Dataset, int]:
    """And the number of segments."""
    config = load_config(None, {**QUICK, "subject": "frame", **settings})
    job, canonical = describe_job(config, str(folder))
    open_or_create(job, canonical, anew=False)
    task = input_of(film)
    rows = work_without_engine(task, job)
    assert all(isinstance(row, Receipt) for row in rows), rows
    assert finalise(task, job).status == "committed"
    return open_dataset(str(folder)), rows[0].n_segments  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "stripes.mp4", frames=_scenes())


@pytest.fixture(scope="module")
def whole(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset, n_segments = _dataset(film, tmp_path_factory.mktemp("whole") / "d")
    assert n_segments == 1
    return dataset


@pytest.fixture(scope="module")
def in_pieces(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """No landmarks say at a seam what goes on; where the crops lie does."""
    dataset, n_segments = _dataset(film, tmp_path_factory.mktemp("pieces") / "d", **{"shots.segment_s": 0.5})
    assert n_segments == 4
    return dataset


@pytest.mark.parametrize("made", ["whole", "in_pieces"])
def test_each_shot_is_one_track(made: str, request: pytest.FixtureRequest) -> None:
    dataset: Dataset = request.getfixturevalue(made)
    tracks = dataset.sql("select shot_index, track_index, first_frame, n_frames, gaps from tracks order by 1")
    assert tracks.fetchall() == [(0, 0, 0, 30, 0), (1, 0, 30, 30, 0)]
    frames = dataset.sql("select * from frames order by frame_index").to_arrow_table()
    assert frames["frame_index"].to_pylist() == list(range(60))
    assert frames["landmarks"].null_count == frames["emotion"].null_count == 60
    square = [19.5, -0.5, 19.5, 119.5, 139.5, 119.5, 139.5, -0.5]  # 120 of 160 x 120
    assert frames["quad"].to_pylist() == [square] * 60
    assert set(frames["confidence"].to_pylist()) == {1.0}


def test_shots_have_the_same_pictures_however_the_work_is_dealt_out(whole: Dataset, in_pieces: Dataset) -> None:
    pictures = [dataset.shots.sort_by("shot_index")["thumbnail"] for dataset in (whole, in_pieces)]
    assert pictures[0].null_count == 0 and len(pictures[0]) == 2
    assert pictures[0].equals(pictures[1])


def test_a_track_is_rendered(whole: Dataset, tmp_path: Path) -> None:
    """The crops are cut again as they were inverted, so what is played is as good as the table says."""
    track_id, *_ = sorted(whole.tracks["track_id"].to_pylist())
    assert render(whole.tables.root, track_id, output=str(tmp_path / "t.mp4")) == 0
    draw = SideBySide(track_id=track_id, shot_index=0, crop_px=32)
    psnr = whole.sql(f"select psnr from frames where track_id = '{track_id}' order by frame_index").fetchall()
    with av.open(str(tmp_path / "t.mp4")) as container:
        played = [played_psnr(frame.to_ndarray(format="rgb24"), draw) for frame in container.decode(video=0)]
    assert played == pytest.approx([value for (value,) in psnr], abs=0.5)
    assert render(whole.tables.root, None, output=str(tmp_path / "sheet.png")) == 0


def test_a_clip_that_has_no_face(media: Path, tmp_path: Path) -> None:
    naive = {"inversion.method": "naive", "inversion.first_steps": 1}
    dataset, _ = _dataset(media / "noface_pyfeat.mp4", tmp_path / "d", **naive)
    assert dataset.sql("select status, n_latents, n_tracks = n_shots from videos").fetchall() == [
        ("committed", 95, True)
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"loss.outside_weight": 0.5}, "loss.outside_weight asks for a face", id="mask"),
        pytest.param({"loss.identity_weight": 1}, "set loss.identity_weight to 0", id="identity"),
        pytest.param({"emotion.model": "puppet-emotion"}, "set emotion.model to null", id="emotion"),
        pytest.param({"subject": "hands"}, "setting subject = 'hands'", id="no_such_subject"),
    ],
)
def test_what_needs_a_face_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        load_config(None, {"subject": "frame", **settings})


@pytest.mark.slow
def test_the_command_makes_the_same_rows(film: Path, tmp_path: Path) -> None:
    words = ["--subject", "frame", *FAST]
    done = run_here("invert", film, "-o", tmp_path / "ray", *words)
    assert done.returncode == 0, done.stderr
    overrides = {"subject": "frame", "inversion.first_steps": 12, "faces.detect_px": 512}
    _dataset(film, tmp_path / "here", **overrides)
    assert_equal_datasets(tmp_path / "ray", tmp_path / "here")
