"""docs/queries.md: its tables are those of the code, and each of its examples gives the rows that it should."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.read import Dataset, open_dataset
from pipeline.sql_functions import FUNCTIONS
from schemas.tables import SCHEMAS, TABLES
from tests.builders import NUM_WS, W_DIM
from tests.conftest import REPO
from tests.datasets import KnownFilm, KnownTrack, make_dataset

PAGE = (REPO / "docs" / "queries.md").read_text()
EXAMPLES: dict[str, str] = dict(
    re.findall(r"^### (.+?)\n(?:(?!^###).)*?```sql\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
)

ALPS, BEACH, CUT = "c0ffee" * 5 + "00", "beac" * 8, "dead" * 8
SMILE, SHORT, FAR, WARMS_UP = (f"{ALPS}-{shot:05d}-{number:03d}" for shot, number in ((0, 0), (1, 0), (1, 1), (2, 0)))
STILL, SAD = (f"{BEACH}-{shot:05d}-000" for shot in (0, 1))
HAPPY, SADNESS, NEUTRAL = 3, 4, 6
ANNA, BEN = np.eye(128, dtype=np.float32)[:2]

# 25 frames a second, frames of 360 px: a close face is larger than 180. Every number of w is the frame's number.
FILMS = [
    KnownFilm(
        video_id=ALPS,
        uri="alps.mp4",
        tracks=[
            KnownTrack(n_frames=60, emotion=HAPPY, face_px=200, psnr=31, person_id="anna", identity=ANNA),
            KnownTrack(
                n_frames=40,
                first_frame=100,
                shot_index=1,
                emotion=HAPPY,
                face_px=200,
                psnr=25,
                person_id="anna",
                identity=ANNA * np.float32(0.7),
            ),
            KnownTrack(
                n_frames=60, first_frame=100, shot_index=1, emotion=HAPPY, psnr=33, person_id="ben", filled=(30, 31)
            ),
            KnownTrack(
                n_frames=80,
                first_frame=200,
                shot_index=2,
                emotion=HAPPY,
                emotions=(NEUTRAL,) * 20 + (HAPPY,) * 60,
                face_px=190,
                psnr=29,
                person_id="anna",
            ),
        ],
    ),
    KnownFilm(
        video_id=BEACH,
        uri="beach.mp4",
        tracks=[
            KnownTrack(n_frames=30, face_px=50, psnr=21, person_id="ben", missing=(12,), identity=BEN),
            KnownTrack(n_frames=26, first_frame=50, shot_index=1, emotion=SADNESS, psnr=27.5),
        ],
    ),
    KnownFilm(video_id=CUT, uri="cut.mp4", status="quarantined"),
]


def _w(value: float) -> tuple[tuple[float, ...], ...]:
    return ((value,) * W_DIM,) * NUM_WS


# Of the frames' numbers: HAPPY 0-59, 100-139, 100-159, 220-279; NEUTRAL 200-219, 0-29 without 12; SADNESS 50-75
MEAN_HAPPY = (60 * 29.5 + 40 * 119.5 + 60 * 129.5 + 60 * 249.5) / 220
MEAN_NEUTRAL = (20 * 209.5 + 30 * 14.5 - 12) / 49

ROWS: dict[str, list[tuple[Any, ...]]] = {
    "Happy close-ups of at least two seconds": [("alps.mp4", SMILE, 0.0, 2.36), ("alps.mp4", WARMS_UP, 8.8, 11.16)],
    "Every shot of one person": [("alps.mp4", 0, 0.0, 2.4), ("alps.mp4", 1, 4.0, 6.4), ("alps.mp4", 2, 8.0, 11.2)],
    "Who looks like one person": [(SMILE, "anna", 0.0), (SHORT, "anna", 0.3), (STILL, "ben", 1.41)],
    "The least well inverted tracks": [
        ("beach.mp4", STILL, 29, 21.0),
        ("alps.mp4", SHORT, 40, 25.0),
        ("beach.mp4", SAD, 26, 27.5),
    ],
    "Changes of emotion inside a track": [(WARMS_UP, 8.8, "neutral", "happiness")],
    "Screen time per person and film": [
        ("anna", "alps.mp4", 2.36 + 1.56 + 3.16, 3),
        ("ben", "alps.mp4", 2.36, 1),
        ("ben", "beach.mp4", 1.16, 1),
    ],
    "The mean latent of each emotion": [
        ("happiness", _w(MEAN_HAPPY)),
        ("sadness", _w(62.5)),
        ("neutral", _w(MEAN_NEUTRAL)),
    ],
    # one apart in 32 numbers: the root of 32; the other face of that shot has the same frames
    "The nearest frames in W+ to a given one": [
        (SHORT, 110, 0.0),
        (FAR, 110, 0.0),
        (SHORT, 109, 5.66),
        (SHORT, 111, 5.66),
    ],
    "The nearest in pose alone": [(SHORT, 1.0, 0.0), (FAR, 1.0, 0.0), (SAD, 1.0, 35 * 8**0.5)],
    "Training pairs: the same person neutral and happy": [
        ("ben", STILL, FAR, _w(0), _w(100)),
        ("anna", WARMS_UP, SMILE, _w(200), _w(0)),
        ("anna", WARMS_UP, SHORT, _w(200), _w(100)),
        ("anna", WARMS_UP, WARMS_UP, _w(200), _w(220)),
    ],
    "The longest tracks without a gap": [
        ("alps.mp4", WARMS_UP, 80, 3.16),
        ("alps.mp4", SMILE, 60, 2.36),
        ("alps.mp4", SHORT, 40, 1.56),
    ],
    "Films by fate, with the reasons of quarantine": [
        ("committed", None, None, 2, "alps.mp4"),
        ("quarantined", "probe", "the file ends early", 1, "cut.mp4"),
    ],
    "How well the tracks are inverted: a histogram": [(20.0, 1), (24.0, 1), (26.0, 1), (28.0, 1), (30.0, 1), (32.0, 1)],
    "Where windows of 25 frames fit": [
        (SAD, 50, 26, 1),
        (SMILE, 0, 60, 2),
        (SHORT, 100, 40, 1),
        (FAR, 100, 30, 1),
        (FAR, 132, 28, 1),
        (WARMS_UP, 200, 80, 3),
    ],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = str(tmp_path_factory.mktemp("examples"))
    make_dataset(path, FILMS)
    return open_dataset(path)


def _close(found: Any, expected: Any) -> bool:
    if isinstance(expected, tuple):
        return len(found) == len(expected) and all(map(_close, found, expected))
    return bool(found == (pytest.approx(expected, abs=1e-5) if isinstance(expected, float) else expected))


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_gives_what_it_should(dataset: Dataset, heading: str) -> None:
    found = dataset.sql(EXAMPLES[heading]).fetchall()
    assert len(found) == len(ROWS[heading]), found
    for row, expected in zip(found, ROWS[heading], strict=True):
        assert _close(row, expected), (row, expected)


def test_every_block_of_sql_is_an_example_with_known_rows() -> None:
    assert (PAGE.count("```sql"), set(EXAMPLES)) == (len(ROWS), set(ROWS))


def test_the_page_lists_the_columns_and_functions_that_there_are() -> None:
    rows = {
        tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in PAGE.splitlines() if line[:3] == "| `"
    }
    views = {(f"`{name}`", ", ".join(SCHEMAS[name].names)) for name in TABLES}
    functions = {(f"`{function.signature}`", function.gives, function.what) for function in FUNCTIONS}
    assert rows == views | functions


def test_the_python_shown_runs_and_says_nothing_when_it_ends(dataset: Dataset, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "dataset").symlink_to(dataset.tables.root)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pq.read_table(tmp_path / "tracks.parquet").num_rows == len(dataset.tracks)
