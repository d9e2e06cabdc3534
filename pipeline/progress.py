"""What a job shows while it runs: films, shots' segments, faces, frames inverted per second, errors, time left."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.finalise import Fate
from schemas.job import Input
from schemas.outcomes import ErrorRow, Note, Receipt

RATE_WINDOW_S = 30.0  # long enough that one finished clip does not make the rate jump
LINE_EVERY_S = 10.0  # where there is no terminal: a log that can be read afterwards


class Progress:
    """Counts results; draws them a few times a second on a terminal, as a line now and then elsewhere.

    Time left is what the finished share of the bytes took, stretched to all of them: a guess, and shown as one.
    """

    def __init__(self, todo: list[Input], *, console: Console) -> None:
        self.console = console
        self.weights = {task.video_id: max(1, task.bytes) for task in todo}
        self.share: dict[str, float] = {}  # of each film: finished parts over all, segment by segment
        self.fates: dict[str, Fate] = {}
        self.n_shots = self.n_tracks = self.n_frames = self.n_reused = self.n_errors = 0
        self.started = time.monotonic()
        self.first_result_at: float | None = None  # starting the workers is not what the rest will take
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, result: Receipt | Note | ErrorRow | Fate) -> None:
        """One result has arrived, or one film has its fate."""
        self.first_result_at = self.first_result_at or time.monotonic()
        if isinstance(result, Fate):
            self.fates[result.video_id] = result
            self.share[result.video_id] = 1.0
        elif isinstance(result, ErrorRow):
            self.n_errors += 1
        elif isinstance(result, Note):
            self.n_shots += result.n_shots
            self.n_tracks += result.n_faces
        else:
            parts = max(1, result.n_parts)
            self.share[result.video_id] = self.share.get(result.video_id, 0.0) + 1 / (parts * result.n_segments)
            if result.reused:
                self.n_reused += result.n_frames
            else:
                self.n_frames += result.n_frames
                self._recent.append((time.monotonic(), result.n_frames))

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def frames_per_s(self) -> float:
        """Over the last half minute, or since the first result if that is shorter."""
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > RATE_WINDOW_S:
            self._recent.popleft()
        return sum(n for _, n in self._recent) / max(1e-6, min(RATE_WINDOW_S, now - (self.first_result_at or now)))

    @property
    def left_s(self) -> float | None:
        """None until anything is finished."""
        done = sum(min(1.0, self.share.get(video_id, 0.0)) * weight for video_id, weight in self.weights.items())
        finished = done / max(1, sum(self.weights.values()))
        if finished <= 0 or self.first_result_at is None:
            return None
        return (time.monotonic() - self.first_result_at) * (1 - finished) / finished

    def counts(self) -> dict[str, str]:
        """The figures as they are shown, by their names."""
        by_status = [f"{sum(f.status == s for f in self.fates.values())} {s}" for s in ("committed", "no_faces")]
        left = self.left_s
        if self.first_result_at is None:
            return {"films": f"0/{len(self.weights)}", "state": "starting the workers"}
        return {
            "films": f"{len(self.fates)}/{len(self.weights)}" + (f" ({', '.join(by_status)})" if self.fates else ""),
            "shots": str(self.n_shots),
            "faces": str(self.n_tracks),
            "frames": f"{self.n_frames + self.n_reused}"
            + (f" ({self.n_reused} staged before)" if self.n_reused else ""),
            "frames/s": f"{self.frames_per_s:.1f}",
            "errors": str(self.n_errors),
            "left": "?" if left is None else clock(left),
        }

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2))
        counts = self.counts()
        for name in counts:
            table.add_column(name)
        table.add_row(*(f"[dim]{name}[/] [bold]{value}[/]" for name, value in counts.items()))
        return table

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Draws while the block runs."""
        if self.console.is_terminal:
            with Live(self, console=self.console, refresh_per_second=4, transient=True):
                yield self
        else:
            stop = threading.Event()
            thread = threading.Thread(target=self._lines, args=(stop,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                stop.set()
                thread.join()

    def _lines(self, stop: threading.Event) -> None:
        while not stop.wait(LINE_EVERY_S):
            text = ", ".join(f"{name} {value}" for name, value in self.counts().items())
            self.console.print(f"{clock(self.elapsed_s)}  {text}", highlight=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
