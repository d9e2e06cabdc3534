"""People of films that went through all stages: one photograph, filmed three times."""

import shutil
from pathlib import Path

import numpy as np

from pipeline.people import name_people
from pipeline.read import open_dataset
from pipeline.tables import Tables


def test_films_of_one_photograph_show_one_person(undisturbed_films: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed_films, tmp_path / "d")
    named = name_people(Tables(str(tmp_path / "d"), {}), anew=True)
    rows = open_dataset(str(tmp_path / "d")).sql("select video_id, identity, person_id from tracks").fetchall()
    assert len({video_id for video_id, *_ in rows}) == 3
    assert (named.n_tracks, named.n_people) == (len(rows), 1)
    assert len({person_id for *_, person_id in rows}) == 1
    identities = np.array([identity for _, identity, _ in rows])
    assert np.linalg.norm(identities - identities.mean(axis=0), axis=1).max() < 0.3
