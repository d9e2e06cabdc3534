"""latentreel generator tune --on DATASET --track ID -o FOLDER: the dataset's generator, tuned to one track's frames."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.render import find_track
from jobs.track_pictures import TrackPictures, faces, flat, inverted_film
from operators.inversion.pivotal_tuning import (
    GENERATOR_FILE,
    STRIP_FILE,
    TuningRun,
    TuningSettings,
    tune_generator,
)
from operators.models.model_file import meant_by
from operators.stylegan.training.image_sources import ImageSource
from operators.stylegan.training.packed_images import pack
from operators.training.card import card
from operators.training.run_folder import read_curve
from operators.training.settings import changed
from operators.training.write_file import write_file
from operators.video.frame_source import FrameSource
from pipeline.read import Dataset, open_dataset
from pipeline.tables import saved_config
from schemas.errors import WrongUse

CARD = "generator.md"
ROWS_AT_ONCE = 256  # of the table, as render reads it
_UNKNOWN = "as of the generator that it was tuned from"


def tune(
    dataset: str,
    track: str,
    *,
    output: str,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    version: int | None = None,
    storage_options: Mapping[str, str] | None = None,
    command: str = "",
) -> int:
    """A killed run goes on when the same command is given again.

    Takes: `track`: a track's id, or an end of it that only one track has; `settings`: fields of TuningSettings by name;
    `version`: of the dataset; `command`: as it was typed, for the card.
    Gives: the exit code. FOLDER then holds generator.safetensors, generator.md, strip.png (rows: frames, before,
    after), loss.csv, the checkpoint, and the track's crops.
    Raises: WrongUse for a track that there is not, a generator or a film that is gone, and a folder of another run;
    BadInput or Interrupted when the film does not decode.
    """
    wanted = changed(TuningSettings(), settings or {})
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{output} is a file; give a folder for the run")
    if Path(dataset).resolve() in (folder.resolve(), *folder.resolve().parents):
        raise WrongUse(f"{output}: a dataset takes no other files, or `invert` refuses it; write beside {dataset}")
    opened = open_dataset(dataset, storage_options, version=version)
    row = find_track(opened, track)
    pictures = TrackPictures(opened)
    w_TLD, noise_TP = _latents(opened, row, pictures)
    digest = hashlib.sha256(w_TLD.tobytes()).hexdigest()[:16]
    source = ImageSource(
        what=f"track {row['track_id']}",
        listing=f"{row['track_id']}-{digest}",
        pictures=lambda: _crops(opened, row, pictures),
    )
    run = TuningRun(
        generator=pictures.generator,
        frames=pack(source, folder),
        w_TLD=w_TLD,
        noise_TP=noise_TP,
        settings=wanted,
        folder=folder,
        what={"dataset": opened.properties["config_id"], "track": row["track_id"], "latents": digest},
        device=device,
    )
    figures = tune_generator(run, report=lambda at: _say(at, wanted.steps))
    write_file(folder / CARD, _card(opened, row, run, figures, command))
    path = folder / GENERATOR_FILE
    print(f"{path}: PSNR {figures['PSNR before, dB']} dB before, {figures['PSNR after, dB']} dB after")
    print(f"its card is {CARD}, frames before and after are {STRIP_FILE}, beside it", file=sys.stderr)
    print(f"draws with: latentreel render {dataset} {track} -o track.mp4 --generator {path}", file=sys.stderr)
    return 0


def _latents(
    dataset: Dataset, track: dict[str, Any], pictures: TrackPictures
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """(T, L, D), and noise maps (T, P) where the inversion kept some, of all frames of a track."""
    w: list[NDArray[np.float32]] = []
    noise: list[NDArray[np.float32]] = []
    generator = pictures.generator
    for rows in _rows(dataset, track):
        w.append(flat(rows, "w").reshape(-1, generator.num_ws, generator.w_dim))
        if not rows["noise"].null_count:
            noise.append(flat(rows, "noise").reshape(rows.num_rows, -1))
    return np.concatenate(w), np.concatenate(noise) if noise else None


def _rows(dataset: Dataset, track: dict[str, Any]) -> Iterator[Any]:
    end = track["first_frame"] + track["n_frames"]
    for first in range(track["first_frame"], end, ROWS_AT_ONCE):
        rows = faces(dataset, track["track_id"], f"frame_index >= {first} and frame_index < {first + ROWS_AT_ONCE}")
        if rows.num_rows:
            yield rows


def _crops(dataset: Dataset, track: dict[str, Any], pictures: TrackPictures) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The very crops that were inverted, in the order of the rows."""
    place = {"uri": track["uri"], "video_id": track["video_id"], "n_bytes": track["bytes"]}
    options = dataset.tables.storage_options
    with FrameSource() as source, inverted_film(source, **place, storage_options=options) as (video, path):
        filmed = source.read(video, path, first_frame=track["first_frame"], n_frames=track["n_frames"])
        for rows in _rows(dataset, track):
            for row in rows.select(["frame_index", "quad"]).to_pylist():
                frame = next(frame for frame in filmed if frame.frame_index == row["frame_index"])
                yield f"{track['uri']}, frame {row['frame_index']}", pictures.crop(frame, row["quad"])


def _card(
    dataset: Dataset, track: dict[str, Any], run: TuningRun, figures: Mapping[str, object], command: str
) -> bytes:
    config = saved_config(dataset.tables)
    published = meant_by(config.generator)
    facts = {
        "tuned from": f"{dataset.properties['generator_id']} ({config.generator})",
        "licence": _UNKNOWN if published is None else published.licence,
        "film": track["uri"],
        "track": f"{track['track_id']}, {len(run.frames)} frames",
        "dataset": f"{dataset.properties['config_id'][:12]}, version {dataset.version}",
        **figures,
    }
    return card(
        title=f"{dataset.properties['generator_id']}, tuned to {track['track_id']}",
        what="A StyleGAN2 generator that draws one track's frames from the latents that the dataset has of them "
        "(pivotal tuning: Roich et al. 2021; Tzaban et al. 2022). Of other faces it knows what it knew.",
        command=command,
        device=run.device,
        facts=facts,
        settings=asdict(run.settings),
        curve=read_curve(run.folder),
    )


def _say(row: Mapping[str, float], steps: int) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    print(f"step {row['step']:.0f}/{steps}  {figures}", file=sys.stderr, flush=True)
