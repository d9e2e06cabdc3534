"""`latentreel render --paste` and `--shots`: faces go where they came from, and every shot is on the sheet."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from jobs.pasted_film import pasted_frames, span_of_film, span_of_track
from jobs.render import find_track
from jobs.track_pictures import TrackPictures, inverted_film
from operators.faces.paste import PasteCrop
from operators.video.frame_source import FrameSource
from operators.video.thumbnails import thumbnail
from pipeline.read import Dataset, open_dataset
from schemas.video import Frame
from tests.runs import run_here


@pytest.fixture(scope="module")
def dataset(undisturbed: Path) -> Dataset:
    return open_dataset(str(undisturbed))


@pytest.fixture(scope="module")
def filmed(dataset: Dataset) -> list[Frame]:
    (row,) = dataset.sql("select uri, video_id, bytes as n_bytes from videos").to_arrow_table().to_pylist()
    with FrameSource() as source, inverted_film(source, **row) as (video, path):
        return list(source.read(video, path))


class _AsFilmed(TrackPictures):
    """Reconstructions that say where they are: one even colour."""

    def reconstructions(self, faces):
        return np.full((faces.num_rows, self.crop_px, self.crop_px, 3), (0, 255, 0), np.uint8)


def test_all_faces_of_a_film_are_replaced_and_nothing_else(dataset: Dataset, filmed: list[Frame]) -> None:
    """The shots with a face are frames 0 to 47 and 72 to 107."""
    span = span_of_film(dataset, dataset.videos["uri"][0].as_py())
    pictures, paste = _AsFilmed(dataset), PasteCrop(shape="ellipse", feather=0.05)
    pasted = list(pasted_frames(dataset, span, pictures, paste, iter(filmed)))
    assert [frame.frame_index for frame in pasted] == list(range(108))
    rows = dataset.sql("select frame_index, quad from frames order by 1").fetchall()
    quads = {frame_index: np.array(quad, np.float32).reshape(4, 2) for frame_index, quad in rows}
    assert sorted(quads) == [*range(48), *range(72, 108)]
    for before, after in zip(filmed, pasted, strict=True):
        assert after.pts_us == before.pts_us
        quad = quads.get(before.frame_index)
        mask = np.zeros(before.rgb_HWC.shape[:2]) if quad is None else paste.mask(quad, before.rgb_HWC.shape[:2])
        np.testing.assert_array_equal(after.rgb_HWC[mask == 0], before.rgb_HWC[mask == 0])
        assert (after.rgb_HWC[mask == 1] == (0, 255, 0)).all()


def test_the_film_of_one_track_is_its_frames_at_their_times(dataset: Dataset, tmp_path: Path) -> None:
    """Whole frames, the real reconstruction in them."""
    done = run_here("render", dataset.tables.root, "00002-000", "--paste", "-o", tmp_path / "t.mp4")
    assert done.returncode == 0, done.stderr
    span = span_of_track(find_track(dataset, "00002-000"))
    assert (span.first_frame, span.n_frames, len(span.tracks)) == (72, 36, 1)
    pts = dataset.sql("select pts_us from frames where frame_index >= 72 order by 1").fetchnumpy()["pts_us"]
    with av.open(str(tmp_path / "t.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [frame.pts for frame in frames] == (pts - pts[0]).tolist()
    assert (frames[0].width, frames[0].height) == (512, 288)


def test_each_shot_has_the_picture_of_its_middle_frame(dataset: Dataset, filmed: list[Frame]) -> None:
    shots = dataset.shots.sort_by("shot_index").to_pylist()
    assert [shot["first_frame"] + shot["n_frames"] // 2 for shot in shots] == [24, 60, 90]
    for shot, middle in zip(shots, (24, 60, 90), strict=True):
        assert shot["thumbnail"] == thumbnail(filmed[middle].rgb_HWC)
        assert Image.open(io.BytesIO(shot["thumbnail"])).size == (320, 180)


def test_the_sheet_of_a_film_needs_no_film(dataset: Dataset, tmp_path: Path) -> None:
    """Three pictures of 320 by 180 side by side, each where its shot stands."""
    video_id = dataset.videos["video_id"][0].as_py()
    done = run_here("render", dataset.tables.root, "--shots", video_id, "-o", tmp_path / "s.png")
    assert (done.returncode, "3 shots of" in done.stdout) == (0, True), done.stderr
    sheet = np.asarray(Image.open(tmp_path / "s.png")).astype(int)
    assert sheet.shape == (2 * 24 + 40 + 180 + 24, 2 * 24 + 3 * 320 + 2 * 12, 3)
    for i, jpeg in enumerate(dataset.shots.sort_by("shot_index")["thumbnail"].to_pylist()):
        x = 24 + i * 332
        np.testing.assert_array_equal(sheet[64:244, x : x + 320], np.asarray(Image.open(io.BytesIO(jpeg))))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["--paste", "-o", "t.mp4"], "name a track, or with --video", id="paste_of_nothing"),
        pytest.param(["00002-000", "--paste", "--video", "v", "-o", "t.mp4"], "name a track, or", id="both"),
        pytest.param(["--paste", "--video", "other.mp4", "-o", "t.mp4"], "no film of this id or uri", id="no_film"),
        pytest.param(["00002-000", "--paste", "-o", "t.png"], "name it t.mp4", id="paste_into_a_picture"),
        pytest.param(["00002-000", "--paste", "--mask", "hat", "-o", "t.mp4"], "face, ellipse, square", id="mask"),
        pytest.param(["00002-000", "--paste", "--feather", "2", "-o", "t.mp4"], "give 0 to 0.5", id="feather"),
        pytest.param(["00002-000", "--mask", "face", "-o", "t.mp4"], "belong to it", id="mask_without_paste"),
        pytest.param(["--shots", "other.mp4", "-o", "t.png"], "no film of this id or uri has shots", id="no_shots"),
        pytest.param(["--shots", "other.mp4", "-o", "t.mp4"], "name it t.png", id="shots_into_a_film"),
        pytest.param(["00002-000", "--shots", "x", "-o", "t.png"], "takes no track", id="shots_of_a_track"),
    ],
)
def test_wrong_words_write_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_here("render", dataset.tables.root, *words)
    assert (done.returncode, says in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert not list(tmp_path.iterdir())
