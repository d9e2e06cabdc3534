"""`python -m operators.stylegan.training SOURCE -o FOLDER`, for machines with torch and numpy only.

Several GPUs: `torchrun --nproc-per-node 8 -m operators.stylegan.training SOURCE -o FOLDER`.
"""

import argparse
import json
import os
import shlex
import sys
from typing import Any

from operators.stylegan.training.command import fit_pictures
from operators.stylegan.training.image_sources import open_source
from schemas.errors import LatentreelError, WrongUse


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower()) if text.lower() in ("true", "false") else json.loads(text)
    except ValueError:
        return text


def _pairs(texts: list[str]) -> dict[str, Any]:
    for text in texts:
        if "=" not in text:
            raise WrongUse(f"{text} has no value; write --set name=value")
    return {name: _value(value) for name, value in (text.split("=", 1) for text in texts)}


def main(argv: list[str]) -> int:
    """0 done, 1 a bad input or stopped, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="python -m operators.stylegan.training", description=__doc__)
    parser.add_argument("source", help="A folder of pictures, a .zip in NVIDIA's dataset format, or a .npy.")
    parser.add_argument("-o", "--output", required=True, help="Folder of the run; an unfinished one goes on.")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda.")
    parser.add_argument("--set", action="append", default=[], help="name=value of FitSettings; again for more.")
    parser.add_argument("--pace", action="append", default=[], help="name=value of FitPace.")
    parser.add_argument("--from", dest="start_from", help="A generator that training goes on from: a name or a file.")
    parser.add_argument("--label", type=int, help="Which class of a conditional one.")
    args = parser.parse_args(argv)
    n = os.environ.get("LOCAL_WORLD_SIZE")  # torchrun says so to each of its processes
    runner = ["python"] if n is None else ["torchrun", "--nproc-per-node", n]
    command = shlex.join([*runner, "-m", "operators.stylegan.training", *argv])
    try:
        return fit_pictures(
            open_source(args.source),
            output=args.output,
            settings=_pairs(args.set),
            pace=_pairs(args.pace),
            device=args.device,
            command=command,
            start_from=args.start_from,
            label=args.label,
        )
    except LatentreelError as err:
        print(f"latentreel: {err}", file=sys.stderr)
        return 2 if isinstance(err, WrongUse) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
