"""Failed attempts at a video, counted across restarts. Three of them, and the film is quarantined.

    _attempts/<config_id>/<video_id>/<n>.json      what went wrong the n-th time; written once

An attempt counts when the run could say that it failed. A run that was killed itself counts against no film.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

from pipeline.store import Store
from schemas.outcomes import ErrorRow

ATTEMPTS_MAX = 3  # two restarts of a worker cure what is cured by restarting


@dataclass(frozen=True)
class Attempts:
    """The failures of one video under one configuration."""

    store: Store
    config_id: str
    video_id: str

    @property
    def _folder(self) -> str:
        return f"_attempts/{self.config_id}/{self.video_id}"

    def count(self) -> int:
        return len(self.store.names(self._folder))

    def add(self, error: ErrorRow) -> int:
        """Gives the number of failures, this one included."""
        content = json.dumps(asdict(error), indent=1).encode()
        n = self.count() + 1
        while not self.store.write_once(f"{self._folder}/{n}.json", content):
            n += 1  # another driver wrote at the same moment
        return n

    def last(self) -> ErrorRow | None:
        """What went wrong the last time."""
        for name in sorted(self.store.names(self._folder), key=_number, reverse=True):
            with suppress(FileNotFoundError):  # cleared meanwhile
                return ErrorRow(**json.loads(self.store.read(f"{self._folder}/{name}")))
        return None

    def clear(self) -> None:
        self.store.remove_folder(self._folder)


def unsettled(store: Store, config_id: str, settled: set[str]) -> Iterator[tuple[int, ErrorRow]]:
    """Of each film that has failed and has no fate yet: how often, and why the last time."""
    for video_id in store.folders(f"_attempts/{config_id}"):
        attempts = Attempts(store, config_id, video_id)
        if video_id not in settled and (error := attempts.last()) is not None:
            yield attempts.count(), error


def _number(name: str) -> int:
    return int(name.removesuffix(".json"))
