"""Processes of a run, killed with SIGKILL at moments that a seed replays.

A moment is counted in what can be seen from outside: "when the second part is staged", or, for number 0, a share of a
second after the process was first seen. Times differ from run to run; what was done and what was not is the same.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.ray_cluster import raylet, workers

LOOK_EVERY_S = 0.01  # staging a part takes longer

CUT, FOUND, PART = "_staging/*/*/cut.parquet", "_staging/*/*/seg*.parts.json", "_staging/*/*/seg*-part*.parquet"
STAGED = (CUT, FOUND, PART)
COMMITTED = ("*/_delta_log/*[1-9].json",)  # version 0 made the table


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A kind of process, and the files by which its moments are counted."""

    title: str  # how its worker begins to call itself
    leaves: tuple[str, ...]
    moments: int  # that are worth drawing
    delay_s: float  # at moment 0: at most


# Actors take three seconds and more to start. A finaliser commits four times within half a second.
VICTIMS = {
    "CutVideo": Victim(title="ray::MapWorker(MapBatches(CutVideo))", leaves=(CUT,), moments=2, delay_s=3.0),
    "FindFaces": Victim(title="ray::MapWorker(MapBatches(FindFaces))", leaves=(FOUND,), moments=3, delay_s=4.0),
    "InvertAndStage": Victim(
        title="ray::MapWorker(MapBatches(InvertAndStage))", leaves=(PART,), moments=3, delay_s=6.0
    ),
    "finalise": Victim(title="ray::finalise", leaves=COMMITTED, moments=4, delay_s=0.1),
}


@dataclass(kw_only=True)
class Kill:
    """One kill to be done. `pid` is None until it is."""

    name: str
    find: Callable[[], dict[int, str]]  # who could be killed now
    leaves: tuple[str, ...]
    after: int
    delay_s: float
    pid: int | None = None

    def __post_init__(self) -> None:
        self._seen: set[Path] = set()
        self._first_seen_at: float | None = None

    def look(self, dataset: Path) -> None:
        """Kills, if this is the moment."""
        self._seen |= {path for pattern in self.leaves for path in dataset.glob(pattern)}
        found = self.find()
        if not found:
            return
        now = time.monotonic()
        self._first_seen_at = self._first_seen_at or now
        if len(self._seen) >= self.after if self.after else now - self._first_seen_at >= self.delay_s:
            pid = min(found)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # ended by itself between two lines
            self.pid = pid

    def __str__(self) -> str:
        when = f"at file {self.after}" if self.after else f"{self.delay_s:.1f} s old"
        return f"{self.name} {when}"


def worker_kill(cluster: Any, name: str, random: Random) -> Kill:
    """Of a process of VICTIMS."""
    victim = VICTIMS[name]
    raylets = {raylet(cluster.head_node)}

    def find() -> dict[int, str]:
        return {pid: title for pid, title in workers(raylets).items() if title.startswith(victim.title)}

    after, delay_s = random.randrange(victim.moments), random.uniform(0, victim.delay_s)
    return Kill(name=name, find=find, leaves=victim.leaves, after=after, delay_s=delay_s)


def raylet_kill(node: Any, random: Random) -> Kill:
    """Of a node, while actors of the flow live on it."""
    pid = raylet(node)

    def find() -> dict[int, str]:
        actors = [title for title in workers({pid}).values() if title.startswith("ray::MapWorker")]
        return {pid: "raylet"} if actors else {}

    return Kill(name="raylet", find=find, leaves=STAGED, after=random.randrange(6), delay_s=random.uniform(0, 6))


def driver_kill(pid: int, random: Random) -> Kill:
    """Of a run of three films, nine staged files."""
    return Kill(name="driver", find=lambda: {pid: "driver"}, leaves=STAGED, after=1 + random.randrange(7), delay_s=0)


@contextmanager
def killing(kills: list[Kill], dataset: Path) -> Iterator[None]:
    """Watches while the block runs; each is killed once."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY_S) and any(kill.pid is None for kill in kills):
            for kill in kills:
                if kill.pid is None:
                    kill.look(dataset)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
