"""Which films earlier runs died on. The runs are processes that are really killed."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline.deaths
from pipeline.deaths import alive, begin, deaths
from pipeline.staging import Staging
from pipeline.store import Store
from schemas.job import Input, Job
from tests import builders

REPO = Path(__file__).resolve().parents[2]
FILM = Input(uri="film.mp4", video_id="a" * 32, bytes=1)
OTHER = Input(uri="other.mp4", video_id="b" * 32, bytes=1)

RUN = """
import pickle, sys, time
from pipeline.deaths import alive, begin
from pipeline.staging import Staging
from pipeline.store import Store
job, films = pickle.loads(bytes.fromhex(sys.argv[1]))
with alive(job):
    for film in films:
        begin(Staging(Store(job.dataset), job.config_id, film.video_id), job.run_id)
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return builders.job(str(tmp_path / "dataset"))[0]


def _run(job: Job, *films: Input) -> "subprocess.Popen[str]":
    """A run that has begun these films and lives."""
    words = [sys.executable, "-c", RUN, pickle.dumps((job, films)).hex()]
    run = subprocess.Popen(words, cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "begun\n"
    return run


def _killed(job: Job, name: str, *films: Input) -> None:
    with _run(replace(job, run_id=name), *films) as run:
        run.kill()
        assert run.wait() == -signal.SIGKILL


def _stage(job: Job, film: Input, segment: int) -> None:
    Staging(Store(job.dataset), job.config_id, film.video_id).write_parts(segment, [])


def test_each_run_that_died_on_a_film_counts(job: Job) -> None:
    _killed(job, "one", FILM, OTHER)
    assert deaths(job, [FILM, OTHER]) == {FILM.video_id: 1, OTHER.video_id: 1}
    _killed(job, "two", FILM)
    assert deaths(job, [FILM, OTHER]) == {FILM.video_id: 2, OTHER.video_id: 1}
    assert deaths(job, [OTHER]) == {OTHER.video_id: 1}, "only what is to be done"


def test_a_run_that_got_ahead_with_a_film_does_not_count(job: Job) -> None:
    _killed(job, "one", FILM)
    _stage(job, FILM, 0)
    assert deaths(job, [FILM]) == {}
    _killed(job, "two", FILM)
    assert deaths(job, [FILM]) == {FILM.video_id: 1}


def test_a_run_that_lives_does_not_count(job: Job) -> None:
    with _run(replace(job, run_id="one"), FILM) as run:
        assert deaths(job, [FILM]) == {}
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert deaths(job, [FILM]) == {FILM.video_id: 1}


def test_a_run_that_ended_by_an_exception_counts_against_no_film(job: Job) -> None:
    store = Store(job.dataset)
    with pytest.raises(KeyboardInterrupt), alive(job):
        begin(Staging(store, job.config_id, FILM.video_id), job.run_id)
        assert store.names("_staging/_runs") == [f"{job.run_id}.json"]
        raise KeyboardInterrupt
    assert store.names("_staging/_runs") == []
    assert deaths(replace(job, run_id="next"), [FILM]) == {}


def test_a_silent_run_on_another_machine_counts_after_a_while(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere, alive(replace(job, run_id="there")):
        elsewhere.setattr("socket.gethostname", lambda: "another machine")
        begin(Staging(Store(job.dataset), job.config_id, FILM.video_id), "there")
        assert deaths(job, [FILM]) == {}
        elsewhere.setattr(pipeline.deaths, "SILENT_S", 0.05)
        time.sleep(0.1)
        assert deaths(job, [FILM]) == {FILM.video_id: 1}


def test_a_run_says_each_minute_that_it_lives(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.deaths, "BEAT_S", 0.05)
    store, name = Store(job.dataset), f"_staging/_runs/{job.run_id}.json"
    with alive(job):
        first_s = store.modified_s(name)
        give_up_at = time.monotonic() + 5
        while store.modified_s(name) == first_s:
            assert time.monotonic() < give_up_at, "it was never written again"
            time.sleep(0.02)
