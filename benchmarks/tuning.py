"""What pivotal tuning brings on a real face, with and without its locality regularisation, in one run.

    python -m benchmarks.tuning [CLIP]     # 10 minutes on two cores

CLIP is inverted with puppet-128, which has never seen a real face, and its first track is tuned to, by the commands as
a user gives them: by default, without locality, and three times as long at twice the rate. Figures are those of the
cards. The folders stay where the last line says, with a strip each: frames, before, after.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine
from operators.inversion.pivotal_tuning import TuningSettings
from operators.training.run_folder import read_curve
from pipeline.read import open_dataset

CLIP = Path(__file__).resolve().parents[2] / "shared" / "media" / "talk_d0.mp4"
STEPS = TuningSettings().steps
RATE = TuningSettings().learning_rate
RUNS: dict[str, dict[str, float]] = {
    "default": {},
    "no locality": {"locality_weight": 0},
    "longer": {"steps": 3 * STEPS, "learning_rate": 2 * RATE},
}
COLUMNS = ("PSNR before, dB", "PSNR after, dB", "loss before", "loss after", "pictures elsewhere")


def main() -> None:
    """Print one row per run."""
    clip = Path(sys.argv[1]) if len(sys.argv) > 1 else CLIP
    if not clip.is_file():
        raise SystemExit(f"{clip}: no such film; give one with a face")
    print(describe_machine())
    folder = Path(tempfile.mkdtemp(prefix="tuning-"))
    dataset = folder / "dataset"
    _latentreel("invert", clip, "-o", dataset, "--generator", "puppet-128")
    ((track, n),) = open_dataset(str(dataset)).sql("select track_id, n_frames from tracks limit 1").fetchall()
    print(f"{clip.name}, {n} frames of 128 px, puppet-128, {STEPS} steps of {TuningSettings().batch} by default")
    print(f"{'run':12} {'s/step':>7} " + " ".join(f"{name:>18}" for name in COLUMNS))
    for name, changes in RUNS.items():
        output = folder / name.replace(" ", "-")
        given = [word for key, value in changes.items() for word in ("--set", f"{key}={value:g}")]
        steps = int(changes.get("steps", STEPS))
        start_s = time.perf_counter()
        _latentreel("generator", "tune", "--on", dataset, "--track", track, "-o", output, *given)
        took_s = (time.perf_counter() - start_s) / steps  # the command's start and end, 10 s, are in it
        assert read_curve(output)[-1]["step"] == steps
        card = (output / "generator.md").read_text()
        cells = [re.findall(rf"^\| {re.escape(column)}[^|]*\| (\S+) \|$", card, re.MULTILINE)[0] for column in COLUMNS]
        print(f"{name:12} {took_s:7.3f} " + " ".join(f"{cell:>18}" for cell in cells), flush=True)
    print(f"strips: {folder}/*/strip.png")


def _latentreel(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "latentreel", *map(str, words)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
