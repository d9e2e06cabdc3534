"""Failures are counted across restarts, and shown until the film has its fate."""

from pathlib import Path

import pytest

from jobs.status import status
from pipeline.attempts import Attempts, unsettled
from pipeline.create_tables import open_or_create
from pipeline.finalise import quarantine
from pipeline.store import Store
from schemas.job import Input
from schemas.outcomes import ErrorRow
from tests import builders

FILM = Input(uri="a film [1].mp4", video_id="a" * 32, bytes=1)


def _error(message: str) -> ErrorRow:
    return ErrorRow(
        video_id=FILM.video_id,
        uri=FILM.uri,
        stage="faces",
        segment_index=2,
        error_type="Interrupted",
        message=message,
        permanent=False,
    )


def test_the_last_of_many_failures_is_the_one_with_the_highest_number(tmp_path: Path) -> None:
    attempts = Attempts(Store(str(tmp_path)), "c" * 16, FILM.video_id)
    assert attempts.last() is None
    counts = [attempts.add(_error(f"failure {n}")) for n in range(1, 12)]  # 10 and 11 sort before 2 as text
    assert counts == list(range(1, 12))
    assert attempts.last() == _error("failure 11")
    attempts.clear()
    assert (attempts.count(), attempts.last()) == (0, None)


def test_status_shows_what_is_to_be_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, canonical = builders.job(str(tmp_path / "dataset"))
    tables, _ = open_or_create(job, canonical, anew=False)
    Attempts(tables.store, job.config_id, FILM.video_id).add(_error("frame 3 did not come within 60 s"))
    assert status(job.dataset) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "tried a film [1].mp4, attempt 1 failed at faces: frame 3 did not come within 60 s; the next" in said
    quarantine(FILM, job, _error("frame 3 did not come within 60 s"))
    assert list(unsettled(tables.store, job.config_id, {FILM.video_id})) == []
    assert status(job.dataset) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "tried" not in said and "quarantined a film [1].mp4 at faces, attempt 1: frame 3" in said
