"""Failed attempts at a video, counted across restarts. Three of them, and the film is quarantined.

    _attempts/<config_id>/<video_id>/<n>.json      what went wrong the n-th time; written once

An attempt counts when the run could say that it failed. A run that was killed itself counts against no film.
"""

import json
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

    def clear(self) -> None:
        self.store.remove_folder(self._folder)
