"""Every way in which a film goes wrong, beside good ones: each file has its fate and reason, the good ones are done.

The decoders that hang and crash are real ones: their processes get SIGSTOP and SIGSEGV whenever they have a certain
film open, whoever opens it and however often. So does the worker that dies on a film, with SIGKILL.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.read import Dataset, open_dataset
from tests.faults.poison import crash, decoders_watched, hang, kill_its_worker, write_long, write_zoo
from tests.runs import FAST, command, run_here

pytestmark = pytest.mark.faults
DEADLINE_S = 2.0
ANY = "committed no_faces quarantined"


class Fate(NamedTuple):
    status: str  # or several
    stage: str | None = None
    reason: str = ""  # what it says, among other words


MADE = {
    "moov-cut-off.mp4": Fate("quarantined", "probe", "index"),
    "flipped-0.mp4": Fate(ANY),
    "flipped-1.mp4": Fate(ANY),
    "flipped-2.mp4": Fate(ANY),
    "absurd-header.mp4": Fate("no_faces"),  # its pictures say themselves how large they are
    "text.mp4": Fate("quarantined", "probe", "is text"),
    "one-frame.mp4": Fate("no_faces"),
    "no-frame.mp4": Fate("quarantined", "probe", "no frames"),
    "sound-only.mp4": Fate("quarantined", "probe", "no video stream"),
    "pipe.mp4": Fate("quarantined", "source", "is a pipe"),
    "folder.mp4": Fate("quarantined", "source", "is a folder"),
    "hangs.mp4": Fate("quarantined", None, "no sign of life"),
    "crashes.mp4": Fate("quarantined", None, "SIGSEGV"),
    "kills.mp4": Fate("quarantined", "engine", "worker process died"),
}
SHARED = {
    "audio_only.mp4": Fate("quarantined", "probe", "no video stream"),
    "bomb_16000.mp4": Fate("quarantined", "probe", "16000x16000"),
    "huge_header.mp4": Fate("quarantined", "probe", "absurd size"),
    "no_moov.mp4": Fate("quarantined", "probe", "index"),
    "not_a_video.mp4": Fate("quarantined", "probe", "is text"),
    "one_frame.mp4": Fate("committed no_faces"),
    "truncated_half.mp4": Fate("quarantined", "probe", "index"),
    "truncated_mdat.mp4": Fate("committed no_faces", None, "frames were used"),
    "zero_bytes.mp4": Fate("quarantined", "probe", "is empty"),
    "zero_frames.mp4": Fate("quarantined", "probe", "no frames"),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, films: list[Path]) -> Path:
    """The made ones and the good ones."""
    folder = tmp_path_factory.mktemp("zoo")
    write_zoo(folder)
    write_long(folder / "hangs.mp4", shade=60)
    write_long(folder / "crashes.mp4", shade=90)
    write_long(folder / "kills.mp4", shade=100)
    for film in films:
        shutil.copy(film, folder)
    return folder


def _deadly(folder: Path) -> dict[Path, Callable[[int], None]]:
    return {folder / "hangs.mp4": hang, folder / "crashes.mp4": crash, folder / "kills.mp4": kill_its_worker}


def _invert(sources: list[Path], dataset: Path, address: str) -> int:
    words = ["--workers", "2", "--address", address, "--decode-deadline", str(DEADLINE_S), *FAST]
    return run_here("invert", *sources, "-o", dataset, *words).returncode


def _check(opened: Dataset, expected: dict[str, Fate]) -> None:
    """Each has one row, which says what was expected in words that a person understands."""
    rows = opened.sql("select uri, status, stage, error_type, reason, attempts from videos order by uri").fetchall()
    assert sorted(Path(row[0]).name for row in rows) == sorted(expected)
    for uri, status, stage, error_type, reason, attempts in rows:
        name = Path(uri).name
        wanted, said = expected[name], f"{name}: {status} at {stage} ({error_type}): {reason}"
        assert status in wanted.status.split(), said
        assert wanted.stage in (None, stage), said
        assert wanted.reason in (reason or ""), said
        assert (status == "quarantined") <= bool(stage and error_type and reason and attempts), said
        assert not any(word in (reason or "") for word in ("Traceback", "Error(", "\n", "[Errno")), said


def test_every_file_is_accounted_for(
    zoo: Path, shared: Path, films: list[Path], ray_address: str, tmp_path: Path
) -> None:
    with decoders_watched(_deadly(zoo)) as caught:
        code = _invert([zoo, shared / "media" / "poison"], tmp_path / "d", ray_address)
    assert set(caught) == _deadly(zoo).keys(), "nothing hung, crashed or died, so this test proved nothing"
    assert code == 1
    opened = open_dataset(str(tmp_path / "d"))
    _check(opened, {**MADE, **SHARED, **{film.name: Fate("committed") for film in films}})
    attempts = dict(opened.sql("select uri, attempts from videos where status = 'quarantined'").fetchall())
    assert {attempts[str(path)] for path in _deadly(zoo)} == {3}


@pytest.mark.slow
def test_the_time_is_that_of_the_good_films_and_the_deadlines(
    zoo: Path, films: list[Path], movie: Path, media: Path, ray_address: str, tmp_path: Path
) -> None:
    """At most 1.1 times. Both runs on one Ray; each starts workers of its own.

    Without the film that kills its worker: starting that anew takes its time besides, 10 s of this machine in all.
    """
    good = [
        *films,
        movie,
        *(media / f"{name}.mp4" for name in ("talk_d0", "talk_d3", "talk_d9", "talk_d10", "talk_d12")),
    ]
    start_s = time.monotonic()
    assert _invert(good, tmp_path / "good", ray_address) == 0
    good_s = time.monotonic() - start_s
    with decoders_watched(_deadly(zoo)) as caught:
        start_s = time.monotonic()
        poison = [path for path in sorted(zoo.iterdir()) if path.name != "kills.mp4"]
        _invert([*good, *poison, media / "poison"], tmp_path / "all", ray_address)
        all_s = time.monotonic() - start_s
    deadlines_s = DEADLINE_S * sum(path.name == "hangs.mp4" for path in caught)
    print(f"good films {good_s:.0f} s, all {all_s:.0f} s, deadlines {deadlines_s:.0f} s", flush=True)
    assert all_s <= 1.1 * good_s + deadlines_s


def _kill(driver: int, _decoder: int) -> None:
    os.kill(driver, signal.SIGKILL)


@pytest.mark.slow
def test_a_film_that_kills_every_run_is_quarantined_and_stops_nobody(
    films: list[Path], ray_address: str, tmp_path: Path
) -> None:
    """The driver dies whenever the film is opened. Lost: three runs in which nothing came of it, and none of the rest.

    The kill may come after the film was cut, which is a step ahead: then that run is one more.
    """
    deadly = write_long(tmp_path / "deadly.mp4", shade=120)
    words = command("invert", deadly, *films, "-o", tmp_path / "d", "--workers", "1", "--address", ray_address, *FAST)
    codes: list[int] = []
    while len(codes) < 6 and codes[-1:] != [1]:
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with decoders_watched({deadly: partial(_kill, run.pid)}):
            codes.append(run.wait(300))
    assert codes in ([-signal.SIGKILL] * n + [1] for n in (3, 4, 5))
    opened = open_dataset(str(tmp_path / "d"))
    _check(
        opened,
        {deadly.name: Fate("quarantined", "engine", "3 runs died"), **{film.name: Fate("committed") for film in films}},
    )
