"""latentreel puppets render: a movie and its truth, or one line that says why not."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.puppets import render
from operators.puppets.movie import TRUTH_SCHEMA
from operators.video.probe import probe
from schemas.errors import WrongUse


def test_it_writes_the_movie_and_its_truth_and_the_same_again(tmp_path):
    small: dict[str, Any] = dict(seed=3, seconds=1.5, width=320, height=240, fps=12)
    assert render(str(tmp_path / "a.mp4"), **small) == 0
    video = probe(str(tmp_path / "a.mp4"), uri="a.mp4", video_id="")
    truth = pq.read_table(tmp_path / "a_truth.parquet")
    assert (video.width, video.height, video.n_frames) == (320, 240, 18)
    assert truth.schema.equals(TRUTH_SCHEMA)
    assert truth["frame_index"].unique().to_pylist() == list(range(18))
    assert sorted(set(truth["pts_us"].to_pylist())) == pytest.approx(video.pts_us.tolist(), abs=1)
    render(str(tmp_path / "b.mp4"), **small)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert (tmp_path / "a_truth.parquet").read_bytes() == (tmp_path / "b_truth.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        pytest.param("movie.avi", {}, "name it movie.mp4", id="not_an_mp4"),
        pytest.param("nowhere/movie.mp4", {}, "no such folder", id="no_folder"),
        pytest.param("movie.mp4", {"seconds": 0.2}, "a shot takes 36", id="too_short"),
        pytest.param("movie.mp4", {"width": 641}, "two even numbers", id="odd_width"),
        pytest.param("movie.mp4", {"height": 100}, "at least 240", id="too_small_for_faces"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_one_line(tmp_path, name, options, says):
    with pytest.raises(WrongUse, match=says) as error:
        render(str(tmp_path / name), **options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_training_set_holds_pictures_parameters_and_expressions(tmp_path: Path) -> None:
    """Whatever the number of pictures and processes, picture i is the same; the trainings read what is written."""
    import numpy as np

    from jobs.puppets import crops
    from operators.emotion.labelled_faces import read_faces
    from operators.puppets.expression import shown_emotion
    from operators.puppets.parameters import N_PARAMETERS, FaceParameters
    from operators.stylegan.training.image_sources import open_source

    assert crops(str(tmp_path / "a"), n=5, px=32, seed=3, workers=2) == 0
    assert crops(str(tmp_path / "b"), n=3, px=32, seed=3, workers=1) == 0
    pictures, fewer = (np.load(tmp_path / name / "pictures.npy") for name in "ab")
    assert pictures.shape == (5, 32, 32, 3)
    assert np.array_equal(pictures[:3], fewer)
    source = open_source(str(tmp_path / "a" / "pictures.npy"))
    assert source.latents_NZ is not None
    assert source.latents_NZ.shape == (5, N_PARAMETERS)
    faces = read_faces(tmp_path / "a" / "faces.npz")
    shown = [shown_emotion(FaceParameters.from_vector(vector_D).expression) for vector_D in source.latents_NZ]
    assert faces.labels.tolist() == [emotion for emotion, _ in shown]
    assert faces.intensity.tolist() == pytest.approx([intensity for _, intensity in shown])
    assert np.array_equal(faces.faces_NSSC[:3], read_faces(tmp_path / "b" / "faces.npz").faces_NSSC)


@pytest.mark.parametrize(("n", "px"), [pytest.param(0, 64, id="none"), pytest.param(4, 100, id="no_generators_size")])
def test_an_impossible_training_set_is_refused(tmp_path: Path, n: int, px: int) -> None:
    from jobs.puppets import crops

    with pytest.raises(WrongUse, match=f"{n} crops of {px} px"):
        crops(str(tmp_path), n=n, px=px)
