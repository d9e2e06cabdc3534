"""A real trailer through all stages. Without Ray: tests/jobs has that, with films that every machine has."""

import json
from pathlib import Path

from pipeline.finalise import finalise
from pipeline.read import open_dataset
from tests.without_engine import input_of, job_of, work_without_engine


def test_a_real_trailer(media: Path, tmp_path: Path) -> None:
    """Cuts exactly as in the truth file; tracks in the shots that show a face and in no other."""
    film = input_of(media / "trailer_cuts.mp4")
    job = job_of(tmp_path / "d", **{"faces.detect_px": 512})
    work_without_engine(film, job)
    assert finalise(film, job).status == "committed"
    truth = json.loads((media / "trailer_cuts.json").read_text())
    dataset = open_dataset(str(tmp_path / "d"))
    starts = dataset.sql("select first_frame from shots order by 1").fetchall()
    assert [row[0] for row in starts] == [0, *truth["cuts"]]
    with_track = dataset.sql("select distinct shot_index from tracks order by 1").fetchall()
    assert [row[0] for row in with_track] == [s["index"] for s in truth["segments"] if s["face"]]
    counts = dataset.sql("select (select count(*) from frames) = (select sum(n_latents) from videos)").fetchall()
    assert counts == [(True,)]
