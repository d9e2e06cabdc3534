"""Faces of a dataset as training pictures: made again from the film, without Ray."""

import numpy as np
import pytest
from PIL import Image

from jobs.contact_sheet import write_contact_sheet
from jobs.generator import fit
from operators.latents.contact_sheet import THUMB_PX
from operators.stylegan.checkpoint import load_generator
from pipeline.read import open_dataset
from schemas.errors import BadInput, WrongUse

TINY = dict(
    objective="reconstruction", steps=2, batch=4, channel_base=64, channel_max=4, z_dim=4, w_dim=4, mapping_layers=1
)
PACE = dict(distance_images=8)


def test_a_generator_is_trained_on_the_faces_of_a_dataset(undisturbed, tmp_path):
    assert fit(str(undisturbed), output=str(tmp_path), settings=TINY, pace=PACE, device="cpu", px=32) == 0
    assert load_generator(str(tmp_path / "generator.safetensors")).resolution == 32
    (packed,) = tmp_path.glob("pictures-*.npy")
    faces = np.load(packed)
    counts = open_dataset(str(undisturbed)).sql("select n_frames from tracks").fetchall()
    assert faces.shape == (sum(-(-n // 4) for (n,) in counts), 32, 32, 3)  # every fourth frame of each track
    assert faces.std(axis=(1, 2)).min() > 5  # no blank among them
    assert np.abs(faces[0].astype(int) - faces[1]).mean() < 40  # one face, moved
    card = (tmp_path / "model-card.md").read_text()
    assert f"{len(faces)} faces of 1 films, every 4 frames of a track, 32 px" in card


def test_crops_are_those_of_the_contact_sheet(undisturbed, tmp_path):
    """Which reads each frame by itself, where training reads the film forward once."""
    fit(str(undisturbed), output=str(tmp_path), settings=TINY, pace=PACE, device="cpu", frame_stride=1)
    (packed,) = tmp_path.glob("pictures-*.npy")
    faces = np.load(packed)
    dataset = open_dataset(str(undisturbed))
    order = dataset.sql("select track_id, frame_index from frames order by frame_index, track_id").fetchall()
    assert len(faces) == len(order)
    write_contact_sheet(dataset, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    tracks = dataset.sql("select track_id, first_frame from tracks order by track_id").fetchall()
    for track_id, first_frame in tracks:
        face = Image.fromarray(faces[order.index((track_id, first_frame))])
        thumb = np.asarray(face.resize((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS))
        places = np.argwhere((sheet[:-THUMB_PX, :-THUMB_PX] == thumb[0, 0]).all(axis=2))
        assert any(np.array_equal(sheet[y : y + THUMB_PX, x : x + THUMB_PX], thumb) for y, x in places), track_id


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"px": 48}, "crops of 48 px; give one of 32, 64", id="side"),
        pytest.param({"frame_stride": 0}, "every 0 frames; give at least 1", id="stride"),
    ],
)
def test_wrong_choices_are_refused(undisturbed, tmp_path, changes, told):
    with pytest.raises(WrongUse, match=told):
        fit(str(undisturbed), output=str(tmp_path / "run"), settings=TINY, **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.faults
def test_a_film_that_is_gone_is_named(undisturbed, movie, tmp_path):
    away = movie.with_suffix(".away")
    movie.rename(away)
    try:
        with pytest.raises(BadInput, match=r"astronaut\.mp4: No such file.*put the film back"):
            fit(str(undisturbed), output=str(tmp_path / "run"), settings=TINY)
    finally:
        away.rename(movie)
    assert not list((tmp_path / "run").iterdir())
