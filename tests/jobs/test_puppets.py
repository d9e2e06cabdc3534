"""latentreel puppets render: a movie and its truth, or one line that says why not."""

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
