"""The progress line counts what it is told, and guesses the rest from what is finished."""

import io

import pytest
from rich.console import Console

from pipeline.finalise import Fate
from pipeline.progress import Progress, clock
from schemas.job import Input
from schemas.outcomes import ErrorRow, Note, Receipt


def _receipt(video_id: str, *, segment: int = 0, of: int = 1, n_frames: int = 10, reused: bool = False) -> Receipt:
    return Receipt(
        video_id=video_id,
        segment_index=segment,
        n_segments=of,
        n_parts=1,
        part="part",
        n_frames=n_frames,
        reused=reused,
    )


def _progress(clock_s: list[float], monkeypatch: pytest.MonkeyPatch, *sizes: int) -> Progress:
    monkeypatch.setattr("time.monotonic", lambda: clock_s[0])
    todo = [Input(uri=f"{i}.mp4", video_id=str(i), bytes=size) for i, size in enumerate(sizes)]
    return Progress(todo, console=Console(file=io.StringIO()))


def test_figures_follow_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    progress = _progress(now, monkeypatch, 100, 300)
    assert progress.counts() == {"films": "0/2", "state": "starting the workers"}
    now[0] = 20.0  # starting took twenty seconds, which must not count
    progress.add(Note(video_id="0", n_shots=3))
    progress.add(Note(video_id="0", n_faces=2))
    now[0] = 30.0
    progress.add(_receipt("0", n_frames=40))
    progress.add(_receipt("1", of=2, n_frames=7, reused=True))
    counts = progress.counts()
    assert (counts["shots"], counts["faces"], counts["frames"]) == ("3", "2", "47 (7 staged before)")
    assert counts["frames/s"] == "4.0"  # 40 in the ten seconds since the first result
    # 100 of 100 bytes and 150 of 300 are done in ten seconds: 250 of 400, so six more seconds
    assert counts["left"] == "0:06"
    progress.add(Fate(video_id="0", uri="0.mp4", status="committed"))
    assert progress.counts()["films"] == "1/2 (1 committed, 0 no_faces)"


def test_errors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = _progress([0.0], monkeypatch, 1)
    error = dict(video_id="0", uri="0.mp4", segment_index=None, error_type="ValueError", message="no", permanent=True)
    progress.add(ErrorRow(stage="probe", **error))  # type: ignore[arg-type]
    assert progress.counts()["errors"] == "1"


@pytest.mark.parametrize(("seconds", "text"), [(7.4, "0:07"), (125, "2:05"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
