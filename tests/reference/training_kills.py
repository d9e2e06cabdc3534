"""Training that is really killed, in mid-step, after its first checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from operators.training.run_folder import CHECKPOINT
from tests.conftest import REPO


def kill_after_first_checkpoint(program: str, folder: Path, *, timeout_s: float = 60) -> None:
    """Runs `program` in another process, with as many threads as here, and kills it without a warning."""
    threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"
    child = subprocess.Popen([sys.executable, "-c", threads + program], cwd=REPO, env={**os.environ, "PYTHONPATH": "."})
    end = time.monotonic() + timeout_s
    while not (folder / CHECKPOINT).exists() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL, "nothing was killed, so this test proved nothing"
    assert (folder / CHECKPOINT).exists(), "it was killed before its first checkpoint"
