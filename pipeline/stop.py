"""A request to stop: no film is begun any more, and what is at work is finished.

The driver says it by a marker in the dataset, `_staging/_stop/<run_id>`, which workers on every machine see before they
begin a film. A marker that a killed driver leaves names a run that is over, and stops nobody.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.store import Store
from schemas.job import Job


class StopRequest:
    """Set by SIGTERM or Ctrl-C. The second one stops at once, as a kill does: what is staged is kept."""

    def __init__(self, job: Job, *, say: Callable[[str], None]) -> None:
        self._store, self._marker = Store(job.dataset, job.storage_options), _marker(job)
        self._say = say
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Gives whether it was asked for before the time was over."""
        return self._asked.wait(seconds)

    @contextmanager
    def caught(self) -> Iterator["StopRequest"]:
        """While the block runs, signals ask. Ray sets its own handler when it starts: enter this after it."""
        before = {kind: signal.signal(kind, self._on_signal) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
            if self.asked:
                with suppress(OSError):
                    self._store.remove(self._marker)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self._asked.set()
        # On a thread of its own: the signal may have come in the middle of another call to the same file system.
        threading.Thread(target=self._tell_workers).start()

    def _tell_workers(self) -> None:
        self._say("what is at work is finished first; a second signal stops at once")
        with suppress(OSError):  # then all films are finished: late, and right
            self._store.write(self._marker, str(os.getpid()).encode())


def is_stopping(job: Job) -> bool:
    """Asked by workers, before they begin a film."""
    return Store(job.dataset, job.storage_options).exists(_marker(job))


def _marker(job: Job) -> str:
    return f"_staging/_stop/{job.run_id}"
